"""`postscan device` against a server of a few lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from certificates import Authority
from hosted import (
    DSP,
    ENDPOINT,
    OTHER_TOKEN,
    TOKEN,
    Answer,
    Asked,
    Hosted,
    end_event,
    fault,
    found,
    hosting,
    status_event,
    subscription_end,
)
from typer.testing import Result

from postscan.cli.demo import sandbox
from postscan.cli.device import command
from postscan.cli.device.scenarios import job_session

ARCHIVE = Path(sandbox.__file__).parent / "samples" / "archive.xml"
GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
POLLS = ("GetPostScanJobElements",)
Run = Callable[..., Result]


@pytest.fixture
def host() -> Iterator[Hosted]:
    """A server that tells the usual events once a job is ended."""
    with hosting() as host:
        host.telling(status_event("Processing"), status_event("Completed", "CompletedSuccessfully"), end_event())
        yield host


@pytest.fixture
def device(postscan: Run, host: Hosted) -> Run:
    """Run the device with the server's name."""
    return lambda *arguments: postscan("device", f"127.0.0.1:{host.port}", *arguments)


@pytest.fixture
def scan(device: Run) -> Run:
    """Run the device with files, and the process of the demo."""
    return lambda *arguments: device(*arguments, "--process", GUID, "--process-file", ARCHIVE)


# --- finding -----------------------------------------------------------------------------------------------------


def test_from_a_host_name_to_the_services(device: Run, host: Hosted) -> None:
    """ws-dsp.md section 8, steps 2 and 3: Probe, Get, and what they tell; nothing is subscribed to."""
    result = device()

    assert result.exit_code == 0
    assert set(host.operations()) == {"Probe", "Get"}
    assert f"Found {ENDPOINT} at {host.origin}/device (UDP port {host.port}" in result.stdout
    assert "types    wsdp:Device dsp:RepositoryDeviceType" in result.stdout
    assert "device   Scan server scan01 (Example Project DSM, serial number unknown)" in result.stdout
    assert f"service  dsp:RepositoryProcessingServiceType at {host.url}" in result.stdout


def test_a_get_goes_to_the_endpoint_that_was_found(device: Run, host: Hosted) -> None:
    """dpws.md section 4: To is the address of the endpoint, the connection goes to its XAddr."""
    device()
    get = next(one for one in host.asked if one.operation == "Get")

    assert get.way == "/device"
    assert found("To", get.data) == ENDPOINT


def test_an_answer_to_something_else_is_no_answer(device: Run, host: Hosted) -> None:
    """DPW-045 from the other side: what an answer relates to has to be the question."""
    host.says["Get"] = lambda asked: host.metadata(asked)
    honest = host.answer
    host.answer = lambda asked: honest(
        replace(asked, data=asked.data.replace(b"urn:uuid:", b"urn:other:")) if asked.operation == "Get" else asked
    )
    result = device()

    assert result.exit_code == 1
    assert "relates to urn:other:" in result.stderr


def test_what_is_found_is_json_for_a_program(device: Run, host: Hosted) -> None:
    """All of it, and nothing else on stdout."""
    (one,) = json.loads(device("--json").stdout)["found"]

    assert one["match"]["endpoint"] == ENDPOINT
    assert one["description"]["address"] == f"{host.origin}/device"
    assert one["description"]["services"][0]["addresses"] == [host.url]


def test_a_server_that_is_not_there_is_one_line(postscan: Run) -> None:
    """Exit code 1, and all that was tried."""
    with hosting() as gone:
        port = gone.port
    result = postscan("device", f"127.0.0.1:{port}")

    assert result.exit_code == 1
    assert result.stderr.startswith("postscan: 127.0.0.1: no device found; UDP ports")
    assert len(result.stderr.splitlines()) == 1


def test_without_ws_dsp_it_shows_what_there_is(scan: Run, host: Hosted, page: Path) -> None:
    """A printer is no scan server, and costs no job."""
    host.says["Get"] = lambda asked: host.metadata(asked, types="wsdp:PrintService")
    result = scan(page)

    assert result.exit_code == 1
    assert f"hosts no service of type {{{DSP}}}RepositoryProcessingServiceType" in result.stderr
    assert f"PrintService at {host.url}" in result.stderr
    assert set(host.operations()) == {"Probe", "Get"}


