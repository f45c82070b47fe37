"""PSP-012, PSP-013, PSP-031, PSP-032, PSP-035, PSP-036: what a device may change of the stored instructions."""

from __future__ import annotations

import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import SHARE
from conformance.filters import asking, custom, email, fileshare, sharepoint
from conformance.wire import invalid, job_of

SPX = "http://schemas.microsoft.com/windows/2010/09/imaging/postscan/scanprocess/extensions"
NAME, PATH = "AllowDeviceFileNameChange", "AllowDeviceFilePathChange"
AP, EVE, SITE, OTHER = "ap@fabrikam.example", "eve@fabrikam.example", "https://team.fabrikam.example/in", r"\\nas\other"
STORED = asking(fileshare(SHARE, OTHER), email(AP), sharepoint(SITE, my_site="false"), go_on="true")


def allowing(flag: str, value: str = "true") -> str:
    """Return a permission as it stands in a stored process."""
    return f'<spx:{flag} xmlns:spx="{SPX}">{value}</spx:{flag}>'


def refused(scanner: Scanner, sent: str, *, stored: str = STORED, allow: str = "") -> tuple[str, str] | None:
    """Return which element differs, and what it holds, if these instructions are sent for those that are stored."""
    return invalid(scanner.device.create(scanner.server.store(stored, allow=allow), sent))


def adding(*addresses: str, can_add: str = "") -> str:
    """Return instructions that mail to these."""
    return asking(email(*addresses, can_add=can_add))


@pytest.mark.conformance("PSP-012")
@pytest.mark.parametrize("allow", ["", allowing(NAME, "false") + allowing(PATH, "0")])
def test_what_is_not_said_is_not_permitted(scanner: Scanner, allow: str) -> None:
    """An absent flag is a false one, of the process as of its lists."""
    assert refused(scanner, STORED.replace("Invoice", "Payroll"), allow=allow) == ("DocumentRootName", "Payroll")
    assert refused(scanner, STORED.replace(SHARE, r"\\nas\evil"), allow=allow) == ("ShareUNC", r"\\nas\evil")
    assert refused(scanner, adding(AP, EVE), stored=adding(AP)) == ("EmailAddress", EVE)


@pytest.mark.conformance("PSP-012")
def test_absent_switches_are_false_ones(scanner: Scanner) -> None:
    """So sending them as false is no difference, and as true it is one."""
    stored = asking(email(AP), sharepoint(SITE))

    job_of(scanner, asking(email(AP, to_user="false"), sharepoint(SITE, my_site="0")), stored=stored)
    assert refused(scanner, asking(email(AP, to_user="true"), sharepoint(SITE)), stored=stored) == (
        "SendToScanUser",
        "true",
    )
    assert refused(scanner, asking(email(AP), sharepoint(SITE, my_site="1")), stored=stored) == ("SaveToMySite", "true")


@pytest.mark.conformance("PSP-013")
def test_can_add_addresses_may_stand_without_a_namespace(scanner: Scanner) -> None:
    """Some write it so."""
    stored = adding(AP, can_add="true").replace("e:CanAddAddresses", "CanAddAddresses")

    assert " CanAddAddresses" in stored
    job_of(scanner, adding(AP, EVE), stored=stored)


SAME = {
    "boolean": (">true<", "> 1 <"),
    "root name with blanks around": (">Invoice<", ">\n Invoice <"),
    "share in capitals with a backslash": (SHARE, SHARE.upper() + "\\"),
    "address in capitals": (AP, AP.upper()),
    "site with a slash, host in capitals": (SITE, "HTTPS://Team.Fabrikam.Example/in/"),
    "default left out": ("<s:SaveToMySite>false</s:SaveToMySite>", ""),
    "another prefix": ("<f:FileShares>", '<f:FileShares xmlns:q="urn:q">'),
    "an extension": ("</psp:Filter>", '<x:a xmlns:x="urn:x"/></psp:Filter>'),
    "a comment": ("<psp:Filter>", "<!-- ours --><psp:Filter>"),
    "shares in another order": (
        f">{SHARE}</f:ShareUNC><f:ShareUNC>{OTHER}<",
        f">{OTHER}</f:ShareUNC><f:ShareUNC>{SHARE}<",
    ),
}


@pytest.mark.conformance("PSP-031")
@pytest.mark.parametrize(("written", "instead"), SAME.values(), ids=SAME)
def test_what_means_the_same_is_the_same(scanner: Scanner, written: str, instead: str) -> None:
    """By the rules of scan-process.md section 5."""
    assert written in STORED
    job_of(scanner, STORED.replace(written, instead), stored=STORED)


OTHERWISE = {
    "a filter fewer": (sharepoint(SITE, my_site="false"), "", "FiltersToProcess"),
    "a filter more": (fileshare(SHARE, OTHER), fileshare(SHARE, OTHER) * 2, "FiltersToProcess"),
    "another dialect": (email(AP), custom("urn:acme:copy", ""), "Dialect"),
    "another order": (fileshare(SHARE, OTHER) + email(AP), email(AP) + fileshare(SHARE, OTHER), "Dialect"),
    "another ContinueOnError": (">true<", ">false<", "ContinueOnError"),
    "a path of a site in capitals": ("/in<", "/In<", "SaveToSharePointSiteURL"),
    "a share fewer": (f"<f:ShareUNC>{OTHER}</f:ShareUNC>", "", "FileShares"),
}


@pytest.mark.conformance("PSP-031")
@pytest.mark.parametrize(("written", "instead", "name"), OTHERWISE.values(), ids=OTHERWISE)
def test_what_means_something_else_is_refused(scanner: Scanner, written: str, instead: str, name: str) -> None:
    """By its name."""
    detail = refused(scanner, STORED.replace(written, instead))

    assert detail
    assert detail[0] == name


@pytest.mark.conformance("PSP-032")
def test_permissions_in_a_request_count_for_nothing(scanner: Scanner) -> None:
    """Only the stored process gives them."""
    renamed = STORED.replace("Invoice", "Payroll") + allowing(NAME)
    moved = STORED.replace(SHARE, r"\\nas\evil") + allowing(PATH)

    assert refused(scanner, renamed) == ("DocumentRootName", "Payroll")
    assert refused(scanner, moved) == ("ShareUNC", r"\\nas\evil")
    assert refused(scanner, adding(AP, EVE, can_add="true"), stored=adding(AP)) == ("EmailAddress", EVE)


@pytest.mark.conformance("PSP-035")
def test_addresses_may_be_added_only_where_that_is_allowed(scanner: Scanner) -> None:
    """And there only added."""
    job_of(scanner, adding(AP, EVE, can_add="true"), stored=adding(AP, can_add="true"))

    assert refused(scanner, adding(AP, EVE), stored=adding(AP, can_add="false")) == ("EmailAddress", EVE)
    assert refused(scanner, adding(EVE, can_add="true"), stored=adding(AP, can_add="true"))


@pytest.mark.conformance("PSP-036")
@pytest.mark.parametrize(
    ("flag", "other", "written", "instead", "name"),
    [(NAME, PATH, "Invoice", "Payroll", "DocumentRootName"), (PATH, NAME, SHARE, r"\\nas\third", "ShareUNC")],
)
def test_root_name_and_shares_may_be_changed_only_where_that_is_allowed(
    scanner: Scanner, flag: str, other: str, written: str, instead: str, name: str
) -> None:
    """Each by a flag of its own; the other one does not help."""
    sent = STORED.replace(written, instead)

    good(scanner.device.create(scanner.server.store(STORED, allow=allowing(flag)), sent))
    assert refused(scanner, sent, allow=allowing(other)) == (name, instead)
