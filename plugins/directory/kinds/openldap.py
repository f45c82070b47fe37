"""Users, groups and scan processes of OpenLDAP, with the schema of docs/directory.md.

SIDs are texts there: `postscanSid`, or Samba's `sambaSID`. Who may use a scan process stands at the process.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from postscan.plugins import DirectoryAway, DirectoryProcess, DirectoryUser
from postscan.plugins.directory.client.connection import AnswerDeadline, LdapConnection
from postscan.plugins.directory.client.queries import (
    ANY,
    DirectoryEntry,
    Filter,
    Scope,
    Search,
    all_of,
    any_of,
    equals,
    has,
)
from postscan.plugins.directory.kinds.person import (
    DISPLAY_NAME,
    DISPLAYED,
    HOME,
    MOST_GROUPS,
    MOST_PROCESSES,
    NO_USER,
    Person,
    StoredProcess,
    domain_of,
    named,
    normal,
    one_line,
    only,
    plain_mail,
    usable,
)
from postscan.plugins.directory.security import sids
from postscan.plugins.directory.security.access import AUTHENTICATED_USERS, EVERYONE, Permission

_SIDS: Final = ("postscanSid", "sambaSID")
_UPN: Final = "postscanUpn"
_USER: Final = (*_SIDS, "uid", _UPN, "displayName", "mail", "homeDirectory", "postscanDisabled", "pwdAccountLockedTime")
_CLASS: Final = "postscanProcess"
_IDENTIFIER: Final = "postscanIdentifier"
_XML: Final = "postscanXml"
_PROCESS: Final = (
    *(_IDENTIFIER, "displayName", "postscanSha256", "postscanAllowed", "postscanAllowedSid", "modifyTimestamp"),
)
_FOR_GOOD: Final = "000001010000Z"  # pwdAccountLockedTime of an account that an administrator has locked


class OpenLdap:
    """The entries below `base`, and the scan processes one level below `container`; groups in groups up to a depth."""

    def __init__(self, base: str, container: str, group_depth: int) -> None:
        self._base = base
        self._container = container
        self._depth = group_depth

    def find_user(
        self, connection: LdapConnection, deadline: AnswerDeadline, *, sid: str = "", upn: str = "", login: str = ""
    ) -> Person | None:
        """Return the user with this SID, UPN or login name (uid), with all groups."""
        names: tuple[str, ...] = ("uid",)
        if sid:
            sids.sid_bytes(sid)  # raises for what is no SID
            names = _SIDS
        elif upn or "@" in login:
            names = (_UPN,)
        value = sid or upn or login
        wanted = all_of(
            any_of(has(one) for one in _SIDS),
            equals("objectClass", "person"),
            any_of(equals(one, value) for one in names),
        )
        found = connection.search(Search(self._base, Scope.SUBTREE, wanted, _USER, most=2), deadline)
        entry = only(found, f"the {names[0]} {value}")
        if all(named(entry, one, value) is None for one in names):
            return None
        return None if entry is None else self._person(connection, deadline, entry)

    def find_process(
        self, connection: LdapConnection, deadline: AnswerDeadline, identifier: str, person: Person | None
    ) -> StoredProcess | None:
        """Return the scan process with this GUID."""
        name = str(uuid.UUID(identifier))
        found = connection.search(self._search(equals(_IDENTIFIER, name), _XML), deadline)
        entry = only(found, f"the identifier {identifier}")
        return None if entry is None else _stored(entry, person)

    def processes(
        self, connection: LdapConnection, deadline: AnswerDeadline, person: Person | None
    ) -> Sequence[StoredProcess]:
        """Return all scan processes, without their XML; those that cannot be used are left out."""
        return usable(lambda one: _stored(one, person), connection.search(self._search(ANY), deadline))

    def _search(self, wanted: Filter, *more: str) -> Search:
        by_class = all_of(equals("objectClass", _CLASS), wanted)
        return Search(self._container, Scope.ONE_LEVEL, by_class, (*_PROCESS, *more), most=MOST_PROCESSES)

    def _person(self, connection: LdapConnection, deadline: AnswerDeadline, entry: DirectoryEntry) -> Person:
        try:
            login = entry.text("uid")
            found = self._groups(connection, deadline, entry.dn, login)
            own = _sid_of(entry)
            groups = {sid for one in found if (sid := _sid_of(one))}
            name = f"{login}@{domain_of(self._base)}"
            reason = _why_disabled(entry)
            mails = sorted(one.decode("utf-8", "replace") for one in entry.all("mail"))
            user = DirectoryUser(
                sid=own,
                name=name,
                upn=entry.text(_UPN) or name,
                login=login,
                display_name=one_line(entry.text("displayName"), DISPLAYED),
                mail=next(filter(None, map(plain_mail, mails)), ""),
                home_folder=one_line(entry.text("homeDirectory"), HOME),
                groups=tuple(sorted(groups)),
                enabled=not reason,
                reason=reason,
            )
        except ValueError as error:
            raise DirectoryAway(str(error)) from None
        return Person(entry.dn, user, frozenset(normal(one.dn) for one in found))

    def _groups(
        self, connection: LdapConnection, deadline: AnswerDeadline, dn: str, login: str
    ) -> list[DirectoryEntry]:
        """Return the groups of a user, and those of the groups, up to the depth; a circle ends by itself."""
        found: dict[str, DirectoryEntry] = {}
        filters = [equals("member", dn), equals("uniqueMember", dn), equals("memberUid", login)]
        for _ in range(self._depth):
            search = Search(self._base, Scope.SUBTREE, any_of(filters), _SIDS, most=MOST_GROUPS)
            new = [one for one in connection.search(search, deadline) if normal(one.dn) not in found]
            found.update((normal(one.dn), one) for one in new)
            if len(found) > MOST_GROUPS:
                raise DirectoryAway(f"{dn} has more than {MOST_GROUPS} groups")
            if not new:
                break
            filters = [equals(name, one.dn) for one in new for name in ("member", "uniqueMember")]
        return list(found.values())


def _sid_of(entry: DirectoryEntry) -> str:
    """Return the SID of a user or a group, "" if it has none; raise `ValueError` for what is no SID."""
    found = entry.text("postscanSid") or entry.text("sambaSID")
    if found:
        sids.sid_bytes(found)
    return found


def _why_disabled(entry: DirectoryEntry) -> str:
    if entry.text("postscanDisabled") == "TRUE":
        return "postscanDisabled is TRUE"
    if entry.text("pwdAccountLockedTime") == _FOR_GOOD:
        return "an administrator has locked the account"
    return ""


def _stored(entry: DirectoryEntry, person: Person | None) -> StoredProcess:
    try:
        permission = (
            NO_USER
            if person is None
            else may_use(
                (one.decode("utf-8") for one in entry.all("postscanAllowed")),
                (one.decode("ascii") for one in entry.all("postscanAllowedSid")),
                person,
            )
        )
        identifier = str(uuid.UUID(entry.text(_IDENTIFIER))).upper()
        process = DirectoryProcess(
            identifier=identifier,
            display_name=one_line(entry.text("displayName"), DISPLAY_NAME) or identifier,
            xml=entry.text(_XML).removeprefix("\ufeff"),
            sha256=entry.text("postscanSha256").lower(),
            version=entry.text("modifyTimestamp"),
            why=permission.why,
        )
    except ValueError as error:
        raise DirectoryAway(f"{entry.dn}: {error}") from None
    return StoredProcess(process, permission)


def may_use(names: Iterable[str], allowed_sids: Iterable[str], person: Person) -> Permission:
    """Return whether one of these names (DN) or SIDs is the user or a group of the user; none named means nobody."""
    mine = {normal(person.dn), *person.group_names}
    for name in names:
        if normal(name) in mine:
            return Permission(granted=True, why=f"postscanAllowed names {name}")
    my_sids = {person.user.sid, EVERYONE, AUTHENTICATED_USERS, *person.user.groups}
    for sid in allowed_sids:
        if sid in my_sids:
            return Permission(granted=True, why=f"postscanAllowedSid names {sid}")
    return Permission(granted=False, why="neither postscanAllowed nor postscanAllowedSid names the user or a group")
