"""`postscan jobs retry` beside a running engine."""

from __future__ import annotations

from collections.abc import Callable

from typer.testing import Result
from works import Works

Postscan = Callable[..., Result]

PLAN = [
    "1 turn runs again: the filters after it need what it made",
    "2 copy does not run again: CompletedSuccessfully",
    "3 fail runs again: CompletedWithErrors (acme:torn)",
    "4 copy runs again: CompletedSuccessfully; outputs that it has delivered already: 1",
]


def failed(works: Works) -> str:
    """Return a job that is Completed with errors, and whose filters made, delivered, failed and delivered."""
    token = works.start("turn reverse:1", "copy", "fail acme:torn", "copy", go_on=True)
    works.ended(token)
    return token


def test_what_runs_again_is_printed_before_the_job_is_made(postscan: Postscan, works: Works) -> None:
    """The token alone is on stdout, for scripts; the job runs, and the failed one cannot be retried again."""
    token = failed(works)

    result = postscan("jobs", "retry", token)
    again = postscan("jobs", "retry", token)

    assert result.stderr.splitlines() == PLAN
    end = works.ended(result.stdout.strip())
    assert [step.dialect.rpartition(":")[2] for step in end.steps] == ["turn", "fail", "copy"]
    assert len(works.delivered()) == 3
    assert again.exit_code == 1
    assert "without images" in again.stderr
    assert again.stdout == ""


def test_a_check_changes_nothing(postscan: Postscan, works: Works) -> None:
    """It prints the same on stdout."""
    token = failed(works)

    result = postscan("jobs", "retry", "--check", token)

    assert (result.exit_code, result.stdout.splitlines(), result.stderr) == (0, PLAN, "")
    assert works.job(token).images_kept
    assert [one.token for one in works.service.history(works.by)] == [token]


def test_the_first_filter_may_be_chosen(postscan: Postscan, works: Works) -> None:
    """By its number; a number that there is not is refused, and nothing is made."""
    token = failed(works)

    refused = postscan("jobs", "retry", token, "--from", "5")
    result = postscan("jobs", "retry", token, "--from", "4")

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "expected the number of a filter, 1 to 4" in refused.stderr
    assert [step.dialect for step in works.ended(result.stdout.strip()).steps] == ["urn:acme:turn", "urn:acme:copy"]


def test_a_job_that_timed_out_is_for_release(postscan: Postscan, works: Works) -> None:
    """The message names the reason."""
    token = works.create("copy")
    with works.core.store.change(token) as job:
        job.expire(works.core.clock.now())

    result = postscan("jobs", "retry", token)

    assert result.exit_code == 1
    assert result.stderr == "postscan: cannot retry while Aborted (PostScanJobTimedOut)\n"
