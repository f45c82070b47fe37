"""The answers of hooks: users and scan processes of a directory, as plain data.

The server checks each value when it arrives, and treats an answer with a wrong one as no answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StrictBool

from postscan.core.model.principal import is_sid

MOST_GROUPS: Final = 2000
"""Most groups of a user."""

MOST_PROCESSES: Final = 500
"""Most scan processes in one answer."""

XML: Final = 524_288
"""Most characters of a stored scan process. Source: scan-process.md section 7."""

_NO_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NO_TEXT: Final = re.compile(r"[\x00\ud800-\udfff]")
_BLANK: Final = re.compile(r"\s")
_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_SHA256: Final = re.compile(r"([0-9A-Fa-f]{64})?")


def _line(text: str) -> str:
    if _NO_LINE.search(text):
        raise ValueError("expected one line without control characters")
    return text


def _text(text: str) -> str:
    if _NO_TEXT.search(text):
        raise ValueError("expected a text without NUL and unpaired surrogates")
    return text


def _sid(text: str) -> str:
    if not is_sid(text):
        raise ValueError("expected a SID: S-1-...")
    return text


def _mail(text: str) -> str:
    if _BLANK.search(_line(text)):
        raise ValueError("expected a mail address without blanks")
    return text


def _guid(text: str) -> str:
    if not _GUID.fullmatch(text):
        raise ValueError("expected a GUID")
    return text.upper()


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ValueError("expected a SHA-256 in hex")
    return text.lower()


_Line = Annotated[str, Field(strict=True, max_length=255), AfterValidator(_line)]
_Name = Annotated[_Line, Field(min_length=1)]
_LongLine = Annotated[str, Field(strict=True, max_length=1024), AfterValidator(_line)]
_Reason = Annotated[str, Field(strict=True, max_length=2000), AfterValidator(_line)]
_Mail = Annotated[str, Field(strict=True, max_length=254), AfterValidator(_mail)]
_Sid = Annotated[str, Field(strict=True, max_length=255), AfterValidator(_sid)]
_Groups = Annotated[tuple[_Sid, ...], Field(max_length=MOST_GROUPS)]
_Guid = Annotated[str, Field(strict=True), AfterValidator(_guid)]
_Xml = Annotated[str, Field(strict=True, max_length=XML), AfterValidator(_text)]
_Sha256 = Annotated[str, Field(strict=True), AfterValidator(_sha256)]


@dataclass(frozen=True, slots=True)
class DirectoryUser:
    """A user of a directory.

    `sid` is text (`S-1-5-21-...`). `name` is `user@domain`: the name of the user's folders, and what people see in
    JobOriginatingUserName. `upn` is the user principal name as in a certificate, `login` the short name
    (sAMAccountName, uid). `mail` is one plain address or "". `home_folder` is a UNC or a path, or "". `groups` are the
    SIDs of all groups of the user, nested ones too. A user who is not `enabled` may create no job; `reason` says why
    (disabled, expired, locked), for administrators.

    Lengths in characters: name, login and display_name 255, upn and home_folder 1,024, mail 254, reason 2,000; at most
    2,000 groups. Each text is one line.
    """

    sid: _Sid
    name: _Name
    upn: _LongLine = ""
    login: _Line = ""
    display_name: _Line = ""
    mail: _Mail = ""
    home_folder: _LongLine = ""
    groups: _Groups = ()
    enabled: StrictBool = True
    reason: _Reason = ""


@dataclass(frozen=True, slots=True)
class DirectoryProcess:
    """A scan process of a directory that the user of the question may use.

    `identifier` is the GUID as text, with hyphens and without braces. `xml` is the PostScanProcess document, without
    regard to the encoding that its declaration names; it may be empty in an answer of `postscan_processes`, which has
    none of its own. `sha256` is the hash of its bytes in UTF-8, in hex, if the directory has it: another document is
    refused. `version` is shown to administrators and means nothing to the server. `why` says why the user may use it,
    for `postscan directory check`.

    Lengths in characters: display_name 255, longer ones are cut; xml 524,288; version 255; why 2,000.
    """

    identifier: _Guid
    display_name: _Name
    xml: _Xml = ""
    sha256: _Sha256 = ""
    version: _Line = ""
    why: _Reason = ""
