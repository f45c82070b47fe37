"""The contract test for filters: what it finds, and what it lets pass."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import pytest
from bad_filters import (
    append_to_a_list,
    ask_around_publish,
    call_when_cancelled,
    change,
    compute_when_cancelled,
    dawdle_when_cancelled,
    die_when_cancelled,
    do_no_rest,
    fail_the_second_time,
    fail_when_cancelled,
    forget_a_temporary_file,
    hang_when_cancelled,
    leave_a_draft,
    remove_the_image,
    use_the_wrong_temporary_folder,
    write_home,
    write_through_a_link,
)
from examined_filters import Does, Hurried, KeepsASecret, kinds
from good_filters import (
    clean_up_after_the_cancel,
    deliver,
    deliver_in_threads,
    log_and_import,
    publish_by_renaming,
    replace,
    stop_without_an_exception,
    use_a_tool,
    wait_for_the_processor_when_cancelled,
)

from postscan.core.filters.results import FilterFailed, FilterResult
from postscan.plugins.testing import contract
from postscan.plugins.testing.contract import assert_filter_contract
from postscan.plugins.testing.defects import DefectKind


@pytest.mark.parametrize(
    "good",
    [
        deliver,
        deliver_in_threads,
        use_a_tool,
        replace,
        publish_by_renaming,
        log_and_import,
        clean_up_after_the_cancel,
        stop_without_an_exception,
    ],
)
def test_a_good_filter_has_no_defects(examined, good):
    """And it was cancelled at every look, besides two whole runs and one that did the rest."""
    found = examined(good)

    assert kinds(found) == []
    assert found.cancels == found.looks > 0
    assert found.runs >= found.cancels + 2


@pytest.mark.parametrize("seconds", [2.5, 8.0])
def test_a_filter_that_waits_for_the_processor_is_not_late(examined, seconds):
    """F-R31: neither by more than two seconds after its grace period, nor so long that its run is ended."""
    found = examined(wait_for_the_processor_when_cancelled(seconds), Hurried, most=1)

    assert kinds(found) == []
    assert found.cancels == 1


def test_a_good_filter_passes_the_assertion(tmp_path, out):
    """Without a word."""
    page = tmp_path / "page.png"
    page.write_bytes(b"page")

    assert_filter_contract(Does(deliver), [page], settings={"folder": str(out)})


@pytest.mark.parametrize(
    ("bad", "kind", "seen"),
    [
        (forget_a_temporary_file, DefectKind.LEAVES, "/tmp/postscan-forgotten-"),
        (use_the_wrong_temporary_folder, DefectKind.OUTSIDE, "it wrote /tmp/"),
        (write_through_a_link, DefectKind.OUTSIDE, "out/list.txt"),
        (leave_a_draft, DefectKind.LEAVES, "1.part"),
        (write_home, DefectKind.OUTSIDE, "~/.toolrc"),
        (remove_the_image, DefectKind.OUTSIDE, "one.png"),
        (change(lambda: os.umask(0)), DefectKind.GLOBAL, "the umask"),
        (change(lambda: os.environ.update(ACME="1")), DefectKind.GLOBAL, "the environment (ACME)"),
        (
            change(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)),
            DefectKind.GLOBAL,
            "the signal handlers (SIGTERM)",
        ),
        (fail_when_cancelled, DefectKind.SWALLOWS, "it ended with CompletedWithErrors"),
        (die_when_cancelled, DefectKind.SWALLOWS, "its process ended by itself (exit code 3)"),
        (hang_when_cancelled, DefectKind.SWALLOWS, "it had not ended"),
        (dawdle_when_cancelled, DefectKind.SWALLOWS, "seconds after its grace period"),
        (compute_when_cancelled, DefectKind.SWALLOWS, "seconds after its grace period"),
        (ask_around_publish, DefectKind.AFTER, "without job.publish"),
        (call_when_cancelled, DefectKind.AFTER, "connected to 127.0.0.1, port 9"),
        (append_to_a_list, DefectKind.TWICE, "list.txt again"),
        (fail_the_second_time, DefectKind.TWICE, "the page is there already"),
        (do_no_rest, DefectKind.TWICE, "did not publish document 2"),
    ],
)
def test_a_defect_is_found_and_told_in_a_sentence(examined, bad, kind, seen):
    """That one alone, with what was seen and what to do."""
    found = examined(bad, Hurried if kind is DefectKind.SWALLOWS else Does, most=3)

    for left in Path("/tmp").glob("postscan-forgotten-*"):
        left.unlink()
    assert kinds(found) == [kind]
    assert seen in found.defects[0].sentence


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tell",
    [
        lambda job, secret: job.log(f"as {secret}"),
        lambda job, secret: job.progress(1, 2, secret),
        lambda job, secret: FilterResult((f"it took {secret}",)),
        lambda job, secret: print(secret),
        lambda job, secret: print(secret, file=sys.stderr),
        lambda job, secret: logging.getLogger("acme").warning("login with %s", secret),
        lambda job, secret: job.run_tool(["true", secret]) and os.system(f"echo '{secret}'") and None,
    ],
)
def test_a_secret_is_found_wherever_it_comes_out(examined, tell):
    """And the sentence does not tell it once more."""

    def run(job, token):
        token.check()
        return tell(job, job.settings.phrase)

    found = examined(run, KeepsASecret, {"phrase": "forty years"})

    assert kinds(found) == [DefectKind.SECRET]
    assert "forty years" not in str(found)


def test_a_secret_in_an_error_is_found_and_blotted_out(examined):
    """The error says why the filter could not be tried, and is shown."""

    def run(job, token):
        token.check()
        raise FilterFailed(detail=f"no login with {job.settings.phrase}")

    found = examined(run, KeepsASecret, {"phrase": "forty years"})

    assert [one.kind for one in found.defects] == [DefectKind.SECRET]
    assert found.untried == "no login with ***"


# --- what cannot be tried --------------------------------------------------------------------------------------------


class Asks(Does):
    """One that this machine cannot run."""

    def requires(self):
        yield "a moon is missing"


def nothing_to_do(job, token):
    """As shipped filters say it."""
    return FilterResult(("no destination is named",))


@pytest.mark.parametrize(
    ("filter", "how", "reason"),
    [
        (Does(nothing_to_do), {}, "it had nothing to do: no destination is named"),
        (Does(deliver), {"settings": {"folder": "/does/not/exist"}}, "FileNotFoundError"),
        (Does(deliver), {"instructions": b"<a xmlns='urn:test:does'/>"}, "TestConfig"),
        (Asks(deliver), {}, "a moon is missing"),
        (KeepsASecret(deliver), {"settings": {"nobody": "knows"}}, "nobody"),
        (Does(lambda job, token: os.kill(os.getpid(), signal.SIGKILL)), {}, "SIGKILL"),
        (Does(lambda job, token: os.kill(os.getppid(), signal.SIGKILL)), {}, "killed its parent process"),
    ],
)
def test_a_filter_that_cannot_be_tried_is_no_defect(tmp_path, filter, how, reason):
    """It is said why; and the assertion fails with that sentence, for nothing was shown."""
    page = tmp_path / "page.png"
    page.write_bytes(b"page")
    found = contract.examine(filter, [page], **how)

    assert reason in found.untried
    with pytest.raises(AssertionError, match="could not be tested"):
        assert_filter_contract(filter, [page], **how)


# --- the report ------------------------------------------------------------------------------------------------------


def test_the_error_has_a_line_for_each_defect(tmp_path):
    """The author reads it in the report of a test."""

    def bad(job, token):
        os.umask(0)

    bad_filter = Does(bad)
    page = tmp_path / "page.png"
    page.write_bytes(b"page")
    with pytest.raises(AssertionError) as caught:
        assert_filter_contract(bad_filter, [page])

    first, *lines = str(caught.value).splitlines()
    assert first == "Does does not keep the contract of filters:"
    assert [line.partition(":")[0] for line in lines] == ["never checks the token", "changes global state"]


def test_a_filter_with_many_looks_is_cancelled_at_as_many_as_was_asked_for(examined):
    """From the first to the last, evenly."""

    def look(job, token):
        for _ in range(1000):
            token.check()

    found = examined(look, most=5)

    assert (found.looks, found.cancels) == (1000, 5)
    assert contract._spread(1000, 5) == [1, 251, 501, 750, 1000]
    assert contract._spread(3, 5) == [1, 2, 3]
    assert contract._spread(3, 1) == [1]
