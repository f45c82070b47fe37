"""DSP-042 to DSP-051: the end of the images, the cancel, and whose job it is."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable

import pytest
from acceptance.scanning import NO_SUCH_JOB, Scanner, good, refusal
from acceptance.server import Server, running
from conformance.wire import STRANGER, comparable, copies, send_inline
from device import Answer, Device

UNKNOWN = "0f4e8a36-5b1c-4d2e-9f70-a1b2c3d4e5f6"
OPERATIONS: dict[str, Callable[[Device, str], Answer]] = {
    "SendImage": lambda device, token: device.send_image(token, 1, b"a page", message_id="uuid:a"),
    "SendImage, inline": lambda device, token: send_inline(device, token, "aGVsbG8="),
    "EndPostScanJob": lambda device, token: device.end(token, message_id="uuid:a"),
    "CancelPostScanJob": lambda device, token: device.cancel(token, message_id="uuid:a"),
    "GetPostScanJobElements": lambda device, token: device.elements(token, message_id="uuid:a"),
}


def sleeping(scanner: Scanner) -> str:
    """Return a job whose filter `sleep 60` is running; `copy` waits behind it."""
    token = scanner.start("sleep 60", "copy")
    scanner.server.works.await_trace(token, "sleep")
    return token


@pytest.mark.conformance("DSP-042")
def test_the_end_is_answered_while_the_filters_run(scanner: Scanner) -> None:
    """The filter here takes a minute; the answer is there before it has ended."""
    token = scanner.create("sleep 60")
    scanner.send(token)
    good(scanner.device.end(token))
    state = scanner.status(token).state
    good(scanner.device.cancel(token))

    assert state in ("Pending", "Started", "Processing")


@pytest.mark.conformance("DSP-043")
def test_no_filter_starts_before_the_end(server: Server, scanner: Scanner, token: str) -> None:
    """However many images there are; after the end it starts."""
    scanner.send(token, 1, 2, 3)
    before = scanner.status(token)
    untouched = server.works.trace(token) == []
    good(scanner.device.end(token))

    assert (before.state, before.filters, untouched) == ("Creating", ("Pending",), True)
    assert scanner.ended(token).filters == ("CompletedSuccessfully",)
    assert [line[0] for line in server.works.trace(token)] == ["copy"]


@pytest.mark.conformance("DSP-044")
def test_a_job_may_end_without_images(server: Server, scanner: Scanner, token: str) -> None:
    """It is completed, with a warning (O-11); no filter has run."""
    good(scanner.device.end(token))
    end = scanner.ended(token)

    assert (end.state, end.reasons) == ("Completed", ("PostScanJobCompletedWithWarnings",))
    assert (end.filters, server.works.trace(token)) == (("CompletedWithWarnings",), [])


@pytest.mark.conformance("DSP-045")
def test_only_the_creator_of_a_job_can_cancel_it(server: Server, scanner: Scanner, token: str) -> None:
    """Another device cannot, though it knows the token and names the same user."""
    stranger = Device(server.url, user=scanner.device.user, source_address=STRANGER)
    refusal(stranger.cancel(token))
    before = scanner.status(token).state
    good(scanner.device.cancel(token))

    assert (before, scanner.status(token).state) == ("Creating", "Canceled")


@pytest.mark.conformance("DSP-046")
def test_a_job_is_canceled_when_the_cancel_is_answered(scanner: Scanner, token: str) -> None:
    """In Creating, and while a filter runs that looks at its token."""
    for one in (token, sleeping(scanner)):
        good(scanner.device.cancel(one))
        status = scanner.status(one)

        assert (status.state, status.reasons) == ("Canceled", ("PostScanJobCanceled",))


@pytest.mark.conformance("DSP-046")
def test_a_job_whose_filter_does_not_stop_is_terminating_then(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The deviation: the answer tells no lie. The reason is there, and Canceled comes when the filter is gone."""
    with running(tmp_path_factory.mktemp("deaf"), {"running": {"term_seconds": 60}}) as server:
        scanner = Scanner(server)
        token = scanner.start("deaf")
        _, worker, *_ = server.works.await_trace(token, "deaf")
        good(scanner.device.cancel(token))
        asked = scanner.status(token)
        os.kill(int(worker), signal.SIGKILL)
        end = scanner.ended(token)

    assert (asked.state, asked.reasons) == ("Terminating", ("PostScanJobCanceled",))
    assert (end.state, end.reasons) == ("Canceled", ("PostScanJobCanceled",))


