"""Users and scan processes of a real domain controller (Samba's), with the log-in of a plain user of the domain."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from directory_entries import AS_TEXT, BIG_ENDIAN, DEEPER, DENIED, HOME, INVOICE, NOWHERE, OTHER, STAFF_ONLY, XML
from domain_controller import BASE, DOMAIN, PASSWORD, DomainController

from postscan.plugins import AccessRefused, DirectoryAway, DirectoryUser
from postscan.plugins.directory import LdapDirectory
from postscan.plugins.testing import assert_hooks_contract

pytestmark = pytest.mark.services

Make = Callable[..., LdapDirectory]


@pytest.fixture
def directory(active_directory: Make) -> LdapDirectory:
    """The plugin, connected by LDAPS."""
    return active_directory()


@pytest.fixture
def amelie(directory: LdapDirectory) -> DirectoryUser:
    """A user in a group in a group."""
    found = directory.postscan_find_user(login="amelie")
    assert found is not None
    return found


@pytest.mark.parametrize("tls", ["ldaps", "starttls"])
def test_a_user_is_found_by_sid_by_upn_and_by_login_name(
    active_directory: Make, controller: DomainController, tls: str
) -> None:
    """With all that filters use: names, mail, home folder."""
    directory = active_directory(tls=tls)
    sid = controller.sid("amelie")

    by_sid = directory.postscan_find_user(sid=sid)

    assert by_sid is not None
    assert (by_sid.sid, by_sid.name, by_sid.login) == (sid, "amelie@fabrikam.example", "amelie")
    assert (by_sid.upn, by_sid.display_name) == ("amelie@fabrikam.example", "Amélie Dupont")
    assert (by_sid.mail, by_sid.home_folder, by_sid.enabled) == ("amelie@fabrikam.example", HOME, True)
    for names in ({"upn": "amelie@fabrikam.example"}, {"login": "amelie"}, {"login": r"FABRIKAM\AMELIE"}):
        assert directory.postscan_find_user(**names) == by_sid


def test_the_contract_of_hooks_is_kept(amelie: DirectoryUser, controller: DomainController) -> None:
    """By the kit for authors: the same user by each name, none by those of strangers, and several questions at once."""
    table = {"servers": [controller.address], "ca_file": str(controller.ca)}
    account = {"user": f"postscan@{DOMAIN}", "password": PASSWORD}

    assert_hooks_contract(LdapDirectory, {**table, **account}, known=amelie, seconds=60.0)


def test_groups_are_those_of_groups_too(amelie: DirectoryUser, controller: DomainController) -> None:
    """The user is in clerks, clerks are in staff; and Windows adds its own."""
    assert {controller.sid("clerks"), controller.sid("staff"), controller.sid("Domain Users")} <= set(amelie.groups)


def test_who_is_not_there_is_not_found(directory: LdapDirectory, controller: DomainController) -> None:
    """By any of the three names; a computer and a group are no users, and neither are users of other domains."""
    domain = controller.sid("amelie").rpartition("-")[0]

    for names in (
        {"sid": f"{domain}-4711"},
        {"sid": controller.sid("clerks")},
        {"login": "clerks"},
        {"login": "DC1$"},
        {"login": r"CONTOSO\amelie"},
        {"upn": "amelie@contoso.example"},
    ):
        assert directory.postscan_find_user(**names) is None, names


def test_an_account_that_may_not_be_used_says_why(directory: LdapDirectory) -> None:
    """One that is disabled, and one that has expired."""
    gone, former = (directory.postscan_find_user(login=one) for one in ("gone", "former"))

    assert gone is not None
    assert (gone.enabled, gone.reason) == (False, "the account is disabled")
    assert former is not None
    assert (former.enabled, former.reason) == (False, "the account has expired on 2020-01-01")


def test_the_mail_address_may_be_the_main_one_of_several(directory: LdapDirectory) -> None:
    """Where mail is empty: that of proxyAddresses whose SMTP is in capitals."""
    bob = directory.postscan_find_user(login="bob")

    assert bob is not None
    assert bob.mail == "bob@fabrikam.example"


@pytest.mark.conformance("PSP-043")
def test_signs_of_filters_in_a_value_mean_themselves(directory: LdapDirectory) -> None:
    """A star finds the user whose name has it, and nobody else; brackets end no filter (T-F11)."""
    star = directory.postscan_find_user(upn="st*r(1)@fabrikam.example")

    assert star is not None
    assert star == directory.postscan_find_user(login="st&r(1)")
    for name in (
        "*",
        "am*",
        "amelie)(objectClass=*",
        "*)(sAMAccountName=amelie",
        r"\61melie",
        "amélie",
        "amelie\0",
        "st&r(*)",
    ):
        assert directory.postscan_find_user(login=name) is None, name
        assert directory.postscan_find_user(upn=f"{name}@fabrikam.example") is None, name


@pytest.mark.conformance("PSP-038", "PSP-041")
def test_a_process_is_found_in_its_container(directory: LdapDirectory, amelie: DirectoryUser) -> None:
    """Below CN=PSPs,CN=System of the domain that the server names, without a setting; its XML is the text there."""
    found = directory.postscan_find_process(INVOICE, amelie)

    assert found is not None
    assert (found.identifier, found.display_name, found.xml) == (INVOICE, "Invoice", XML)
    assert 'encoding="UTF-16"' in found.xml
    assert directory.postscan_find_process(NOWHERE, amelie) is None


@pytest.mark.conformance("PSP-039")
def test_processes_are_searched_one_level_below_it(directory: LdapDirectory, amelie: DirectoryUser) -> None:
    """By class: neither what is deeper is one, nor the containers."""
    names = {one.display_name for one in directory.postscan_processes(amelie) or ()}

    assert names == {"Invoice", "B" * 255, "As text", "Staff only"}
    assert directory.postscan_find_process(DEEPER, amelie) is None


@pytest.mark.conformance("PSP-040")
def test_a_display_name_has_at_most_255_characters(directory: LdapDirectory, amelie: DirectoryUser) -> None:
    """The directory allows one more."""
    found = directory.postscan_find_process(BIG_ENDIAN, amelie)

    assert found is not None
    assert found.display_name == "B" * 255


@pytest.mark.conformance("PSP-042")
@pytest.mark.parametrize("identifier", [INVOICE, BIG_ENDIAN, AS_TEXT])
def test_an_identifier_may_have_several_layouts(
    directory: LdapDirectory, amelie: DirectoryUser, identifier: str
) -> None:
    """That of Windows, big-endian, and text."""
    found = directory.postscan_find_process(identifier, amelie)

    assert found is not None
    assert found.identifier == identifier


@pytest.mark.conformance("PSP-045")
def test_a_process_is_for_those_who_may_read_it(
    directory: LdapDirectory, amelie: DirectoryUser, controller: DomainController
) -> None:
    """By the list of rights of the object, and all groups of the user; the service account may read all of them."""
    bob = directory.postscan_find_user(login="bob")
    assert bob is not None

    found = directory.postscan_find_process(STAFF_ONLY, amelie)

    assert found is not None
    assert found.why == f"an entry allows the group ({controller.sid('staff')}) to read"
    with pytest.raises(AccessRefused, match="no entry allows the user"):
        directory.postscan_find_process(STAFF_ONLY, bob)
    with pytest.raises(AccessRefused, match="an entry denies the group"):
        directory.postscan_find_process(DENIED, amelie)
    assert directory.postscan_find_process(DENIED, bob) is not None
    assert "Staff only" not in {one.display_name for one in directory.postscan_processes(bob) or ()}


def test_groups_that_the_server_names_are_not_believed(directory: LdapDirectory, controller: DomainController) -> None:
    """The plugin reads them: those of the question may be old, or of another directory."""
    bob = DirectoryUser(controller.sid("bob"), "bob@fabrikam.example", groups=(controller.sid("staff"),))

    with pytest.raises(AccessRefused, match="no entry allows"):
        directory.postscan_find_process(STAFF_ONLY, bob)


def test_who_is_not_in_the_directory_may_use_nothing_of_it(directory: LdapDirectory) -> None:
    """A user of the server's own settings: not even what all users of the domain may read."""
    stranger = DirectoryUser("S-1-5-21-9-9-9-500", "stranger@elsewhere.example")

    with pytest.raises(AccessRefused, match="the directory has no user with this SID"):
        directory.postscan_find_process(INVOICE, stranger)
    assert directory.postscan_processes(stranger) == []


