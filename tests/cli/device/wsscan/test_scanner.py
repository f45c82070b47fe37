"""The scan service of the simulated scanner, seen by a client that is not ours: the happy path and its limits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from works import until
from wsd_computer import WSCN, WsdComputer, WsdReply, image_of

from postscan.cli.device.wsscan import WsdScanner
from postscan.cli.device.wsscan.jobs.job_list import TRANSITIONS, WsdJobState

Begin = Callable[..., tuple[WsdScanner, WsdComputer]]
OPERATIONS = (
    *("CreateScanJob", "RetrieveImage", "CancelJob", "ValidateScanTicket"),
    *("GetScannerElements", "GetJobElements", "GetActiveJobs", "GetJobHistory"),
)


def all_pages(client: WsdComputer, created: WsdReply) -> tuple[list[bytes], str]:
    """Fetch pages until a fault; return them with its subcode."""
    found: list[bytes] = []
    while True:
        reply = client.retrieve(created)
        if reply.fault:
            return found, reply.fault
        found.append(image_of(reply))


@pytest.mark.conformance("WSS-080")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_of_the_eight_operations_is_known(begin: Begin, operation: str) -> None:
    """None is answered ActionNotSupported; another one is."""
    _, client = begin()
    reply = client.scan(operation)

    assert reply.fault not in ("ActionNotSupported", "DestinationUnreachable")
    assert client.scan("GetPrinterElements").fault == "ActionNotSupported"


def test_the_feeder_gives_all_pages_and_then_none(begin: Begin, paper: list[bytes]) -> None:
    """Byte by byte, in their order; the job is Completed."""
    scanner, client = begin()

    assert all_pages(client, client.create()) == (paper, "ClientErrorNoImagesAvailable")
    assert [(job.state, job.whole) for job in scanner.jobs] == [("Completed", 3)]
    assert scanner.state == "Idle"


def test_the_platen_gives_one_page(begin: Begin, paper: list[bytes]) -> None:
    """The job is Completed with it, without another request."""
    scanner, client = begin(source="platen")
    reply = client.retrieve(client.create(source="Platen"))

    assert image_of(reply) == paper[0]
    until(lambda: scanner.jobs[0].state == "Completed")


@pytest.mark.parametrize(("wanted", "sides"), [("ADFDuplex", [0, 1, 2]), ("ADF", [0, 2]), ("Platen", [])])
def test_both_sides_are_scanned_if_asked_for(begin: Begin, paper: list[bytes], wanted: str, sides: list[int]) -> None:
    """ADF scans fronts only; the platen is empty then."""
    _, client = begin(source="duplex")

    assert all_pages(client, client.create(source=wanted))[0] == [paper[side] for side in sides]


def test_no_more_images_than_asked_for_are_sent(begin: Begin, paper: list[bytes]) -> None:
    """ImagesToTransfer above 0 completes the job."""
    scanner, client = begin()
    created = client.create(client.ticket("ADF", images=2))

    assert all_pages(client, created)[0] == paper[:2]
    assert scanner.jobs[0].whole == 2


def test_the_response_to_create_tells_what_will_be_used(begin: Begin) -> None:
    """Pixels of the page, the ticket's values, and Override where one was replaced."""
    scanner, client = begin()
    more = (
        "<w:MediaSides><w:MediaFront><w:ColorProcessing>Grayscale8</w:ColorProcessing>"
        "<w:Resolution><w:Width>77</w:Width><w:Height>77</w:Height></w:Resolution></w:MediaFront></w:MediaSides>"
    )
    reply = client.create(client.ticket("ADF", format="jfif", more=more))
    path = "s:Body/w:CreateScanJobResponse/w:"

    assert reply.text(f"{path}ImageInformation/w:MediaFrontImageInfo/w:PixelsPerLine") == "240"
    assert reply.text(f"{path}ImageInformation/w:MediaFrontImageInfo/w:NumberOfLines") == "320"
    front = reply.root.find(
        f"{path}DocumentFinalParameters/w:MediaSides/w:MediaFront", {"s": reply.root.nsmap["soap"], "w": WSCN}
    )
    assert front is not None
    assert [one.get(f"{{{WSCN}}}Override") for one in front.iterdescendants(f"{{{WSCN}}}Width")] == ["true"]
    assert front.findtext(f"{{{WSCN}}}ColorProcessing") == "Grayscale8"
    assert [one for one in scanner.deviations if "77 x 77" in one]


