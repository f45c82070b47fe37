"""The token and its source: what a filter sees of a cancel, and what the server sees of a filter's checks."""

from __future__ import annotations

import select
import subprocess
import sys
import time

import pytest

from postscan.core.filters.cancellation import CancellationToken, Cancelled, CancelSource


def test_a_token_is_not_cancelled_until_somebody_asks(token):
    """Without a cancel a check does nothing, and there is neither a reason nor a deadline."""
    token.check()

    assert not token.cancelled
    assert token.reason == ""
    assert token.deadline is None


def test_a_cancelled_token_stays_cancelled(source, token):
    """It is level-triggered: every later check raises again."""
    source.cancel("by the owner")

    for _ in range(3):
        assert token.cancelled
        with pytest.raises(Cancelled, match="by the owner"):
            token.check()


def test_a_filter_cannot_swallow_the_cancel_by_accident(source, token):
    """`except Exception` does not catch `Cancelled`."""
    source.cancel("by the owner")

    with pytest.raises(Cancelled):
        try:
            token.check()
        except Exception:
            pytest.fail("swallowed")


def test_the_token_says_why_and_when_it_will_be_killed():
    """The deadline lies `patience` seconds after the cancel, on the steady clock."""
    with CancelSource(patience=4.0) as source:
        token = source.token()
        before = time.monotonic()
        source.cancel("Grund: Abbruch durch Benutzer – ü")
        after = time.monotonic()

        assert token.reason == "Grund: Abbruch durch Benutzer – ü"
        assert before + 4.0 <= token.deadline <= after + 4.0


def test_the_first_cancel_counts(source, token):
    """A second one changes neither reason nor deadline, so nobody can push the kill away."""
    source.cancel("first")
    deadline = token.deadline
    source.cancel("second")

    assert (token.reason, token.deadline) == ("first", deadline)


def test_another_process_sees_the_cancel(source):
    """A filter that loops over its token in a process of its own stops."""
    program = (
        "import sys, time\n"
        "from postscan.core.filters.cancellation import CancellationToken, Cancelled\n"
        "token = CancellationToken.open(int(sys.argv[1]))\n"
        "token.check()\n"
        "print('running', flush=True)\n"
        "try:\n"
        "    while not token.wait(20): pass\n"
        "    token.check()\n"
        "except Cancelled as cancelled:\n"
        "    print(cancelled)\n"
    )
    command = [sys.executable, "-c", program, str(source.page)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[source.page]) as child:
        assert child.stdout.readline() == "running\n"
        source.cancel("over the page")
        said, _ = child.communicate(timeout=60)

    assert said == "over the page\n"
    assert source.checks.number >= 3


def test_whoever_waits_for_the_worker_wakes_at_the_cancel(source):
    """The source is readable once, and from then on."""
    assert select.select([source], [], [], 0)[0] == []
    source.cancel("")

    assert select.select([source], [], [], 0)[0] == [source]


def test_the_server_sees_how_often_a_filter_checked(source, token):
    """Each look counts, whichever way it was made."""
    token.check()
    _ = token.cancelled
    token.wait(0)

    assert source.checks.number == 3


def test_the_server_sees_the_longest_time_between_two_checks(source, token):
    """A filter that looks too seldom is known by it."""
    token.check()
    time.sleep(0.05)
    token.check()
    token.check()

    assert source.checks.longest >= 0.05


@pytest.mark.usefixtures("cancelled_asleep")
def test_a_sleep_ends_early_at_the_cancel(token):
    """`wait` returns at once, and says why it did."""
    began = time.monotonic()

    assert token.wait(600)
    assert time.monotonic() - began < 300


def test_a_sleep_without_cancel_lasts_as_long_as_asked(token):
    """It returns False after the time."""
    began = time.monotonic()

    assert token.wait(0.02) is False
    assert time.monotonic() - began >= 0.02


def test_a_shielded_section_runs_to_its_end(source, token):
    """Inside, `check` does not raise but `cancelled` tells the truth; the first check after it raises."""
    with token.shield():
        source.cancel("meanwhile")
        token.check()
        assert token.cancelled

    with pytest.raises(Cancelled):
        token.check()


def test_shields_nest(source, token):
    """Leaving an inner shield does not open the outer one."""
    source.cancel("")
    with token.shield():
        with token.shield():
            pass
        token.check()

    with pytest.raises(Cancelled):
        token.check()


def test_a_shield_ends_with_its_body_even_if_that_breaks(source, token):
    """An error in a commit section must not make the filter deaf."""
    with pytest.raises(OSError), token.shield():
        raise OSError
    source.cancel("")

    with pytest.raises(Cancelled):
        token.check()


def test_a_worker_reads_the_page_after_the_source_is_closed():
    """A filter that still runs can still see the cancel."""
    with CancelSource() as source:
        token = CancellationToken.open(source.page)
        source.cancel("at the end")

    assert token.reason == "at the end"
