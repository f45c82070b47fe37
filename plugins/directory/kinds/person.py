"""A user as found in a directory, and what both kinds of directories have in common."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from postscan.plugins import DirectoryAway, DirectoryProcess, DirectoryUser
from postscan.plugins.directory.client.connection import AnswerDeadline, LdapConnection
from postscan.plugins.directory.client.queries import DirectoryEntry
from postscan.plugins.directory.security.access import Permission

MOST_GROUPS: Final = 2000
MOST_PROCESSES: Final = 2000  # that are looked at; those that a user may use are fewer
DISPLAY_NAME: Final = 255  # characters of PSP_DisplayName; displayName may have one more (PSP-040)

NO_USER: Final = Permission(granted=False, why="the directory has no user with this SID")

DISPLAYED: Final = 255  # characters of a user's display name
MAIL: Final = 254  # characters of a mail address
HOME: Final = 1024  # characters of a home folder

_NO_LINE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAIL: Final = re.compile(r"[^\s@\x00-\x1f\x7f-\x9f]+@[^\s@\x00-\x1f\x7f-\x9f]+")
_COMPONENT: Final = re.compile(r"(?i)\s*dc\s*=\s*([^,+\\]+?)\s*")
_UNESCAPED_COMMA: Final = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class Person:
    """A user, and the normal names (DN) of the user's groups, nested ones too."""

    dn: str
    user: DirectoryUser
    group_names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StoredProcess:
    """A scan process of a directory, and who may use it, as far as one user is concerned."""

    process: DirectoryProcess
    permission: Permission


class DirectoryKind(Protocol):
    """The questions that the entries of a directory answer, on one connection.

    All raise `DirectoryAway`, also for an entry that cannot be understood.
    """

    def find_user(
        self, connection: LdapConnection, deadline: AnswerDeadline, *, sid: str = "", upn: str = "", login: str = ""
    ) -> Person | None:
        """Return the user with this SID, UPN or login name, with all groups; None if there is none."""

    def find_process(
        self, connection: LdapConnection, deadline: AnswerDeadline, identifier: str, person: Person | None
    ) -> StoredProcess | None:
        """Return the scan process with this GUID; None if there is none. A user who is not there may not use it."""

    def processes(
        self, connection: LdapConnection, deadline: AnswerDeadline, person: Person | None
    ) -> Sequence[StoredProcess]:
        """Return all scan processes, without their XML."""


def only(found: Sequence[DirectoryEntry], what: str) -> DirectoryEntry | None:
    """Return the one entry that was found, None for none; raise `DirectoryAway` for several."""
    if len(found) > 1:
        raise DirectoryAway(f"several entries have {what}: {found[0].dn} and {found[1].dn}; expected one")
    return found[0] if found else None


def named(entry: DirectoryEntry | None, attribute: str, value: str) -> DirectoryEntry | None:
    """Return the entry if its attribute really has this value, in any case; else None.

    A directory compares more loosely: Active Directory takes é for e, Samba ends a value at NUL (T-O2).
    """
    values = [] if entry is None else [one.decode("utf-8", "replace").casefold() for one in entry.all(attribute)]
    return entry if value.casefold() in values else None


def one_line(text: str, most: int) -> str:
    """Return the first *most* characters of a text, with blanks in place of line ends and control characters."""
    return " ".join(_NO_LINE.sub(" ", text).split())[:most]


def plain_mail(text: str) -> str:
    """Return a mail address, or "" for what cannot be one: a user with a wrong address can still scan."""
    return text if len(text) <= MAIL and _MAIL.fullmatch(text) else ""


def normal(dn: str) -> str:
    """Return a distinguished name so that two spellings of it are equal: case, and blanks between its parts.

    Names that differ in the escapes of a character stay different.
    """
    parts = (part.partition("=") for part in _UNESCAPED_COMMA.split(dn))
    return ",".join(f"{name.strip()}={value.strip()}" for name, _, value in parts).casefold()


def usable(read: Callable[[DirectoryEntry], StoredProcess], entries: Sequence[DirectoryEntry]) -> list[StoredProcess]:
    """Return the scan processes of those entries that can be read: a malformed one takes no list from all users."""
    found = []
    for entry in entries:
        with contextlib.suppress(DirectoryAway, ValueError):
            found.append(read(entry))
    return found


def domain_of(dn: str) -> str:
    """Return the DNS domain of a distinguished name in lower case: its DC components."""
    found = (_COMPONENT.fullmatch(part) for part in _UNESCAPED_COMMA.split(dn))
    return ".".join(one[1].lower() for one in found if one is not None)
