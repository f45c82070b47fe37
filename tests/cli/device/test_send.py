"""`postscan send` against a server that follows a script."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import commands
import pytest
from scripted import TOKEN, Script, status
from typer.testing import Result

from postscan.cli.demo import sandbox

ARCHIVE = Path(sandbox.__file__).parent / "samples" / "archive.xml"
GUID = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
Send = Callable[..., Result]


@pytest.fixture
def send(postscan: Callable[..., Result], server: Script) -> Send:
    """Send files to the scripted server, with the process of the demo."""

    def run(*arguments: object) -> Result:
        return postscan("send", *arguments, "--process", GUID, "--process-file", ARCHIVE, "--url", server.url)

    return run


def test_a_job_is_created_filled_ended_and_watched(send: Send, server: Script, page: Path) -> None:
    """The order of the protocol (ws-dsp.md section 8), and exit code 0 for Completed."""
    server.accept("Processing", "Completed")
    result = send(page, page)

    assert result.exit_code == 0
    assert server.operations() == ["CreatePostScanJob", "SendImage", "SendImage", "EndPostScanJob"]
    assert f"Job {TOKEN} created" in result.stdout
    assert "page.png (png, 45 bytes)" in result.stdout


@pytest.mark.parametrize(("state", "code"), [("Completed", 0), ("Canceled", 3), ("Aborted", 4)])
def test_the_exit_code_says_how_the_job_ended(send: Send, server: Script, page: Path, state: str, code: int) -> None:
    """So that a script can tell without reading."""
    server.accept(state)

    assert send(page).exit_code == code


def test_each_change_of_job_and_filters_is_shown_once(send: Send, server: Script, page: Path) -> None:
    """One line for each change, the job after its filters."""
    server.accept("Pending")
    one, two = "http://example.org/filter/fileshare", "urn:example:stamp"
    for first, second, job in (
        ("Processing", "Pending", "Processing"),
        ("Processing", "Pending", "Processing"),
        ("CompletedSuccessfully", "Processing", "Processing"),
        ("CompletedSuccessfully", "CompletedSuccessfully", "Completed"),
    ):
        server.answer("GetPostScanJobElements", status(job, ((one, first), (two, second))))
    lines = [line.split(" s  ")[1].split() for line in send(page).stdout.splitlines()]
    shown = [" ".join(words) for words in lines[lines.index(["job", "Pending"]) + 1 :]]

    assert shown == [
        "filter 1 fileshare Processing",
        "filter 2 stamp Pending",
        "job Processing",
        "filter 1 fileshare CompletedSuccessfully",
        "filter 2 stamp Processing",
        "filter 2 stamp CompletedSuccessfully",
        "job Completed",
    ]


def test_no_wait_leaves_after_the_end(send: Send, server: Script, page: Path) -> None:
    """The images are there; what becomes of them is somebody else's business."""
    server.accept()
    result = send(page, "--no-wait")

    assert result.exit_code == 0
    assert [one.operation for one in server.requests][-1] == "EndPostScanJob"


def test_an_unknown_extension_costs_no_job(send: Send, server: Script, page: Path) -> None:
    """All files are looked at before anything is sent."""
    result = send(page, page.with_suffix(".gif"))

    assert result.exit_code == 1
    assert "unknown extension '.gif'" in result.stderr
    assert server.requests == []


def test_a_format_may_be_forced(send: Send, server: Script, tmp_path: Path) -> None:
    """DSP-037: vendor formats exist, and no extension tells of them."""
    server.accept()
    file = tmp_path / "a.raw"
    file.write_bytes(b"x")

    assert send(file, "--format", "acme:raw").exit_code == 0
    assert b"<dsp:Format>acme:raw</dsp:Format>" in server.requests[1].body


def test_a_fault_is_one_line_that_says_everything(send: Send, server: Script, page: Path) -> None:
    """Code, subcode, reason, detail and HTTP status; exit code 1."""
    server.fault("CreatePostScanJob", "dsp:InvalidArgs", detail=f"<dsp:PSP_Identifier>{GUID}</dsp:PSP_Identifier>")
    result = send(page)

    assert result.exit_code == 1
    assert result.stderr == (f"postscan: soap:Sender dsp:InvalidArgs: Because. [PSP_Identifier '{GUID}'] (HTTP 400)\n")