def test_who_asks_for_tls_is_not_talked_out_of_it(device: Run, host: Hosted, tmp_path: Path) -> None:
    """DSP-080: an answer by UDP proves nothing, so an address without TLS is not even asked what it is."""
    result = device("--ca", Authority().write(tmp_path, "ca"))

    assert result.exit_code == 1
    assert f"the server has the address {host.origin}/device; with --ca or --cert it has to be https" in result.stderr
    assert set(host.operations()) == {"Probe"}


def test_what_a_stranger_says_cannot_steer_the_terminal(device: Run, host: Hosted) -> None:
    """Names come from whoever answers a Probe."""
    host.says["Get"] = lambda asked: host.metadata(asked).replace("Scan server", "\u202eScan\u009bserver")
    result = device()

    assert "\\u202eScan\\x9bserver scan01" in result.stdout


# --- scanning ----------------------------------------------------------------------------------------------------


def test_the_whole_way_in_its_order(scan: Run, host: Hosted, page: Path) -> None:
    """ws-dsp.md section 8, steps 2 to 7; and the subscription is taken back (DPW-087)."""
    result = scan(page, page)
    asked = [one for one in host.asked if one.operation not in (*POLLS, "Probe")]

    assert result.exit_code == 0, result.stderr
    assert [(one.operation, one.way) for one in asked] == [
        ("Get", "/device"),
        ("Subscribe", "/service"),
        ("CreatePostScanJob", "/service"),
        ("SendImage", "/service"),
        ("SendImage", "/service"),
        ("EndPostScanJob", "/service"),
        ("GetStatus", "/manager"),
        ("Unsubscribe", "/manager"),
    ]
    assert rb"\\demo\archive" in asked[2].data
    assert re.findall(r"(PostScanJob\w+Event: \w+)", result.stdout) == [
        "PostScanJobStatusEvent: Processing",
        "PostScanJobStatusEvent: Completed",
        "PostScanJobEndStateEvent: Completed",
    ]


@pytest.mark.parametrize(("state", "code"), [("Completed", 0), ("Canceled", 3), ("Aborted", 4), ("acme:Lost", 1)])
def test_the_exit_code_says_how_the_job_ended(scan: Run, host: Hosted, page: Path, state: str, code: int) -> None:
    """As the end-state event has it."""
    host.says["EndPostScanJob"] = lambda _: "<dsp:EndPostScanJobResponse/>"
    host.telling(end_event(state))

    assert scan(page).exit_code == code


def test_a_scan_is_json_for_a_program(scan: Run, host: Hosted, page: Path) -> None:
    """Subscription, events and job, with the seconds at which the events came."""
    record = json.loads(scan(page, "--json").stdout)

    assert record["subscription"] == {
        "granted": 3600,
        "renewals": 0,
        "left": 60,
        "unsubscribed": True,
        "strange": [],
    }
    assert [(one["event"], one["state"], one["token"]) for one in record["events"]] == [
        ("PostScanJobStatusEvent", "Processing", TOKEN),
        ("PostScanJobStatusEvent", "Completed", TOKEN),
        ("PostScanJobEndStateEvent", "Completed", TOKEN),
    ]
    assert all(one["seconds"] > 0 for one in record["events"])
    assert (record["job"]["token"], record["job"]["state"]) == (TOKEN, "Completed")
    assert record["job"]["filters"][0]["dialect"] == "urn:example:stamp"


def test_without_events_the_device_asks(scan: Run, host: Hosted, page: Path) -> None:
    """DSP-089: a device may do without."""
    host.polled("Processing", "Processing", "Aborted")
    result = scan(page, "--no-events")

    assert result.exit_code == 4
    assert "Subscribe" not in host.operations()
    assert re.findall(r"job +(\w+)", result.stdout) == ["Processing", "Aborted"]


def test_an_event_of_another_job_is_told_and_ends_nothing(scan: Run, host: Hosted, page: Path) -> None:
    """Another device of the same name may be scanning."""
    create = host.says["CreatePostScanJob"]

    def told_before(asked: Asked) -> Answer:
        assert host.tell(end_event("Aborted", token=OTHER_TOKEN)) == 202
        return create(asked)

    host.says["CreatePostScanJob"] = told_before
    result = scan(page)

    assert result.exit_code == 0
    assert f"EndStateEvent of another job, {OTHER_TOKEN}" in result.stdout