@pytest.mark.conformance("DSP-047")
def test_no_filter_starts_after_a_cancel(server: Server, scanner: Scanner) -> None:
    """The one that was running is stopped, the one behind it is Canceled and never ran."""
    token = sleeping(scanner)
    good(scanner.device.cancel(token))

    assert scanner.ended(token).filters == ("Canceled", "Canceled")
    assert [line[0] for line in server.works.trace(token)] == ["sleep"]


@pytest.mark.conformance("DSP-048")
def test_what_was_delivered_before_a_cancel_stays(server: Server, scanner: Scanner) -> None:
    """Byte for byte; and the filter that delivered it keeps its state."""
    token = scanner.create("copy", "sleep 60", "copy")
    (image,) = scanner.send(token)
    good(scanner.device.end(token))
    server.works.await_trace(token, "sleep")
    delivered = copies(server.out, image)
    good(scanner.device.cancel(token))

    assert scanner.ended(token).filters == ("CompletedSuccessfully", "Canceled", "Canceled")
    assert len(delivered) == 1
    assert copies(server.out, image) == delivered


@pytest.mark.conformance("DSP-049")
def test_a_cancel_of_an_unknown_job_finds_none(scanner: Scanner) -> None:
    """The detail is the token, whatever it looks like."""
    for token in (str(uuid.uuid4()), "job 7"):
        fault = refusal(scanner.device.cancel(token))

        assert (fault.code, fault.subcode) == ("soap:Sender", "dsp:ClientErrorJobTokenNotFound")
        assert (fault.reason, fault.detail) == (NO_SUCH_JOB, ("JobToken", token))


@pytest.mark.conformance("DSP-049")
@pytest.mark.parametrize("asked", ["copy", "fail OutOfDiskSpace"])
def test_a_cancel_of_a_finished_job_finds_none(scanner: Scanner, asked: str) -> None:
    """And its end stays what it was."""
    token = scanner.start(asked)
    end = scanner.ended(token)

    assert refusal(scanner.device.cancel(token)).subcode == "dsp:ClientErrorJobTokenNotFound"
    assert scanner.status(token) == end


@pytest.mark.conformance("DSP-049")
def test_a_cancel_of_a_canceled_job_finds_none(scanner: Scanner, token: str) -> None:
    """A second one is no success, unless it is the same request again."""
    good(scanner.device.cancel(token))

    assert refusal(scanner.device.cancel(token)).subcode == "dsp:ClientErrorJobTokenNotFound"


@pytest.mark.conformance("DSP-050")
@pytest.mark.parametrize("ask", OPERATIONS.values(), ids=OPERATIONS)
def test_an_unknown_token_is_not_found_by_any_operation(scanner: Scanner, ask: Callable[[Device, str], Answer]) -> None:
    """The detail is the token."""
    fault = refusal(ask(scanner.device, UNKNOWN))

    assert (fault.subcode, fault.detail) == ("dsp:ClientErrorJobTokenNotFound", ("JobToken", UNKNOWN))


@pytest.mark.conformance("DSP-051")
@pytest.mark.parametrize("name", [name for name in OPERATIONS if "," not in name])
def test_a_strangers_token_is_answered_like_an_unknown_one(
    server: Server, scanner: Scanner, token: str, name: str
) -> None:
    """Byte for byte, but for the token that it sent itself; and nothing happens to the job."""
    stranger = Device(server.url, source_address=STRANGER)
    foreign, nobodys = OPERATIONS[name](stranger, token), OPERATIONS[name](stranger, UNKNOWN)

    assert foreign.status == nobodys.status == 400
    assert comparable(foreign, token) == comparable(nobodys, UNKNOWN)
    assert (scanner.status(token).state, scanner.status(token).images) == ("Creating", 0)