def test_a_refused_image_cancels_the_job(send: Send, server: Script, page: Path) -> None:
    """Nothing half remains on the server, and the first fault is the one that is told."""
    server.accept()
    server.answers["SendImage"].clear()
    server.fault("SendImage", "dsp:InvalidArgs", detail="<dsp:ImageData/>")
    result = send(page, page)

    assert result.exit_code == 1
    assert "[ImageData ''] (HTTP 400)" in result.stderr
    assert server.operations() == ["CreatePostScanJob", "SendImage", "CancelPostScanJob"]


def test_a_server_that_is_not_there_is_one_line(postscan: Callable[..., Result], page: Path) -> None:
    """Connection refused is an error that everybody meets."""
    url = "http://127.0.0.1:1/service"
    result = postscan("send", page, "--process", GUID, "--process-file", ARCHIVE, "--url", url)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"postscan: {url}: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_cancel_while_still_sending_comes_before_the_end(send: Send, server: Script, page: Path) -> None:
    """Stop after one of two images: the second is never sent, and the job never ended."""
    server.accept("Canceled")
    result = send(page, page, "--cancel-after-images", "1")

    assert result.exit_code == 3
    assert server.operations() == ["CreatePostScanJob", "SendImage", "CancelPostScanJob"]
    assert "CancelPostScanJob answered after" in result.stdout


def test_a_cancel_after_the_end_waits_for_its_time(send: Send, server: Script, page: Path) -> None:
    """The job is watched meanwhile, and on until it has ended."""
    server.accept("Processing", "Processing", "Processing", "Processing", "Canceled")
    begun = time.monotonic()
    result = send(page, "--cancel-after", "0.3")

    assert result.exit_code == 3
    assert time.monotonic() - begun >= 0.3
    assert server.operations()[-2:] == ["EndPostScanJob", "CancelPostScanJob"]


def test_a_job_that_ended_first_is_not_cancelled(send: Send, server: Script, page: Path) -> None:
    """There is nothing to cancel, and the exit code says what is true."""
    server.accept("Completed")
    result = send(page, "--cancel-after", "30")

    assert result.exit_code == 0
    assert "CancelPostScanJob" not in server.operations()


def test_a_refused_cancel_is_told_and_the_job_watched_on(send: Send, server: Script, page: Path) -> None:
    """The job may end while the cancel is on its way: that is no error of the device."""
    server.accept("Processing", "Completed")
    server.answers["CancelPostScanJob"].clear()
    server.fault("CancelPostScanJob", "dsp:ClientErrorJobTokenNotFound")
    result = send(page, "--cancel-after", "0")

    assert result.exit_code == 0
    assert "CancelPostScanJob refused: soap:Sender dsp:ClientErrorJobTokenNotFound" in result.stdout


def test_nobody_can_cancel_a_job_that_nobody_waits_for(send: Send, server: Script, page: Path) -> None:
    """The two options contradict each other; that is a wrong command line."""
    result = send(page, "--no-wait", "--cancel-after", "1")

    assert result.exit_code == 2
    assert server.requests == []


def test_ctrl_c_is_the_stop_button(server: Script, settings_file: Path, page: Path) -> None:
    """The first one cancels the job, and the device stays to see it end."""
    server.accept("Processing")
    arguments = ("--config", settings_file, "send", page, "--process", GUID, "--process-file", ARCHIVE)
    with commands.start([*arguments, "--url", server.url], stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if "job" in line.split():
                break
        process.send_signal(signal.SIGINT)
        while "CancelPostScanJob" not in server.operations():
            time.sleep(0.01)
        server.answer("GetPostScanJobElements", status("Canceled"))  # behind the other, which is given once more
        rest = process.stdout.read()

    assert process.returncode == 3
    assert "Stop pressed" in rest
    assert "job                      Canceled" in rest


def test_the_process_is_read_from_the_folder_of_the_settings(
    postscan: Callable[..., Result], server: Script, page: Path
) -> None:
    """Where a device reads it from the directory."""
    server.accept()
    postscan("process", "add", ARCHIVE, "--name", "Archive", "--id", GUID)
    result = postscan("send", page, "--process", GUID.lower(), "--url", server.url)

    assert result.exit_code == 0
    assert rb"\\demo\archive" in server.requests[0].body
    assert f"<dsp:PSP_Identifier>{GUID}<".encode() in server.requests[0].body


def test_a_process_that_is_not_stored_is_named(postscan: Callable[..., Result], page: Path) -> None:
    """And how to see those that are."""
    result = postscan("send", page, "--process", GUID)

    assert result.exit_code == 1
    assert f"holds no scan process {GUID}; see: postscan process list" in result.stderr