@pytest.mark.parametrize(
    ("ticket", "fault"),
    [
        ("<w:Format>xps</w:Format>", "ClientErrorFormatNotSupported"),
        ('<w:InputSource w:MustHonor="true">Tray9</w:InputSource>', "ClientErrorConflictingRequiredParameters"),
        ("<w:InputSize><w:DocumentSizeAutoDetect>False</w:DocumentSizeAutoDetect></w:InputSize>", "InvalidArgs"),
    ],
)
def test_what_cannot_be_replaced_is_refused(begin: Begin, ticket: str, fault: str) -> None:
    """ws-scan.md section 7: a format never, others only without MustHonor; booleans are lower case."""
    scanner, client = begin()
    given = f"<w:ScanTicket><w:JobDescription/><w:DocumentParameters>{ticket}</w:DocumentParameters></w:ScanTicket>"

    assert client.create(given).fault == fault
    assert scanner.jobs == []


def test_a_ticket_out_of_order_is_recorded_and_not_refused(begin: Begin) -> None:
    """Foreign clients differ there; our own must not, and its tests look here."""
    scanner, client = begin()
    client.create(client.ticket("ADF", more="<w:Format>jfif</w:Format>"))

    assert len(scanner.deviations) == 1
    assert "CreateScanJob: DocumentParameters has ImagesToTransfer InputSource Format" in scanner.deviations[0]


@pytest.mark.parametrize("name", ["ScannerDescription", "ScannerConfiguration", "ScannerStatus", "DefaultScanTicket"])
def test_each_element_of_the_scanner_can_be_asked_for(begin: Begin, name: str) -> None:
    """By its QName; it is valid."""
    _, client = begin()
    data = client.elements(name).root.findall(f".//{{{WSCN}}}ElementData")

    assert [(one.get("Name"), one.get("Valid"), one[0].tag) for one in data] == [
        (f"wscn:{name}", "true", f"{{{WSCN}}}{name}")
    ]


def test_an_unknown_element_is_a_fault(begin: Begin) -> None:
    """Not silence."""
    assert begin()[1].elements("Toner").fault == "InvalidArgs"


def test_the_formats_are_those_of_the_paper(begin: Begin, paper: list[bytes]) -> None:
    """The scanner converts nothing."""
    _, client = begin(pages=[paper[0]], count=2)
    found = client.elements("ScannerConfiguration").root.findall(f".//{{{WSCN}}}FormatValue")

    assert [one.text for one in found] == ["jfif"]


def test_a_ticket_is_validated_without_a_job(begin: Begin) -> None:
    """A good one is true; another comes with the one that would be used."""
    scanner, client = begin()
    good = client.scan("ValidateScanTicket", client.ticket("ADF"))
    bad = client.scan("ValidateScanTicket", client.ticket("Tray9"))
    path = "s:Body/w:ValidateScanTicketResponse/w:ValidationInfo/w:"

    assert good.text(f"{path}ValidTicket") == "true"
    assert bad.text(f"{path}ValidTicket") == "false"
    assert bad.text(f"{path}ValidScanTicket/w:DocumentParameters/w:InputSource") == "ADF"
    assert scanner.jobs == []


def test_jobs_are_listed_before_and_after_their_end(begin: Begin) -> None:
    """GetActiveJobs, GetJobHistory and GetJobElements agree."""
    _, client = begin()
    created = client.create()
    id, _ = client.job(created)
    asked = f"<w:JobId>{id}</w:JobId><w:RequestedElements><w:Name>w:JobStatus</w:Name></w:RequestedElements>"
    path = f".//{{{WSCN}}}JobState"

    def states(reply: WsdReply) -> list[str | None]:
        return [one.text for one in reply.root.iterfind(path)]

    assert states(client.scan("GetActiveJobs")) == states(client.scan("GetJobElements", asked)) == ["Pending"]
    assert states(client.scan("GetJobHistory")) == []
    client.cancel(created)
    assert states(client.scan("GetActiveJobs")) == []
    assert states(client.scan("GetJobHistory")) == states(client.scan("GetJobElements", asked)) == ["Canceled"]


