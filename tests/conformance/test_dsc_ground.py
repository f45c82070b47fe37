"""DSC-003 to DSC-020 and DSC-034 to DSC-041: what every message stands on, and what there is to be told."""

from __future__ import annotations

import os
import re
import socket
import uuid
from datetime import datetime, timedelta
from pathlib import Path

import messages
import psutil
import pytest
from acceptance.scanning import good, instructions, refusal
from acceptance.seeking import WSD, ask, probe, text
from acceptance.server import SHARE, running
from conformance.desk import (
    ALL,
    BOTH,
    OPERATIONS,
    Desk,
    Office,
    dialects,
    dsc,
    element_data,
    of_job,
    open_office,
    reprefixed,
    sample,
    shape,
    state_of,
    summaries,
    texts,
)
from conformance.wire import abandoned, changed, invalid, job_of
from device import SOAP

from postscan.core.errors import InvalidArgument
from postscan.core.model.states import FilterReason, FilterState, JobReason, JobState
from postscan.core.settings import Settings
from postscan.soap.processes.folder import ProcessFolder

SPX = "http://schemas.microsoft.com/windows/2010/09/imaging/postscan/scanprocess/extensions"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
CONTRAST = "<wscn:ExposureSettings><wscn:Contrast>-10</wscn:Contrast></wscn:ExposureSettings>"
EXPOSED = f"<wscn:Exposure>{CONTRAST}</wscn:Exposure>"
LOCAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-10:00")

# --- words and messages ----------------------------------------------------------------------------------------------


@pytest.mark.conformance("DSC-003")
@pytest.mark.parametrize(("said", "told"), [("acme:Quota.full-2", "acme:Quota.full-2"), ("no keyword", "UnknownError")])
def test_a_vendors_reason_matches_the_pattern_or_is_not_told(office: Office, desk: Desk, said: str, told: str) -> None:
    """A filter may give any text as a reason; what is no keyword becomes one of the protocol's."""
    token = office.scanner.start(f"fail {said}")
    office.scanner.ended(token)
    reasons = texts(of_job(desk, token), "FilterStatuses", "FilterStatus", "FilterStateReasons", "FilterStateReason")

    assert reasons == [told]


@pytest.mark.conformance("DSC-003")
def test_a_vendors_format_matches_the_pattern_or_is_refused(office: Office, desk: Desk, job: str) -> None:
    """What is taken is told as it was sent."""
    office.scanner.send(job, 1, format="image/x-acme;v-2")
    refused = office.scanner.device.send_image(job, 2, b"a page", "a b")

    assert texts(of_job(desk, job, "Documents"), "Document", "DocumentDescription", "Format") == ["image/x-acme;v-2"]
    assert invalid(refused) == ("Format", "a b")


@pytest.mark.conformance("DSC-004", "DSC-041")
def test_the_server_listens_on_the_well_known_port(tmp_path: Path) -> None:
    """5362 of TCP and of UDP, by the settings as they come; the latter with discovery, to which it belongs."""
    host = f"127.53.{os.getpid() >> 8 & 255}.{(os.getpid() & 255) or 1}"
    tables = {"server": {"host": host, "port": 5362}, "discovery": {"enabled": True, "port": 0}}
    with running(tmp_path, tables) as server:
        answer = ask(probe(), (host, 5362))
        with socket.create_connection((host, 5362), 10) as connection:
            there = connection.getpeername()

    assert server.url == f"http://{host}:5362/ScanServer/processing"
    assert (there, text(answer, "wsa:Action")) == ((host, 5362), f"{WSD}/ProbeMatches")
    assert (Settings().server.port, Settings().discovery.directed_port) == (5362, 5362)


@pytest.mark.conformance("DSC-041")
def test_without_discovery_no_port_of_udp_is_open(office: Office) -> None:
    """The deviation: nothing of this protocol travels over it; here, on loopback, nobody has asked for discovery."""
    server = psutil.Process(office.server.pid)

    assert office.server.settings.discovery.enabled is None
    assert server.net_connections("tcp")
    assert server.net_connections("udp") == []


@pytest.mark.conformance("DSC-005")
def test_the_transport_carries_soap_1_2(desk: Desk) -> None:
    """In a POST of HTTP; an older envelope is answered with the version that is spoken."""
    answer = good(desk.active())
    old = desk.device.post(changed(desk.request("GetActiveJobs"), SOAP, SOAP11), "text/xml")

    assert answer.headers["content-type"] == "application/soap+xml; charset=utf-8"
    assert answer.body.startswith(f'<soap:Envelope xmlns:soap="{SOAP}"'.encode())
    assert b"<faultcode>soap11:VersionMismatch</faultcode>" in old.body


