"""PSP-014 to PSP-026, PSP-029, PSP-030, PSP-037, PSP-047, PSP-053: a server that delivers to real destinations.

Two shares in folders, a mail server, and a WebDAV server with a library for everybody and one for each user.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import webdav
from acceptance.scanning import Scanner, Status, good, refusal
from acceptance.server import SHARE, Server, running
from conformance.filters import asking, email, fileshare, sharepoint
from conformance.wire import job_of
from smtp import MailServer

SECOND, FORBIDDEN = r"\\nas\second", r"\\nas\forbidden"
ANNA, MALLORY = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1666"
USER, MAIL = "anna@fabrikam.example", "anna.user@fabrikam.example"
TRAVERSAL = "../../../evil@../fabrikam.example"


@dataclass(frozen=True)
class Office:
    """The server, and where it delivers to; `folders` are those behind the two shares."""

    server: Server
    folders: tuple[Path, Path]
    mail: MailServer
    dav: webdav.WebDav


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An office with all that filters deliver to; mails go to its own domain only."""
    home = tmp_path_factory.mktemp("office")
    second, server_home = home / "second", home / "server"
    second.mkdir()
    server_home.mkdir()
    with MailServer() as mail, webdav.serve(home / "dav") as dav:
        site = {"kind": "webdav", "user": webdav.USER, "password": webdav.PASSWORD, "seconds": 60}
        smtp = {"host": "127.0.0.1", "port": mail.port, "sender": "scans@fabrikam.example", "tries": 1, "seconds": 60}
        settings = {
            "filters.fileshare.shares": {
                SHARE: str(server_home / "share"),
                SECOND: str(second),
                FORBIDDEN: "/sys",
            },
            "filters.email": {**smtp, "allowed_domains": ["fabrikam.example"]},
            "filters.sharepoint": {"my_site": f"{dav.library}/own/{{user}}"},
            f'filters.sharepoint.sites."{dav.url}"': site,
            f"users.{ANNA}": {"name": USER, "mail": MAIL},
            f"users.{MALLORY}": {"name": TRAVERSAL},
        }
        (dav.root / "docs" / "own" / USER).mkdir(parents=True)
        (dav.root / "docs" / "other").mkdir()
        with running(server_home, settings) as server:
            yield Office(server, (server.share, second), mail, dav)


@dataclass(frozen=True)
class Scan:
    """What became of a job: its images, how it ended, and what arrived where, by place and bytes."""

    token: str
    images: list[bytes]
    status: Status
    shares: tuple[dict[str, bytes], dict[str, bytes]] = field(default=({}, {}))
    mails: list[tuple[list[str], list[bytes]]] = field(default_factory=list)
    library: dict[str, bytes] = field(default_factory=dict)


