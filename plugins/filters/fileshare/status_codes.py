"""The status codes of an SMB server, and the errors of this plugin that they become.

This module needs the extra `[smb]`; import it where it is used.
"""

# smbprotocol ships no types.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import errno
from typing import Final

from smbprotocol.header import NtStatus

from postscan.plugins import FilterFailed, FilterReason
from postscan.plugins.retries import TryAgainLater

DENIED: Final = (FilterReason.FILE_SHARE_ACCESS_DENIED, "access denied")
LOGON: Final = (FilterReason.FILE_SHARE_ACCESS_DENIED, "the server refuses this user with this password")
FULL: Final = (FilterReason.FILE_SHARE_OUT_OF_DISK_SPACE, "no space left on the share")
# smbprotocol has names for some of these statuses only.
_REFUSALS: Final = {
    NtStatus.STATUS_ACCESS_DENIED: DENIED,
    NtStatus.STATUS_CANNOT_DELETE: DENIED,
    NtStatus.STATUS_PRIVILEGE_NOT_HELD: DENIED,
    0xC00000CA: DENIED,  # STATUS_NETWORK_ACCESS_DENIED
    0xC00000A2: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the share is read-only"),  # STATUS_MEDIA_WRITE_PROTECTED
    NtStatus.STATUS_LOGON_FAILURE: LOGON,
    NtStatus.STATUS_WRONG_PASSWORD: LOGON,
    0xC0000064: LOGON,  # STATUS_NO_SUCH_USER
    0xC000006E: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the account is restricted"),  # STATUS_ACCOUNT_RESTRICTION
    0xC000015B: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the account may not log on over the network"),
    0xC0000072: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the account is disabled"),
    0xC0000193: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the account has expired"),
    0xC0000234: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the account is locked out"),
    0xC0000224: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the password must be changed"),
    NtStatus.STATUS_PASSWORD_EXPIRED: (FilterReason.FILE_SHARE_ACCESS_DENIED, "the password has expired"),
    NtStatus.STATUS_DISK_FULL: FULL,
    0xC0000044: (FilterReason.FILE_SHARE_OUT_OF_DISK_SPACE, "the quota is used up"),  # STATUS_QUOTA_EXCEEDED
    NtStatus.STATUS_BAD_NETWORK_NAME: (FilterReason.UNKNOWN_ERROR, "there is no such share"),
    NtStatus.STATUS_NOT_A_DIRECTORY: (FilterReason.UNKNOWN_ERROR, "a file is in the way; expected a folder"),
    NtStatus.STATUS_STOPPED_ON_SYMLINK: (FilterReason.UNKNOWN_ERROR, "a link is in the way; expected a folder"),
    NtStatus.STATUS_PATH_NOT_COVERED: (FilterReason.UNKNOWN_ERROR, "it leads to another server; expected a folder"),
}
_MISSING: Final = (
    NtStatus.STATUS_OBJECT_NAME_NOT_FOUND,
    NtStatus.STATUS_OBJECT_PATH_NOT_FOUND,
    NtStatus.STATUS_NO_SUCH_FILE,
)
_TEMPORARY: Final = {
    NtStatus.STATUS_SHARING_VIOLATION: "the file is in use",
    NtStatus.STATUS_DELETE_PENDING: "the file is just being deleted",
    NtStatus.STATUS_NETWORK_NAME_DELETED: "the share was taken away",
    NtStatus.STATUS_USER_SESSION_DELETED: "the server has ended the session",
    NtStatus.STATUS_FILE_CLOSED: "the server has closed the file",
    NtStatus.STATUS_INSUFF_SERVER_RESOURCES: "the server has no resources left",
    NtStatus.STATUS_INSUFFICIENT_RESOURCES: "the server has no resources left",
    NtStatus.STATUS_REQUEST_NOT_ACCEPTED: "the server takes no more connections",
    NtStatus.STATUS_SERVER_UNAVAILABLE: "the server is not available",
}


class ServerFailed(FilterFailed):
    """The server itself cannot be used, so none of its shares is attempted again in this run."""


class ServerBusy(TryAgainLater):
    """The server answered that the operation is not possible at the moment."""


class ConnectionLost(TryAgainLater):
    """The connection broke; the operation may succeed over a new one."""

    failure = ServerFailed


def error_of(status: int) -> Exception:
    """Return the error for a status other than success."""
    if status == NtStatus.STATUS_OBJECT_NAME_COLLISION:
        return FileExistsError(errno.EEXIST, "there is another file of this name")
    if status in _MISSING:
        return FileNotFoundError(errno.ENOENT, "a file or a folder is not there any more")
    if status in _TEMPORARY:
        return ServerBusy(_TEMPORARY[status])
    if status in _REFUSALS:
        return FilterFailed(*_REFUSALS[status])
    return FilterFailed(detail=f"the server answered with status 0x{status:08x}")
