"""Users, groups and scan processes of Active Directory, and of Samba's domain controller.

Source: scan-process.md section 7 (PSP-038 to PSP-045); [MS-ADA1] to [MS-ADA3] (attributes).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from postscan.plugins import DirectoryAway, DirectoryProcess, DirectoryUser
from postscan.plugins.directory.client.connection import AnswerDeadline, LdapConnection
from postscan.plugins.directory.client.queries import (
    ANY,
    OWNER_GROUP_AND_RIGHTS,
    DirectoryEntry,
    Filter,
    Scope,
    Search,
    all_of,
    any_of,
    equals,
)
from postscan.plugins.directory.kinds.identifiers import identifier_of, layouts
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
    one_line,
    only,
    plain_mail,
    usable,
)
from postscan.plugins.directory.security import access, descriptor, sids

CONTAINER: Final = "CN=PSPs,CN=System"
"""Where scan processes are, below the domain."""

_CLASS: Final = "msImaging-PostScanProcess"  # Microsoft's page on the directory prints it without its hyphen
_IDENTIFIER: Final = "msImaging-PSPIdentifier"
_XML: Final = "msImaging-PSPString"
_RIGHTS: Final = "nTSecurityDescriptor"
_PROCESS: Final = ("displayName", _IDENTIFIER, "whenChanged", _RIGHTS)
_USER: Final = (
    *("objectSid", "sAMAccountName", "userPrincipalName", "displayName", "mail", "proxyAddresses", "homeDirectory"),
    *("userAccountControl", "accountExpires"),
)
_DISABLED: Final = 0x2
_NEVER: Final = (0, 0x7FFF_FFFF_FFFF_FFFF)
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)


class _Domain(NamedTuple):
    """The domain of a server: its naming context, and its short (NetBIOS) name."""

    context: str
    short: str


class ActiveDirectory:
    """The entries of one domain. `base` and `container` replace where users and scan processes are, if not empty."""

    def __init__(self, base: str = "", container: str = "") -> None:
        self._base = base
        self._container = container
        self._domain: _Domain | None = None

    def find_user(
        self, connection: LdapConnection, deadline: AnswerDeadline, *, sid: str = "", upn: str = "", login: str = ""
    ) -> Person | None:
        """Return the user with this SID, UPN or login name (`name`, `DOMAIN\\name`), with all groups.

        A UPN is the user's userPrincipalName, or else the sAMAccountName with the DNS name of the domain.
        """
        domain = self._domain_of(connection, deadline)
        found: DirectoryEntry | None = None
        if sid:
            found = self._user(connection, deadline, domain, equals("objectSid", sids.sid_bytes(sid)), f"the SID {sid}")
        elif upn or "@" in login:
            upn = upn or login
            found = self._named(connection, deadline, domain, "userPrincipalName", upn)
            name, _, suffix = upn.rpartition("@")
            if found is None and name and suffix.lower() == domain_of(domain.context):
                found = self._named(connection, deadline, domain, "sAMAccountName", name)
        else:
            short, _, name = login.rpartition("\\")
            if not short or short.lower() in (domain.short.lower(), domain_of(domain.context)):
                found = self._named(connection, deadline, domain, "sAMAccountName", name)
        return None if found is None else self._person(connection, deadline, found, upn)

    def find_process(
        self, connection: LdapConnection, deadline: AnswerDeadline, identifier: str, person: Person | None
    ) -> StoredProcess | None:
        """Return the scan process with this GUID, in any layout of its bytes, Windows' first."""
        values = layouts(identifier)
        search = self._search(connection, deadline, any_of(equals(_IDENTIFIER, value) for value in values), _XML)
        found = connection.search(search, deadline)
        for value in values:
            entry = only([one for one in found if value in one.all(_IDENTIFIER)], f"the identifier {identifier}")
            if entry is not None:
                return _stored(entry, identifier, person)
        return None

    def processes(
        self, connection: LdapConnection, deadline: AnswerDeadline, person: Person | None
    ) -> Sequence[StoredProcess]:
        """Return all scan processes, without their XML; those that cannot be used are left out."""
        found = connection.search(self._search(connection, deadline, ANY), deadline)
        return usable(lambda one: _stored(one, identifier_of(one.one(_IDENTIFIER) or b""), person), found)

    def _search(self, connection: LdapConnection, deadline: AnswerDeadline, wanted: Filter, *more: str) -> Search:
        """Return the search for scan processes: one level below their container, by class (PSP-038, PSP-039)."""
        container = self._container or f"{CONTAINER},{self._domain_of(connection, deadline).context}"
        return Search(
            container,
            Scope.ONE_LEVEL,
            all_of(equals("objectClass", _CLASS), wanted),
            (*_PROCESS, *more),
            most=MOST_PROCESSES,
            controls=(OWNER_GROUP_AND_RIGHTS,),
        )

    def _domain_of(self, connection: LdapConnection, deadline: AnswerDeadline) -> _Domain:
        """Return the domain of the server, which is read once."""
        if self._domain is None:
            contexts = ("defaultNamingContext", "configurationNamingContext")
            root = only(connection.search(Search("", Scope.BASE, ANY, contexts, most=1), deadline), "no name")
            context, configuration = (root.text(one) if root else "" for one in contexts)
            if not context:
                raise DirectoryAway("the server names no domain; is it Active Directory? See plugins.directory.kind")
            wanted = all_of(equals("objectClass", "crossRef"), equals("nCName", context))
            search = Search(f"CN=Partitions,{configuration}", Scope.ONE_LEVEL, wanted, ("nETBIOSName",), most=2)
            named = only(connection.search(search, deadline), f"the domain {context}")
            self._domain = _Domain(context, named.text("nETBIOSName") if named else "")
        return self._domain

    def _named(
        self, connection: LdapConnection, deadline: AnswerDeadline, domain: _Domain, attribute: str, name: str
    ) -> DirectoryEntry | None:
        found = self._user(connection, deadline, domain, equals(attribute, name), f"the {attribute} {name}")
        return named(found, attribute, name)

    def _user(
        self, connection: LdapConnection, deadline: AnswerDeadline, domain: _Domain, wanted: Filter, what: str
    ) -> DirectoryEntry | None:
        people = all_of(equals("objectCategory", "person"), equals("objectClass", "user"), wanted)
        search = Search(self._base or domain.context, Scope.SUBTREE, people, _USER, most=2)
        return only(connection.search(search, deadline), what)

    def _person(
        self, connection: LdapConnection, deadline: AnswerDeadline, entry: DirectoryEntry, asked_upn: str
    ) -> Person:
        """Return a user; tokenGroups has the SIDs of all security groups, nested ones too, and can be read alone."""
        search = Search(entry.dn, Scope.BASE, ANY, ("tokenGroups",), most=1)
        token = only(connection.search(search, deadline), entry.dn)
        if token is None:
            raise DirectoryAway(f"{entry.dn} is gone")
        try:
            groups = tuple(sorted(sids.sid_text(one) for one in token.all("tokenGroups")))
            user = _user_of(entry, groups, asked_upn)
        except ValueError as error:
            raise DirectoryAway(str(error)) from None
        if not groups:  # each user has a primary group at least: an empty answer would hide what the user may not do
            raise DirectoryAway(f"the service account cannot read tokenGroups of {entry.dn}; see docs/directory.md")
        if len(groups) > MOST_GROUPS:
            raise DirectoryAway(f"{entry.dn} has {len(groups)} groups; expected at most {MOST_GROUPS}")
        return Person(entry.dn, user)