@pytest.mark.conformance("DSC-006")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_prefixes_are_the_senders_own_affair(desk: Desk, operation: str, job: str) -> None:
    """Of the envelope, of the addressing, of the service and in the values of the names."""
    request = desk.request(operation, sample(operation, job))
    for ours, theirs in (("dsc", "DSC"), ("soap", "dsc2"), ("wsa", "a")):
        request = reprefixed(request, ours, theirs)

    assert b"dsc:" not in request
    assert good(desk.device.post(request))


@pytest.mark.conformance("DSC-012")
def test_a_document_id_names_one_document(office: Office, desk: Desk, job: str) -> None:
    """What is sent under a number that is taken is refused."""
    office.scanner.send(job, 3)
    again = office.scanner.device.send_image(job, 3, b"another page")

    assert invalid(again) == ("DocumentId", "3")
    assert texts(of_job(desk, job, "Documents"), "Document", "DocumentDescription", "DocumentId") == ["3"]


@pytest.mark.conformance("DSC-013")
def test_a_token_names_one_job(office: Office, desk: Desk) -> None:
    """Random GUIDs, each told once, of whatever device."""
    made = [scanner.create("copy") for scanner in (office.scanner, office.named_device()) for _ in range(5)]
    told = good(desk.active()).find_all("JobToken")

    assert len({uuid.UUID(token) for token in made}) == 10
    assert set(made) <= set(told)
    assert len(set(told)) == len(told)


def allowing(name: str) -> str:
    """Return a permission as it stands in a stored process."""
    return f'<x:{name} xmlns:x="{SPX}">true</x:{name}>'


@pytest.mark.conformance("DSC-015")
def test_a_device_may_choose_another_name_where_the_process_says_so(office: Office, desk: Desk) -> None:
    """And not where it does not."""
    stored = instructions("copy")
    sent = stored.replace("Invoice", "March")
    token = job_of(office.scanner, sent, stored=stored, allow=allowing("AllowDeviceFileNameChange"))
    refused = office.scanner.device.create(office.server.store(stored), sent)

    assert state_of(desk, token) == ("Creating", [])
    assert invalid(refused) == ("DocumentRootName", "March")


@pytest.mark.conformance("DSC-016")
def test_a_device_may_choose_another_share_where_the_process_says_so(office: Office, desk: Desk) -> None:
    """And not where it does not."""
    stored, sent = instructions(r"share \\nas\other"), instructions(f"share {SHARE}")
    token = job_of(office.scanner, sent, stored=stored, allow=allowing("AllowDeviceFilePathChange"))
    refused = office.scanner.device.create(office.server.store(stored), sent)

    assert state_of(desk, token) == ("Creating", [])
    assert invalid(refused) == ("ShareUNC", SHARE)


@pytest.mark.conformance("DSC-017")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_message_is_valid_by_the_types(office: Office, desk: Desk, operation: str) -> None:
    """`good` and `refusal` hold each answer against our schema: those with content, and those with a fault."""
    token = office.scanner.create("copy", "warn")
    office.scanner.send(token, 1, format="tiff-multi-g4")

    assert good(desk.sample(operation, token))
    assert refusal(desk.ask(operation, "<dsc:Nonsense/>")).subcode == "dsc:InvalidArgs"


@pytest.mark.conformance("DSC-017")
def test_the_words_of_states_and_reasons_are_those_of_the_types() -> None:
    """One more or one less, and a message with it would not be valid."""
    assert set(JobState) == {
        *("Aborted", "Canceled", "Completed", "Creating", "Pending", "Pending-Held", "Processing", "Started"),
        "Terminating",
    }
    assert set(FilterState) == {
        *("Pending", "Processing", "Canceled"),
        *("CompletedSuccessfully", "CompletedWithErrors", "CompletedWithWarnings"),
    }
    assert {reason for reason in JobReason if not reason.startswith("PostScanJob")} <= {
        *("NoValidPostScanInstructionsFound", "CreatePostScanJobFailed", "SendImageFailed"),
    }
    assert set(FilterReason) <= {
        *("InvalidArgs", "OutOfDiskSpace", "ServerOutOfMemory", "UnknownError"),
        *("FileShareAccessDenied", "FileShareOutOfDiskSpace", "SharePointAccessDenied", "SharePointOutOfDiskSpace"),
        *("InvalidSMTPServer", "UnableToSendEmail"),
    }