def test_a_second_job_waits_for_the_first_to_end(begin: Begin) -> None:
    """NotAcceptingJobs until then."""
    _, client = begin()
    first = client.create()

    assert client.create().fault == "ServerErrorNotAcceptingJobs"
    client.cancel(first)
    assert client.create().fault == ""


def test_a_page_needs_the_token_of_its_job(begin: Begin) -> None:
    """And a job that there is."""
    _, client = begin()
    client.create()
    body = "<w:JobToken>x</w:JobToken><w:DocumentDescription><w:DocumentName>p</w:DocumentName></w:DocumentDescription>"

    assert client.scan("RetrieveImage", f"<w:JobId>1</w:JobId>{body}").fault == "ClientErrorInvalidJobToken"
    assert client.scan("RetrieveImage", f"<w:JobId>2</w:JobId>{body}").fault == "ClientErrorJobIdNotFound"


def test_a_client_that_does_not_come_for_its_pages_loses_the_job(begin: Begin) -> None:
    """JobTimedOut; the scanner is free again."""
    scanner, client = begin(first_seconds=0.2)
    created = client.create()
    until(lambda: scanner.jobs[0].has_ended)

    assert (scanner.jobs[0].state, scanner.jobs[0].reason) == ("Aborted", "JobTimedOut")
    assert client.retrieve(created).fault == "OperationFailed"
    assert scanner.state == "Idle"


def test_a_client_that_has_all_pages_and_asks_no_more_is_done(begin: Begin, paper: list[bytes]) -> None:
    """It counts: the job is Completed when its time is over."""
    scanner, client = begin(first_seconds=0.3, pages=paper[:1])
    assert image_of(client.retrieve(client.create())) == paper[0]
    until(lambda: scanner.jobs[0].has_ended)

    assert scanner.jobs[0].state == "Completed"


def test_cancel_job_ends_it_and_its_pages(begin: Begin) -> None:
    """A second one finds no job."""
    scanner, client = begin()
    created = client.create()
    client.retrieve(created)

    assert client.cancel(created).fault == ""
    assert client.retrieve(created).fault == "ClientErrorJobCancelled"
    assert client.cancel(created).fault == "ClientErrorJobIdNotFound"
    assert [(job.state, job.whole) for job in scanner.jobs] == [("Canceled", 1)]


def test_cancel_job_stops_an_image_in_the_middle(begin: Begin) -> None:
    """On a second connection, while the first receives; its end boundary never comes."""
    scanner, client = begin(pages=[b"\xff\xd8\xff\xe0" + bytes(400_000)], misbehaviours=["slow=50000"])
    created = client.create()
    replies: list[Exception | WsdReply] = []

    def fetch() -> None:
        try:
            replies.append(client.retrieve(created))
        except Exception as error:  # which one depends on where the connection broke
            replies.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    until(lambda: scanner.jobs[0].sending)
    client.cancel(created)
    thread.join(5)

    assert len(replies) == 1
    assert isinstance(replies[0], Exception)
    assert [(job.state, job.whole) for job in scanner.jobs] == [("Canceled", 0)]


def test_every_state_can_end() -> None:
    """The table of states has no trap."""
    ends = {state for state, following in TRANSITIONS.items() if not following}

    assert TRANSITIONS.keys() == set(WsdJobState)
    assert all(following & ends for state, following in TRANSITIONS.items() if state not in ends)


@pytest.mark.parametrize("data", [b"", b"<a/>", b"{}", b"<!DOCTYPE a><a/>", b"<a>" * 300 + b"</a>" * 300])
def test_what_is_not_soap_is_400(begin: Begin, data: bytes) -> None:
    """And the scanner goes on."""
    scanner, client = begin()

    assert client.send(scanner.service_url, data).status == 400
    assert client.scan("GetActiveJobs").status == 200


def test_a_body_of_another_operation_is_refused(begin: Begin) -> None:
    """The action names the operation."""
    _, client = begin()

    assert client.call(f"{WSCN}/CancelJob", "<w:GetActiveJobsRequest/>").fault == "InvalidArgs"


def test_each_request_is_logged(begin: Begin) -> None:
    """With the time, the method and the action; the body can be read."""
    scanner, client = begin()
    client.scan("GetActiveJobs")
    (_, method, what) = scanner.requests[-1]

    assert (method, what) == ("POST", f"{WSCN}/GetActiveJobs")
    assert b"GetActiveJobsRequest" in scanner.bodies("GetActiveJobs")[-1]