def test_users_and_processes_may_be_elsewhere(active_directory: Make) -> None:
    """As the settings say: another container, and a part of the domain."""
    elsewhere = active_directory(processes=OTHER, base=f"CN=Users,{BASE}")
    amelie = elsewhere.postscan_find_user(login="amelie")
    assert amelie is not None

    assert elsewhere.postscan_find_process(NOWHERE, amelie) is not None
    assert elsewhere.postscan_find_process(INVOICE, amelie) is None
    assert active_directory(base=f"CN=Computers,{BASE}").postscan_find_user(login="amelie") is None


def test_a_user_who_is_disabled_is_so_at_the_next_question(
    directory: LdapDirectory, controller: DomainController
) -> None:
    """The plugin remembers nothing; how long an answer is used is the server's matter."""
    before = directory.postscan_find_user(login="bob")
    change = "dn: CN=bob,CN=Users,{}\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: {}\n\n"
    controller.modify(change.format(BASE, 514))
    try:
        after = directory.postscan_find_user(login="bob")
    finally:
        controller.modify(change.format(BASE, 512))

    assert before is not None
    assert after is not None
    assert (before.enabled, after.enabled) == (True, False)


def test_a_wrong_password_is_said_so_and_not_tried_again(active_directory: Make) -> None:
    """Each attempt counts against the account; neither is a user unknown because of it."""
    wrong = active_directory(password="wrong-horse")

    for again in ("", "not tried again within 60 s"):
        with pytest.raises(DirectoryAway, match=rf"does not accept the service account: invalid credentials.*{again}"):
            wrong.postscan_find_user(login="amelie")
    assert [line.partition(":")[2].partition(" ")[2] for line in wrong.diagnose()] != []


def test_the_diagnosis_finds_nothing_where_all_is_well(directory: LdapDirectory, active_directory: Make) -> None:
    """And says so where no process can be read."""
    assert list(directory.diagnose()) == []
    (line,) = active_directory(processes=f"CN=PSPs,{BASE}").diagnose()
    assert "no scan process can be read" in line