@pytest.mark.conformance("DSC-018")
def test_times_are_those_of_the_servers_own_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it hangs in Honolulu; what is behind the time says how far that is from UTC."""
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    with open_office(tmp_path) as office:
        token = office.scanner.create("copy")
        good(office.desk.cancel(token))
        status = of_job(office.desk, token)
        now = datetime.now().astimezone()
    times = [texts(status, name)[0] for name in ("JobCreatedTime", "JobCompletedTime")]

    assert all(LOCAL.fullmatch(time) for time in times)
    assert now - timedelta(minutes=1) < datetime.fromisoformat(times[0]) <= datetime.fromisoformat(times[1]) <= now


@pytest.mark.conformance("DSC-019")
@pytest.mark.parametrize(
    ("exposure", "fits"),
    [
        (EXPOSED, True),
        ("<wscn:Exposure><wscn:AutoExposure>true</wscn:AutoExposure></wscn:Exposure>", True),
        (EXPOSED.replace("</wscn:Exposure>", "<wscn:AutoExposure>true</wscn:AutoExposure></wscn:Exposure>"), False),
        ("<wscn:Exposure/>", False),
    ],
    ids=["settings", "auto", "both", "neither"],
)
def test_an_exposure_is_automatic_or_has_settings(tmp_path: Path, exposure: str, fits: bool) -> None:
    """Judged when the process is stored; a ticket with both is not."""
    folder = ProcessFolder(tmp_path)
    assert EXPOSED in messages.PROCESS
    process = messages.PROCESS.replace(EXPOSED, exposure).encode()
    if fits:
        assert folder.add(process, display_name="Intake")
        return

    with pytest.raises(InvalidArgument):
        folder.add(process, display_name="Intake")
    assert folder.names() == []


@pytest.mark.conformance("DSC-020")
def test_a_job_without_its_end_times_out(tmp_path: Path) -> None:
    """After ten minutes, or what the settings say: here, after a second."""
    with open_office(tmp_path, {"limits": {"silence_seconds": 1}}) as office:
        silent, sent = office.scanner.create("copy"), abandoned(office.scanner)
        for token in (silent, sent):
            office.scanner.ended(token)
        ends = [state_of(office.desk, token) for token in (silent, sent)]

    assert ends == [("Aborted", ["PostScanJobTimedOut"])] * 2
    assert Settings().limits.silence_seconds == 600


# --- what there is ---------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DSC-034")
def test_from_the_repository_down_to_the_documents_all_is_there(office: Office, desk: Desk) -> None:
    """Configuration and status; its jobs; of each what it says of itself, and what it was sent."""
    token = office.scanner.create("copy")
    office.scanner.send(token, 1, 2)
    repository = [shape(one) for one in element_data(desk.repository(*BOTH))]
    of_it = [shape(one) for one in element_data(desk.elements(token, *ALL))]

    assert repository == [["RepositoryConfiguration"], ["RepositoryStatus"]]
    assert token in summaries(desk.active())
    assert of_it == [["JobStatus"], ["JobDescription"], ["Documents"]]
    assert len(of_job(desk, token, "Documents")) == 2


@pytest.mark.conformance("DSC-035", "DSC-036", "DSC-037", "DSC-039", "DSC-040")
def test_a_job_keeps_all_that_belongs_to_it(office: Office, desk: Desk) -> None:
    """Status, filter statuses, description and documents: also of a job that has ended."""
    scanner = office.named_device()
    token = scanner.create("fail FileShareAccessDenied", "copy", go_on="true")
    scanner.send(token, 1, format="xps")
    good(scanner.device.end(token))
    scanner.ended(token)
    status, described = of_job(desk, token), of_job(desk, token, "JobDescription")
    filters = [
        (*texts(one, "Dialect"), *texts(one, "FilterState"), texts(one, "FilterStateReasons", "FilterStateReason"))
        for one in status.iter(dsc("FilterStatus"))
    ]
    (document,) = of_job(desk, token, "Documents")

    assert texts(status, "JobToken") == [token]
    assert state_of(desk, token) == ("Completed", ["PostScanJobCompletedWithErrors"])
    assert filters == [
        ("urn:acme:fail", "CompletedWithErrors", ["FileShareAccessDenied"]),
        ("urn:acme:copy", "CompletedSuccessfully", []),
    ]
    assert [leaf.text for leaf in described][1:] == ["Test process", "clerk@fabrikam.example"]
    assert [leaf.text for leaf in document[0]] == ["1", "xps"]


@pytest.mark.conformance("DSC-038")
def test_a_filters_dialect_is_one_of_the_configurations(office: Office, desk: Desk) -> None:
    """Whichever of the two says it: by a qualified name, or by itself."""
    token = office.scanner.create("copy", f"share {SHARE}")
    used = texts(of_job(desk, token), "FilterStatuses", "FilterStatus", "Dialect")

    assert used == ["urn:acme:copy", f"{messages.FILTER}fileshare"]
    assert set(used) <= set(dialects(desk))


@pytest.mark.conformance("DSC-038")
def test_a_dialect_that_nobody_knows_is_shown_as_it_was_sent(office: Office, desk: Desk) -> None:
    """The deviation: its job was taken, and aborted; an administrator gets to see for want of what."""
    token = office.scanner.start("nobody")
    office.scanner.ended(token)

    assert state_of(desk, token) == ("Aborted", ["NoValidPostScanInstructionsFound"])
    assert texts(of_job(desk, token), "FilterStatuses", "FilterStatus", "Dialect") == ["urn:acme:nobody"]
    assert "urn:acme:nobody" not in dialects(desk)
