"""Users and scan processes of a real OpenLDAP with our schema."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import openldap
import pytest
from directory_entries import AMELIE_SID, AS_TEXT, BOB_SID, CLERKS_SID, DENIED, INVOICE, NOWHERE, STAFF_ONLY, XML

from postscan.plugins import AccessRefused, DirectoryAway, DirectoryUser
from postscan.plugins.directory import LdapDirectory
from postscan.plugins.testing import assert_hooks_contract

pytestmark = pytest.mark.services

Make = Callable[..., LdapDirectory]
AMELIE = DirectoryUser(AMELIE_SID, "amelie@fabrikam.example")
BOB = DirectoryUser(BOB_SID, "bob@fabrikam.example")


@pytest.fixture
def directory(open_ldap: Make) -> LdapDirectory:
    """The plugin, connected by LDAPS."""
    return open_ldap()


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_a_user_is_found_by_sid_by_upn_and_by_login_name(open_ldap: Make, slapd: openldap.OpenLdap, tls: str) -> None:
    """The SID is text there."""
    port = slapd.tls_port if tls == "ldaps" else slapd.port
    directory = open_ldap(tls=tls, servers=(f"localhost:{port}",))

    by_sid = directory.postscan_find_user(sid=AMELIE_SID)

    assert by_sid is not None
    assert (by_sid.sid, by_sid.name, by_sid.display_name) == (AMELIE_SID, "amelie@fabrikam.example", "Amelie")
    assert (by_sid.mail, by_sid.groups, by_sid.enabled) == ("amelie@fabrikam.example", (CLERKS_SID,), True)
    assert directory.postscan_find_user(upn="Amelie@fabrikam.example") == by_sid
    assert directory.postscan_find_user(login="AMELIE") == by_sid


def test_the_contract_of_hooks_is_kept(directory: LdapDirectory, slapd: openldap.OpenLdap) -> None:
    """By the kit for authors: the same user by each name, none by those of strangers, and several questions at once."""
    known = directory.postscan_find_user(sid=AMELIE_SID)
    assert known is not None

    assert_hooks_contract(LdapDirectory, openldap.table(slapd), known=known, seconds=60.0)


def test_who_is_not_there_is_not_found(directory: LdapDirectory) -> None:
    """A group has a SID too, and is no user; and signs of filters mean themselves (T-F11)."""
    for names in ({"sid": CLERKS_SID}, {"sid": "S-1-5-21-1-2-3-4711"}, {"login": "clerks"}):
        assert directory.postscan_find_user(**names) is None, names
    for login in ("*", "am*", "amelie)(uid=*", "*)(postscanSid=*", r"\61melie", "amelie\0"):
        assert directory.postscan_find_user(login=login) is None, login
        assert directory.postscan_find_user(upn=f"{login}@fabrikam.example") is None, login


def test_an_account_that_may_not_be_used_says_why(directory: LdapDirectory) -> None:
    """By an attribute of our schema."""
    gone = directory.postscan_find_user(login="gone")

    assert gone is not None
    assert (gone.enabled, gone.reason) == (False, "postscanDisabled is TRUE")


@pytest.mark.parametrize(
    ("identifier", "why"),
    [
        (INVOICE, "postscanAllowedSid names S-1-5-11"),
        (STAFF_ONLY, "postscanAllowed names cn=Staff, ou=groups,dc=fabrikam,dc=example"),
        (AS_TEXT, f"postscanAllowedSid names {CLERKS_SID}"),
    ],
)
def test_a_process_is_for_those_whom_it_names(directory: LdapDirectory, identifier: str, why: str) -> None:
    """All users, a group in whose group the user is, the SID of a group; groups may form a circle."""
    found = directory.postscan_find_process(identifier, AMELIE)

    assert found is not None
    assert (found.identifier, found.xml, found.why) == (identifier, XML, why)


def test_others_may_not_use_it(directory: LdapDirectory) -> None:
    """Neither a user who is in no group, nor anyone where nobody is named, nor who is not in the directory."""
    for identifier, user in ((STAFF_ONLY, BOB), (AS_TEXT, BOB), (DENIED, AMELIE)):
        with pytest.raises(AccessRefused, match="neither postscanAllowed nor"):
            directory.postscan_find_process(identifier, user)
    with pytest.raises(AccessRefused, match="the directory has no user"):
        directory.postscan_find_process(INVOICE, DirectoryUser("S-1-5-21-9-9-9-500", "x@y"))
    assert directory.postscan_find_process(NOWHERE, AMELIE) is None


def test_processes_are_listed_without_their_xml(directory: LdapDirectory) -> None:
    """Those that the user may use."""
    found = {one.display_name: one.xml for one in directory.postscan_processes(AMELIE) or ()}

    assert found == {"Invoice": "", "Staff only": "", "By SID": ""}
    assert [one.display_name for one in directory.postscan_processes(BOB) or ()] == ["Invoice"]


def test_groups_are_followed_to_the_depth_of_the_settings(open_ldap: Make) -> None:
    """With one level, the group of the group is not seen."""
    shallow = open_ldap(group_depth=1)

    assert shallow.postscan_find_process(AS_TEXT, AMELIE) is not None
    with pytest.raises(AccessRefused):
        shallow.postscan_find_process(STAFF_ONLY, AMELIE)


def test_the_hash_of_a_process_is_passed_on(directory: LdapDirectory, slapd: openldap.OpenLdap) -> None:
    """The server refuses a document that has another one."""
    expected = hashlib.sha256(XML.encode()).hexdigest()
    change = (
        f"dn: cn=Invoice,{openldap.PROCESSES}\nchangetype: modify\n{{}}: postscanSha256\npostscanSha256: {expected}\n"
    )

    slapd.modify(change.format("add"))
    found = directory.postscan_find_process(INVOICE, AMELIE)
    slapd.modify(change.format("delete"))

    assert found is not None
    assert found.sha256 == expected


def test_two_users_with_one_sid_are_no_answer(directory: LdapDirectory, slapd: openldap.OpenLdap) -> None:
    """Neither of them is the user; it is not said that there is none."""
    twin = f"dn: uid=bob,{openldap.PEOPLE}\nchangetype: modify\nreplace: postscanSid\npostscanSid: {{}}\n"

    slapd.modify(twin.format(AMELIE_SID))
    try:
        with pytest.raises(DirectoryAway, match="several entries have the postscanSid"):
            directory.postscan_find_user(sid=AMELIE_SID)
    finally:
        slapd.modify(twin.format(BOB_SID))


def test_a_wrong_password_is_said_so(open_ldap: Make) -> None:
    """It is no answer about the user."""
    with pytest.raises(DirectoryAway, match="does not accept the service account: invalid credentials"):
        open_ldap(password="wrong-horse").postscan_find_user(login="amelie")


def test_a_server_that_hangs_or_is_gone_is_no_answer(plugin: Make, slapd: openldap.OpenLdap) -> None:
    """It is one within the time of the question, on a connection that is there and on a new one; then all is well."""
    directory, other = (plugin(2.0, **openldap.table(slapd), connect_seconds=1.0) for _ in range(2))
    found = directory.postscan_find_user(sid=AMELIE_SID)

    slapd.signal(signal.SIGSTOP)
    try:
        for one in (directory, other):
            with pytest.raises(DirectoryAway, match="in time"):
                one.postscan_find_user(sid=AMELIE_SID)
    finally:
        slapd.signal(signal.SIGCONT)
    assert directory.postscan_find_user(sid=AMELIE_SID) == found

    slapd.stop()
    try:
        with pytest.raises(DirectoryAway, match="no connection"):
            directory.postscan_find_user(sid=AMELIE_SID)
    finally:
        slapd.start()
    assert directory.postscan_find_user(sid=AMELIE_SID) == found


def test_an_answer_after_20_s_is_too_late(plugin: Make, slapd: openldap.OpenLdap) -> None:
    """What is on the way for longer than the question may take is not waited for."""
    with delayed(slapd.tls_port, 20.0) as port:
        slow = plugin(1.0, **{**openldap.table(slapd), "servers": (f"localhost:{port}",)})

        with pytest.raises(DirectoryAway, match="in time"):
            slow.postscan_find_user(sid=AMELIE_SID)


def test_two_servers_of_which_one_hangs_have_an_answer(plugin: Make, slapd: openldap.OpenLdap) -> None:
    """The question is asked again, of the other one."""
    with delayed(slapd.tls_port, 20.0) as port:
        servers = (f"localhost:{port}", f"localhost:{slapd.tls_port}")
        directory = plugin(10.0, **{**openldap.table(slapd), "servers": servers, "connect_seconds": 0.5})

        assert directory.postscan_find_user(sid=AMELIE_SID) is not None


@contextlib.contextmanager
def delayed(target: int, seconds: float) -> Iterator[int]:
    """Lend the port of a relay whose server's bytes come *seconds* late."""
    over = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            near, _ = listener.accept()
            with near, socket.create_connection(("127.0.0.1", target)) as far:
                far.sendall(near.recv(65536))
                late = far.recv(65536)
                if not over.wait(seconds):
                    near.sendall(late)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
