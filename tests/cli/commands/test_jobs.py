"""`postscan jobs` and `postscan cancel` on a real database."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import commands
import databases
import pytest
from sourced import ADDRESS, ADMIN, OWNER, Sources, with_sources
from typer.testing import Result
from works import SID, Works, instructions, until

from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.settings import Settings

DEVICE = Principal("device:192.0.2.7", Proof.ADDRESS)
UNKNOWN = "5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935"
Postscan = Callable[..., Result]


def a_job(core: Engine, by: Principal = DEVICE) -> str:
    """Make a job with one document in state Creating."""
    token = core.service.create(by, SID, "7B0E", instructions("copy", "sleep 9"))
    with core.service.open_image(token, by, 1, "png") as image:
        image.write(b"picture")
    return token


def test_active_jobs_of_everybody_are_listed(postscan: Postscan, core: Engine) -> None:
    """An administrator sees the jobs of all devices."""
    tokens = {a_job(core), a_job(core, Principal("device:192.0.2.8", Proof.ADDRESS))}
    listed = json.loads(postscan("jobs", "list", "--json").stdout)

    assert {job["token"] for job in listed} == tokens
    assert {job["state"] for job in listed} == {"Creating"}


def test_ended_jobs_are_listed_when_asked_for(postscan: Postscan, core: Engine) -> None:
    """--all adds what has ended."""
    token = a_job(core)
    core.service.cancel(token, DEVICE)

    assert "no active jobs" in postscan("jobs", "list").stdout
    assert token in postscan("jobs", "list", "--all").stdout


def test_a_job_is_shown_with_its_owner_and_all_that_happened(postscan: Postscan, core: Engine) -> None:
    """Owner and proof (D1), user, filters, documents with sizes, events with times."""
    shown = postscan("jobs", "show", a_job(core)).stdout

    assert "device:192.0.2.7 (proof: address)" in shown
    assert SID in shown
    assert "urn:acme:copy" in shown
    assert "JobStateChanged" in shown
    assert [line.split()[:3] for line in shown.splitlines() if line.startswith("1 ") and "png" in line] == [
        ["1", "png", "7"]
    ]


def test_the_json_of_a_job_has_the_same_facts(postscan: Postscan, core: Engine) -> None:
    """For programs: stable names, plain values."""
    job = json.loads(postscan("jobs", "show", a_job(core), "--json").stdout)

    assert job["owner"] == {"name": "device:192.0.2.7", "proof": "address"}
    assert [one["dialect"] for one in job["filters"]] == ["urn:acme:copy", "urn:acme:sleep"]
    assert [one["size"] for one in job["documents"]] == [7]
    assert [one["kind"] for one in job["events"]] == ["JobStateChanged", "ImageReceived"]


@pytest.fixture
def sources(settings: Settings) -> Iterator[Sources]:
    """Inlets on the database of the command line; no server runs."""
    found = with_sources(settings)
    databases.migrated(found.storage.url)
    sources = Sources(found)
    yield sources
    sources.core.close()


def complete(sources: Sources, token: str) -> None:
    """Let a server run the filters of a job."""
    sources.send(token)
    sources.core.service.end(token, OWNER)
    with sources.core.running():
        until(lambda: sources.job(token).state.ended)


ENDS: dict[str, Callable[[Sources, str], object]] = {
    "Creating": lambda sources, token: None,
    "Canceled": lambda sources, token: sources.core.service.cancel(token, ADMIN),
    "Aborted": lambda sources, token: sources.origins.fail(token, OWNER, "reset"),
    "Completed": complete,
}
"""How a job of a source gets into each of these states."""


@pytest.mark.parametrize("state", ENDS)
def test_the_origin_of_a_job_is_shown_also_after_its_end(postscan: Postscan, sources: Sources, state: str) -> None:
    """D25: through which source, who had proven what, and which destination was chosen."""
    token = sources.open()
    ENDS[state](sources, token)
    lines = postscan("jobs", "show", token).stdout.splitlines()
    record = json.loads(postscan("jobs", "show", token, "--json").stdout)

    assert record["state"] == state
    assert f"Origin:     source mail, by device {ADDRESS}, for destination invoices" in lines
    assert record["origin"] == {
        "source": "mail",
        "proof": "device",
        "subject": ADDRESS,
        "account": None,
        "destination": "invoices",
        "told": None,
    }


def test_what_the_origin_said_to_a_cancel_is_shown(postscan: Postscan, sources: Sources) -> None:
    """It may go on although the job is Canceled."""
    token = sources.open()
    sources.core.service.cancel(token, ADMIN)
    sources.origins.told("mail", token, "refused")

    assert "Cancel:     the origin goes on" in postscan("jobs", "show", token).stdout.splitlines()
    assert json.loads(postscan("jobs", "show", token, "--json").stdout)["origin"]["told"] == "refused"


def test_what_a_source_has_noted_is_shown(postscan: Postscan, sources: Sources) -> None:
    """Why the pages are not what the destination asks for."""
    token = sources.open()
    sources.origins.note("mail", token, ("no colour", "150 dpi in place of 200 dpi"))
    lines = postscan("jobs", "show", token).stdout.splitlines()

    assert [line for line in lines if line.startswith("Note:")] == [
        "Note:       no colour",
        "Note:       150 dpi in place of 200 dpi",
    ]
    assert json.loads(postscan("jobs", "show", token, "--json").stdout)["notes"] == [
        "no colour",
        "150 dpi in place of 200 dpi",
    ]


def test_a_job_of_a_device_has_no_origin(postscan: Postscan, core: Engine) -> None:
    """Its owner is the device itself."""
    token = a_job(core)

    assert "Origin:" not in postscan("jobs", "show", token).stdout
    assert json.loads(postscan("jobs", "show", token, "--json").stdout)["origin"] is None


def test_an_output_is_shown_with_the_time_of_its_grant(postscan: Postscan, works: Works) -> None:
    """As a column, and as a plain value."""
    token = works.start("copy")
    job = works.ended(token)
    assert job.completed is not None

    [delivery] = json.loads(postscan("jobs", "show", token, "--json").stdout)["deliveries"]

    at = datetime.fromisoformat(delivery["at"])
    assert job.created <= at <= job.completed
    assert f"{at:%Y-%m-%d %H:%M:%S}." in next(
        line for line in postscan("jobs", "show", token).stdout.splitlines() if delivery["name"] in line
    )


def test_an_unknown_job_is_one_line(postscan: Postscan) -> None:
    """Exit code 1 and a sentence."""
    result = postscan("jobs", "show", UNKNOWN)

    assert result.exit_code == 1
    assert UNKNOWN in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_text_of_a_device_cannot_steer_the_terminal(postscan: Postscan, core: Engine) -> None:
    """XML can carry C1 control characters, CSI among them; they are shown as escapes."""
    sent = instructions("copy")
    token = core.service.create(DEVICE, SID, "7B0E\x9b31m", sent)
    shown = postscan("jobs", "show", token).stdout

    assert "\x9b" not in shown
    assert "\\x9b31m" in shown


def test_an_administrator_cancels_a_job_of_anybody(postscan: Postscan, core: Engine) -> None:
    """D3, I12: the job ends Canceled, and the device learns of it."""
    token = a_job(core)
    result = postscan("cancel", token)

    assert (result.exit_code, result.stdout) == (0, "Canceled\n")
    assert core.service.job(token, DEVICE).state == "Canceled"


def test_a_job_that_has_ended_is_not_cancelled_again(postscan: Postscan, core: Engine) -> None:
    """To an administrator its state is no secret."""
    token = a_job(core)
    core.service.cancel(token, DEVICE)
    result = postscan("cancel", token)

    assert result.exit_code == 1
    assert result.stderr == f"postscan: job {token} has already ended: it is Canceled\n"


def test_an_unknown_job_cannot_be_cancelled(postscan: Postscan) -> None:
    """The sentence says where to look."""
    result = postscan("cancel", UNKNOWN)

    assert result.exit_code == 1
    assert f"there is no job '{UNKNOWN}'; see: postscan jobs list --all" in result.stderr


def running(works: Works, *filters: str) -> str:
    """Make a job and wait until its first filter works."""
    token = works.create(*filters)
    works.send(token)
    works.service.end(token, works.by)
    until(lambda: works.service.job(token, works.by).steps[0].state == "Processing")
    return token


def test_a_cancel_through_the_database_stops_running_filters(
    postscan: Postscan, works: Works, settings_file: Path
) -> None:
    """Ruling 16: another process cancels, and the running server stops the filter that listens."""
    with settings_file.open("a") as settings:
        settings.write("[running]\ncancel_answer_seconds = 30\n")
    token = running(works, "sleep 60")
    result = postscan("cancel", token)

    assert (result.exit_code, result.stdout) == (0, "Canceled\n")


def test_watching_a_job_ends_with_it(settings_file: Path, works: Works) -> None:
    """In a pipe: one line for each change, and the exit code of how it ended."""
    token = running(works, "sleep 60")
    with commands.start(["--config", str(settings_file), "jobs", "watch", token], stdout=subprocess.PIPE) as watch:
        assert watch.stdout
        first = watch.stdout.readline()
        works.service.cancel(token, works.by)
        lines = [first, *watch.stdout]
        exit_code = watch.wait(30)

    assert exit_code == 3
    assert lines[0].split()[:2] == [token, "Processing"]
    assert lines[-1].split()[:2] == [token, "Canceled"]
    assert len(set(lines)) == len(lines)


def test_ctrl_c_is_the_way_out_of_watching_everything(settings_file: Path, core: Engine) -> None:
    """Nothing went wrong, so the exit code is 0."""
    token = a_job(core)
    with commands.start(["--config", str(settings_file), "jobs", "watch"], stdout=subprocess.PIPE) as process:
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)

    assert first.split()[:2] == [token, "Creating"]
    assert process.returncode == 0


@pytest.mark.parametrize("arguments", [["jobs", "list"], ["jobs", "watch", UNKNOWN], ["cancel", UNKNOWN]])
def test_a_new_database_is_made_on_the_way(postscan: Postscan, arguments: list[str]) -> None:
    """Whoever looks before the first scan sees that there is nothing, and no error about tables."""
    result = postscan(*arguments)

    assert "no active jobs" in result.stdout or UNKNOWN in result.stderr
