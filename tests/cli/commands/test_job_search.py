"""`postscan jobs list` with conditions, and `postscan jobs counts`, on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result
from works import SID, Works, instructions

from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.service.administration import listing
from postscan.core.store.database import pages

Postscan = Callable[..., Result]

DEVICE = Principal("device:192.0.2.7", Proof.ADDRESS)
OTHER = Principal("device:192.0.2.8", Proof.ADDRESS)


def a_job(core: Engine, by: Principal = DEVICE, process: str = "7B0E") -> str:
    """Make a job with one document in state Creating."""
    token = core.service.create(by, SID, process, instructions("copy"))
    with core.service.open_image(token, by, 1, "png") as image:
        image.write(b"picture")
    return token


def found(postscan: Postscan, *options: str) -> list[dict[str, Any]]:
    """Return the records of the jobs that a search prints."""
    records: list[dict[str, Any]] = json.loads(postscan("jobs", "list", "--json", *options).stdout)
    return records


@pytest.mark.parametrize(
    "options",
    [
        ["--state", "Canceled"],
        ["--state", "Aborted", "--state", "Canceled"],
        ["--reason", "PostScanJobCanceled"],
        ["--process", "P2"],
        ["--device", "192.0.2.8"],
        ["--user", SID, "--device", "device:192.0.2.8"],
        ["--text", "invoice", "--process", "P2", "--from", "2000-01-01"],
    ],
    ids=" ".join,
)
def test_open_and_ended_jobs_are_searched(postscan: Postscan, core: Engine, options: list[str]) -> None:
    """Each option narrows the search."""
    a_job(core)
    token = a_job(core, OTHER, "P2")
    core.service.cancel(token, OTHER)

    assert [one["token"] for one in found(postscan, *options)] == [token]
    assert token in postscan("jobs", "list", *options).stdout


def test_a_record_is_that_of_the_list_without_receipts_and_documents(postscan: Postscan, core: Engine) -> None:
    """For programs that read both."""
    a_job(core)
    [listed] = json.loads(postscan("jobs", "list", "--json").stdout)
    del listed["documents"]
    for step in listed["filters"]:
        del step["receipt"]

    assert found(postscan, "--user", SID) == [listed]


def test_the_list_without_conditions_is_that_of_open_jobs(postscan: Postscan, core: Engine) -> None:
    """As it always was, with documents."""
    token = a_job(core)
    core.service.cancel(a_job(core), DEVICE)

    assert [(one["token"], len(one["documents"])) for one in found(postscan)] == [(token, 1)]


def test_a_search_is_continued_where_it_ended(postscan: Postscan, core: Engine) -> None:
    """The option to continue with is on stderr, so that it is not part of the table or of JSON."""
    tokens = [a_job(core) for _ in range(3)]

    first = postscan("jobs", "list", "--limit", "2", "--user", SID, "--json")
    option, cursor = first.stderr.split()[-2:]
    rest = postscan("jobs", "list", "--limit", "2", "--user", SID, "--json", option, cursor)

    assert first.stderr.startswith("more; to continue: --after ")
    assert rest.stderr == ""
    read = [one["token"] for page in (first, rest) for one in json.loads(page.stdout)]
    assert read == sorted(tokens, key=lambda token: (core.service.job(token, DEVICE).created, token), reverse=True)


def test_a_search_that_takes_too_long_prints_how_far_it_is(
    postscan: Postscan, core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds the rest when it is continued."""
    a_job(core)
    monkeypatch.setattr(listing, "SECONDS", 0.0)
    monkeypatch.setattr(pages, "PART", 1)

    result = postscan("jobs", "list", "--text", "nothing")

    assert result.stdout == "no jobs found\n"
    created = core.service.active(DEVICE)[0].created
    assert result.stderr.startswith(f"searched back to {created:%Y-%m-%d %H:%M}")
    assert result.stderr.split()[-2] == "--after"


@pytest.mark.parametrize(
    ("options", "exit_code", "sentence"),
    [
        (["--after", "yesterday"], 1, "after: 'yesterday' is not valid"),
        (["--from", "yesterday"], 2, "no date"),
        (["--to", "0001-01-01T00:00+23:00"], 2, "no date"),
        (["--state", "Broken"], 2, "Pending-Held"),
        (["--reason", "Broken"], 2, "PostScanJobTimedOut"),
    ],
)
def test_a_wrong_condition_is_refused(postscan: Postscan, options: list[str], exit_code: int, sentence: str) -> None:
    """By a sentence that has what is expected."""
    result = postscan("jobs", "list", *options)

    assert result.exit_code == exit_code
    assert sentence in " ".join(result.stderr.split())


def test_jobs_are_counted_by_state_and_by_hour(postscan: Postscan, core: Engine) -> None:
    """As tables, and as plain values."""
    a_job(core)
    for _ in range(2):
        core.service.cancel(a_job(core), DEVICE)

    counted = json.loads(postscan("jobs", "counts", "--json").stdout)
    shown = [line.split() for line in postscan("jobs", "counts").stdout.splitlines()]

    assert counted["states"] == {"Creating": 1, "Canceled": 2}
    assert len(counted["hours"]) == 24
    hours = [one["states"] for one in counted["hours"] if one["states"]]
    assert {state: sum(hour.get(state, 0) for hour in hours) for state in counted["states"]} == counted["states"]
    assert ["Creating", "1"] in shown
    assert ["Canceled", "2"] in shown
    assert len([line for line in shown if line and line[0].startswith("20")]) == 24


def test_what_a_job_allows_is_shown(postscan: Postscan, works: Works) -> None:
    """The commands that would be done now."""
    token = a_job(works.core)
    ended = a_job(works.core)
    works.service.cancel(ended, DEVICE)

    assert "Actions:    cancel" in postscan("jobs", "show", token).stdout.splitlines()
    assert json.loads(postscan("jobs", "show", token, "--json").stdout)["actions"] == ["cancel"]
    assert "Actions:    none" in postscan("jobs", "show", ended).stdout.splitlines()