def scan(office: Office, asked: str, *, stored: str = "", allow: str = "", user: str = ANNA, pages: int = 1) -> Scan:
    """Scan pages with these instructions, and look at what has arrived by that."""
    scanner = Scanner(office.server)
    scanner.device.user = user
    before = (*map(files, office.folders), office.dav.files())
    office.mail.messages.clear()
    token = job_of(scanner, asked, stored=stored, allow=allow)
    images = scanner.send(token, *range(1, pages + 1))
    good(scanner.device.end(token))
    status = scanner.ended(token)
    one, two, library = (
        {place: data for place, data in after.items() if place not in known}
        for known, after in zip(before, (*map(files, office.folders), office.dav.files()), strict=True)
    )
    mails = [(mail.recipients, [data for _, _, data in mail.attachments]) for mail in office.mail.messages]
    return Scan(token, images, status, (one, two), mails, library)


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(folder: Path) -> set[str]:
    """Return the name of every file below a folder; one may be removed meanwhile."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def folders(places: dict[str, bytes]) -> set[str]:
    """Return the folders in which files lie."""
    return {str(Path(place).parent) for place in places}


def done(scanned: Scan) -> Scan:
    """Return a scan of which every filter succeeded."""
    assert scanned.status.state == "Completed"
    assert set(scanned.status.filters) == {"CompletedSuccessfully"}
    return scanned


# --- everything everywhere -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def everywhere(office: Office) -> Scan:
    """Two pages to two shares, three people and three libraries."""
    return done(
        scan(
            office,
            asking(
                fileshare(SHARE, SECOND),
                email("ap@fabrikam.example", "audit@fabrikam.example", to_user="true"),
                sharepoint(office.dav.library, f"{office.dav.library}/other", my_site="true"),
            ),
            pages=2,
        )
    )


@pytest.mark.conformance("PSP-014")
def test_each_image_is_saved_to_every_share(everywhere: Scan) -> None:
    """By its bytes."""
    for share in everywhere.shares:
        assert sorted(share.values()) == sorted(everywhere.images)


@pytest.mark.conformance("PSP-015")
def test_images_lie_in_a_folder_of_the_submitting_user(everywhere: Scan) -> None:
    """Called user@domain, directly below the share."""
    assert [folders(share) for share in everywhere.shares] == [{USER}, {USER}]


@pytest.mark.conformance("PSP-016")
def test_the_users_folder_is_made_if_it_is_missing(office: Office) -> None:
    """And used if it is there."""
    user = "S-1-5-21-1-2-3-1077"
    assert not (office.server.share / user).exists()

    for _ in range(2):
        assert folders(done(scan(office, asking(fileshare(SHARE)), user=user)).shares[0]) == {user}


@pytest.mark.conformance("PSP-018")
def test_all_images_are_attached_to_the_mail(everywhere: Scan) -> None:
    """To one mail, in their order."""
    ((_, attached),) = everywhere.mails

    assert attached == everywhere.images


@pytest.mark.conformance("PSP-019", "PSP-020")
def test_the_mail_goes_to_every_address_and_to_the_submitter(everywhere: Scan) -> None:
    """The submitter's own address is not in the instructions: the server knows it."""
    ((recipients, _),) = everywhere.mails

    assert recipients == ["ap@fabrikam.example", "audit@fabrikam.example", MAIL]


@pytest.mark.conformance("PSP-021")
@pytest.mark.parametrize("to_user", ["false", "0", ""])
def test_the_submitter_gets_no_mail_if_that_is_not_said(office: Office, to_user: str) -> None:
    """Neither when it is false nor when nothing is said."""
    scanned = done(scan(office, asking(email("ap@fabrikam.example", to_user=to_user))))

    assert [recipients for recipients, _ in scanned.mails] == [["ap@fabrikam.example"]]


@pytest.mark.conformance("PSP-022")
def test_nobody_gets_a_mail_twice(office: Office) -> None:
    """Upper and lower case make no other recipient, and the submitter may be on the list."""
    scanned = scan(office, asking(email("ap@fabrikam.example", "AP@Fabrikam.example", MAIL.upper(), to_user="true")))

    assert [recipients for recipients, _ in scanned.mails] == [["ap@fabrikam.example", MAIL.upper()]]


@pytest.mark.conformance("PSP-023")
@pytest.mark.parametrize("control", ["&#13;&#10;Bcc: eve", "&#10;", "&#9;", "&#x85;"])
def test_control_characters_in_addresses_are_refused(office: Office, control: str) -> None:
    """Before there is a job: no header can be smuggled into a mail."""
    scanner = Scanner(office.server)
    good_one = asking(email("ap@fabrikam.example"))
    bad_one = good_one.replace("ap@", f"ap{control}@")
    fault = refusal(scanner.device.create(office.server.store(good_one), bad_one))

    assert (fault.subcode, fault.detail and fault.detail[0]) == ("dsp:InvalidArgs", "EmailAddress")


@pytest.mark.conformance("PSP-024")
def test_each_image_is_saved_to_every_library_in_the_users_folder(everywhere: Scan) -> None:
    """As on the shares."""
    for folder in (f"docs/{USER}", f"docs/other/{USER}"):
        saved = [data for place, data in everywhere.library.items() if place.startswith(f"{folder}/")]

        assert sorted(saved) == sorted(everywhere.images)


@pytest.mark.conformance("PSP-025")
def test_the_users_own_library_is_added(office: Office, everywhere: Scan) -> None:
    """Where it is, the settings say; without SaveToMySite nothing goes there."""
    others = done(scan(office, asking(sharepoint(office.dav.library))))
    own = [data for place, data in everywhere.library.items() if place.startswith(f"docs/own/{USER}/")]

    assert sorted(own) == sorted(everywhere.images)
    assert folders(others.library) == {f"docs/{USER}"}