def test_a_last_event_that_never_comes_is_an_error(
    scan: Run, host: Hosted, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DSP-065 from the other side: whoever asks sees that the job has ended, and that nobody said so."""
    monkeypatch.setattr(job_session, "QUIET", 0.05)
    monkeypatch.setattr(job_session, "OVERDUE", 0.1)
    host.says["EndPostScanJob"] = lambda _: "<dsp:EndPostScanJobResponse/>"
    host.polled("Processing", "Completed")
    result = scan(page)

    assert result.exit_code == 1
    assert "the job is Completed, but no PostScanJobEndStateEvent came" in result.stderr
    assert host.operations()[-1] == "Unsubscribe"


def test_events_that_are_not_taken_are_told(
    scan: Run, host: Hosted, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that forgets the reference parameters is told what it forgot (DPW-072)."""
    monkeypatch.setattr(job_session, "QUIET", 0.05)
    monkeypatch.setattr(job_session, "OVERDUE", 0.1)

    def forget(asked: Asked) -> str:
        host.identifier = ""
        assert host.tell(end_event()) == 400
        return "<dsp:EndPostScanJobResponse/>"

    host.says["EndPostScanJob"] = forget
    host.polled("Completed")

    assert "has the identifier (none); expected urn:uuid:" in scan(page).stderr


def test_a_subscription_that_ends_leaves_a_device_that_asks(scan: Run, host: Hosted, page: Path) -> None:
    """The job goes on; there is nothing to take back."""
    host.says["EndPostScanJob"] = lambda _: "<dsp:EndPostScanJobResponse/>"
    host.telling(subscription_end("SourceShuttingDown"))
    host.polled("Processing", "Completed")
    result = scan(page)

    assert result.exit_code == 0
    assert "SubscriptionEnd: SourceShuttingDown The scan server is being stopped." in result.stdout
    assert re.search(r"job +Completed", result.stdout)
    assert "Unsubscribe" not in host.operations()


def test_a_server_that_knows_no_getstatus_or_has_forgotten_is_no_failure(scan: Run, host: Hosted, page: Path) -> None:
    """dpws.md section 8.2: GetStatus is optional; the job has ended well in any case, and both are told."""
    host.says["GetStatus"] = lambda _: fault("wsa:ActionNotSupported")
    host.says["Unsubscribe"] = lambda _: fault("wse:InvalidMessage")
    result = scan(page)

    assert result.exit_code == 0
    assert "GetStatus refused: soap:Sender wsa:ActionNotSupported" in result.stdout
    assert "Unsubscribe refused: soap:Sender wse:InvalidMessage" in result.stdout


def test_a_refused_image_cancels_the_job_and_takes_the_subscription_back(scan: Run, host: Hosted, page: Path) -> None:
    """Nothing half remains on the server, and the first fault is the one that is told."""
    host.says["SendImage"] = lambda _: fault("dsp:InvalidArgs")
    result = scan(page)

    assert result.exit_code == 1
    assert "dsp:InvalidArgs: Because. (HTTP 400)" in result.stderr
    assert host.operations()[-3:] == ["SendImage", "CancelPostScanJob", "Unsubscribe"]


# --- wrong command lines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("127.0.0.1:0",), "expected a name or an address, optionally with :PORT"),
        (("127.0.0.1:5362x",), "expected a name or an address, optionally with :PORT"),
        (("127.0.0.1", "page.gif", "--process", GUID), "unknown extension '.gif'"),
        (("127.0.0.1", "page.png"), "files need a scan process"),
        (("127.0.0.1", "--misbehave", "cut"), "needs at least one image file"),
        (("127.0.0.1", "page.png", "--misbehave", "curse"), "'curse' is not one of late, duplicate, cut"),
    ],
)
def test_a_wrong_command_line_asks_nobody(postscan: Run, arguments: tuple[str, ...], sentence: str) -> None:
    """It says what was expected."""
    result = postscan("device", *arguments)

    assert result.exit_code in (1, 2)
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("word", "host"),
    [
        ("scan01", ("scan01", 5362)),
        ("scan01:81", ("scan01", 81)),
        ("fd98::1", ("fd98::1", 5362)),
        ("[fd98::1]", ("fd98::1", 5362)),
        ("[fd98::1]:81", ("fd98::1", 81)),
    ],
)
def test_a_host_may_have_a_port(word: str, host: tuple[str, int]) -> None:
    """Names, addresses of IPv4, and those of IPv6 with brackets where there could be doubt."""
    assert command._host(word) == host


def test_a_first_word_that_is_a_file_is_no_host(page: Path) -> None:
    """Without a host, everybody is asked."""
    assert command._split([str(page), str(page)]) == ("", 5362, [page, page])
    assert command._split(["scan01", str(page)]) == ("scan01", 5362, [page])