def _user_of(entry: DirectoryEntry, groups: tuple[str, ...], asked_upn: str) -> DirectoryUser:
    login = entry.text("sAMAccountName")
    name = f"{login}@{domain_of(entry.dn)}"
    if not entry.text("userAccountControl"):
        raise ValueError(f"the service account cannot read userAccountControl of {entry.dn}; see docs/directory.md")
    reason = why_disabled(entry.text("userAccountControl"), entry.text("accountExpires"))
    return DirectoryUser(
        sid=sids.sid_text(entry.one("objectSid") or b""),
        name=name,
        upn=asked_upn or entry.text("userPrincipalName") or name,
        login=login,
        display_name=one_line(entry.text("displayName"), DISPLAYED),
        mail=plain_mail(entry.text("mail")) or plain_mail(_primary(entry.all("proxyAddresses"))),
        home_folder=one_line(entry.text("homeDirectory"), HOME),
        groups=groups,
        enabled=not reason,
        reason=reason,
    )


def why_disabled(control: str, expires: str) -> str:
    """Return why an account may not be used, "" if it may; raise `ValueError` for values that are no numbers.

    *control* is userAccountControl; *expires* is accountExpires, in 100 ns since 1601. An account that is locked after
    wrong passwords is not disabled: no password is used here, and who can send wrong ones could keep others from
    scanning.
    """
    if int(control) & _DISABLED:
        return "the account is disabled"
    ticks = int(expires or "0")
    if ticks in _NEVER:
        return ""
    try:
        when = _EPOCH + timedelta(microseconds=ticks // 10)
    except OverflowError:  # later than the year 9999
        return ""
    return f"the account has expired on {when:%Y-%m-%d}" if when <= datetime.now(UTC) else ""


def _primary(addresses: Sequence[bytes]) -> str:
    """Return the main address of proxyAddresses: the one whose SMTP is in capitals, else the first."""
    found = sorted(one.decode("utf-8", "replace") for one in addresses)
    mails = [one[5:] for one in found if one[:5] == "SMTP:"] + [one[5:] for one in found if one[:5] == "smtp:"]
    return mails[0] if mails else ""


def _stored(entry: DirectoryEntry, identifier: str, person: Person | None) -> StoredProcess:
    try:
        permission = _permission(entry, person)
        process = DirectoryProcess(
            identifier=str(uuid.UUID(identifier)).upper(),
            display_name=one_line(entry.text("displayName"), DISPLAY_NAME) or identifier,
            xml=entry.text(_XML).removeprefix("\ufeff"),
            version=entry.text("whenChanged"),
            why=permission.why,
        )
    except ValueError as error:
        raise DirectoryAway(f"{entry.dn}: {error}") from None
    return StoredProcess(process, permission)


def _permission(entry: DirectoryEntry, person: Person | None) -> access.Permission:
    """Return whether the user may read the object: what its list of rights says, for the groups of the user.

    Without the list, which the service account may not be able to read, nobody may.
    """
    if person is None:
        return NO_USER
    data = entry.one(_RIGHTS)
    if data is None:
        why = "the service account cannot read the rights of the object"
        return access.Permission(granted=False, why=why)
    return access.may_read(descriptor.parse(data), person.user.sid, frozenset(person.user.groups))