@pytest.mark.conformance("PSP-026")
def test_the_bytes_of_an_image_stay_as_they_are(everywhere: Scan) -> None:
    """In every copy that was delivered, on all three ways."""
    ((_, attached),) = everywhere.mails
    copies = [
        *attached,
        *everywhere.library.values(),
        *(data for share in everywhere.shares for data in share.values()),
    ]

    assert len(copies) == 2 * (1 + 3 + 2)
    assert set(copies) == set(everywhere.images)


@pytest.mark.conformance("PSP-047")
def test_the_user_identifier_becomes_the_name_of_job_and_folder(office: Office, everywhere: Scan) -> None:
    """A SID comes in; people see user@domain."""
    described = good(Scanner(office.server).device.elements(everywhere.token, "dsp:JobDescription"))

    assert described.find("JobOriginatingUserName") == USER
    assert {folder for share in everywhere.shares for folder in folders(share)} == {USER}


# --- what is not delivered -------------------------------------------------------------------------------------------


@pytest.mark.conformance("PSP-017")
def test_no_name_leads_out_of_the_share(office: Office) -> None:
    """D9: neither the user's, nor the domain's, nor the root name; each is made safe, and the image arrives."""
    place = office.server.home.parent
    before = names(place)
    scanned = done(scan(office, asking(fileshare(SHARE), root="../../../etc/evil"), user=MALLORY))
    (saved,) = scanned.shares[0]
    new = {one for one in names(place) - before if one.endswith(".png")}

    assert len(Path(saved).parts) == 2
    assert ".." not in Path(saved).parts
    assert {one for one in new if "spool" not in one} == {f"server/share/{saved}"}


@pytest.mark.conformance("PSP-029")
def test_a_destination_that_fails_does_not_keep_the_others_from_theirs(office: Office) -> None:
    """The first cannot be reached; each filter says so afterwards."""
    shares, sites = fileshare(r"\\nowhere\scans", SHARE), sharepoint(f"{office.dav.library}/gone", office.dav.library)
    scanned = scan(office, asking(shares, email("eve@evil.example", "ap@fabrikam.example"), sites, go_on="true"))

    assert scanned.status.filters == ("CompletedWithErrors",) * 3
    assert list(scanned.shares[0].values()) == scanned.images
    assert [recipients for recipients, _ in scanned.mails] == [["ap@fabrikam.example"]]
    assert list(scanned.library.values()) == scanned.images


@pytest.mark.conformance("PSP-030")
def test_failures_are_reported_with_the_reasons_of_the_protocol(office: Office) -> None:
    """Each filter's own."""
    office.mail.script["RCPT"] = ["550 no such user"]
    asked = asking(
        fileshare(FORBIDDEN), email("ap@fabrikam.example"), sharepoint(f"{office.dav.url}/readonly"), go_on="true"
    )

    assert scan(office, asked).status.why == ("FileShareAccessDenied", "UnableToSendEmail", "SharePointAccessDenied")


@pytest.mark.conformance("PSP-037")
def test_changed_shares_and_added_addresses_pass_the_servers_own_lists(office: Office) -> None:
    """The scan process permits a device to change them; the settings say what is possible at all."""
    path = "<spx:AllowDeviceFilePathChange>true</spx:AllowDeviceFilePathChange>"
    stored = asking(fileshare(SHARE), email("ap@fabrikam.example", can_add="true"), go_on="true")
    sent = asking(
        fileshare(r"\\evil\scans", SECOND),
        email("ap@fabrikam.example", "eve@evil.example", can_add="true"),
        go_on="true",
    )
    scanned = scan(office, sent, stored=stored, allow=path)

    assert scanned.status.filters == ("CompletedWithErrors",) * 2
    assert [len(share) for share in scanned.shares] == [0, 1]
    assert [recipients for recipients, _ in scanned.mails] == [["ap@fabrikam.example"]]


@pytest.mark.conformance("PSP-053")
@pytest.mark.parametrize("config", [fileshare(), email(), sharepoint()])
def test_a_filter_without_destinations_is_accepted(office: Office, config: str) -> None:
    """It does nothing, and says so as a warning (P-5)."""
    scanned = scan(office, asking(config))

    assert (scanned.status.state, scanned.status.filters) == ("Completed", ("CompletedWithWarnings",))
    assert (scanned.shares, scanned.mails, scanned.library) == (({}, {}), [], {})
