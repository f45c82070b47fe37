"""The answers of hooks: users and scan processes of a directory, as plain data.

The server checks each value when it arrives, and treats an answer with a wrong one as no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_GROUPS: Final = 2000
"""Most groups of a user."""

MOST_PROCESSES: Final = 500
"""Most scan processes in one answer."""

XML: Final = 524_288
"""Most characters of a stored scan process. Source: scan-process.md section 7."""


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

    sid: str
    name: str
    upn: str = ""
    login: str = ""
    display_name: str = ""
    mail: str = ""
    home_folder: str = ""
    groups: tuple[str, ...] = ()
    enabled: bool = True
    reason: str = ""


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

    identifier: str
    display_name: str
    xml: str = ""
    sha256: str = ""
    version: str = ""
    why: str = ""
