"""The token and its source."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from postscan.core.filters import cancellation
from postscan.core.filters.cancellation import PAGE, CancellationToken, Cancelled, CancelSource


@pytest.fixture
def source():
    """Lend a source."""
    with CancelSource() as source:
        yield source


@pytest.fixture
def token(source):
    """Lend the token of the source."""
    return source.token()


@pytest.fixture
def unhurried(monkeypatch):
    """Look at the page of a sleeping token so seldom that only its descriptor can wake it."""
    monkeypatch.setattr(cancellation, "PULSE", 600.0)
    monkeypatch.setattr(cancellation, "POLL", 600.0)


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


@pytest.mark.parametrize("claim", [float("nan"), float("inf"), -1.0, 1e300])
def test_a_time_that_cannot_be_is_the_whole_time_of_the_run(source, token, claim):
    """T-P6: a filter can write anything into its page, and the server stores what it finds."""
    struct.pack_into("Qdd", token._page, 16, 2**64 - 1, claim, -claim)

    number, longest = source.checks

    assert number == 2**31 - 1
    assert 0 <= longest < 600
    assert 0 <= source.unchecked < 600


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


def test_a_reason_too_long_for_the_page_is_cut(source, token):
    """It cannot write beyond the page."""
    source.cancel("x" * 10_000)

    assert set(token.reason) == {"x"}
    assert 4000 < len(token.reason) < 4096


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
        said, _ = child.communicate(timeout=30)

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


def test_a_sleep_ends_early_at_the_cancel(source, token):
    """`wait` returns at once, and says why it did."""
    timer = threading.Timer(0.02, source.cancel, ("",))
    timer.start()
    began = time.monotonic()
    cancelled = token.wait(30)
    timer.join()

    assert cancelled
    assert time.monotonic() - began < 10


def test_a_sleep_without_cancel_lasts_as_long_as_asked(token):
    """It returns False after the time."""
    began = time.monotonic()

    assert token.wait(0.02) is False
    assert time.monotonic() - began >= 0.02


def test_a_slow_call_is_stopped_by_the_cancel(source, token):
    """`calling` calls the stop while the body blocks, and what comes out is the cancel."""
    released = threading.Event()
    threading.Timer(0.02, source.cancel, ("enough",)).start()

    with pytest.raises(Cancelled, match="enough"), token.calling(released.set):
        assert released.wait(30)


def test_a_call_that_breaks_because_it_was_stopped_counts_as_cancelled(source, token):
    """A socket closed under a read raises; the cancel is the truth of it."""
    stopped = threading.Event()
    threading.Timer(0.02, source.cancel, ("enough",)).start()

    with pytest.raises(Cancelled, match="enough"), token.calling(stopped.set):
        stopped.wait(30)
        raise ConnectionResetError


def test_a_call_that_breaks_by_itself_keeps_its_error(token):
    """Without a cancel `calling` changes nothing."""
    stopped = threading.Event()

    with pytest.raises(ConnectionResetError), token.calling(stopped.set):
        raise ConnectionResetError
    assert not stopped.is_set()


def test_a_call_that_ends_in_time_is_not_stopped(source, token):
    """A cancel after the body finds nobody to stop."""
    stopped = threading.Event()
    with token.calling(stopped.set):
        pass
    source.cancel("late")
    time.sleep(0.01)

    assert not stopped.is_set()


def test_a_cancelled_filter_does_not_begin_a_slow_call(source, token):
    """`calling` checks before its body."""
    source.cancel("before")

    with pytest.raises(Cancelled), token.calling(lambda: None):
        pytest.fail("the body ran")


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


@pytest.mark.parametrize("size", [0, PAGE - 1, PAGE + 1])
def test_a_filter_cannot_change_the_size_of_the_page(source, size):
    """A mapped page that its file has lost is a SIGBUS for the server."""
    with pytest.raises(PermissionError):
        os.ftruncate(source.page, size)

    assert os.fstat(source.page).st_size == PAGE


def test_the_seals_of_a_page_are_final(source):
    """A filter cannot seal the page against writing either: the server could then set no token."""
    with pytest.raises(PermissionError):
        fcntl.fcntl(source.page, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


def test_a_page_needs_no_disk(source):
    """It lies in memory, so no full disk can take it away."""
    assert "/memfd:" in str(Path(f"/proc/self/fd/{source.page}").readlink())


def test_a_filter_that_marks_its_page_as_cancelled_does_not_prevent_the_cancel(source, token):
    """The server decides by what it remembers, not by the page."""
    token._page[0] = 1

    assert not source.cancelled
    source.cancel("by the owner")

    assert source.cancelled_at is not None
    assert select.select([source], [], [], 0)[0] == [source]


def test_a_sleeping_token_is_woken_and_does_not_poll(source, token, unhurried):
    """Two checks: one before the sleep, one at the cancel."""
    timer = threading.Timer(0.05, source.cancel, ("",))
    timer.start()
    cancelled = token.wait(600)
    timer.join()

    assert cancelled
    assert source.checks.number == 2


def test_all_threads_that_sleep_are_woken(source, token, unhurried):
    """The cancel is not an event that the first reader takes away."""
    woken = []
    threads = [threading.Thread(target=lambda: woken.append(token.wait(600)), daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    source.cancel("")
    for thread in threads:
        thread.join(60)

    assert woken == [True] * 8


def test_a_forked_child_of_a_filter_is_woken(source, token, unhurried):
    """It has the page and the pipe of its parent, and its exit code tells what its token said."""
    child = os.fork()
    if child == 0:
        source._held.close()  # a filter's process does not have the server's end of the pipe
        os._exit(7 if token.wait(600) else 1)
    time.sleep(0.1)  # most often the child sleeps by then
    source.cancel("")

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_another_process_is_woken(source):
    """The pipe needs no more than its descriptor there."""
    program = (
        "import sys\n"
        "from postscan.core.filters import cancellation\n"
        "cancellation.PULSE = cancellation.POLL = 600\n"
        "token = cancellation.CancellationToken.open(*map(int, sys.argv[1:]))\n"
        "print('running', flush=True)\n"
        "print(token.wait(600))\n"
    )
    command = [sys.executable, "-c", program, str(source.page), str(source.wake)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[source.page, source.wake]) as child:
        assert child.stdout.readline() == "running\n"
        source.cancel("")
        said, _ = child.communicate(timeout=60)

    assert said == "True\n"


def test_a_watched_call_is_stopped_without_polling(source, token, unhurried):
    """The thread of `calling` sleeps as well: it records the time when it begins and when it ends."""
    released = threading.Event()
    timer = threading.Timer(0.05, source.cancel, ("enough",))
    timer.start()

    with pytest.raises(Cancelled), token.calling(released.set):
        assert released.wait(60)
    timer.join()


def test_a_watched_call_ends_when_its_body_does(token, unhurried):
    """The thread is woken, and leaves no descriptor behind."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    began = time.monotonic()
    with token.calling(pytest.fail):
        pass

    assert time.monotonic() - began < 300
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_call_is_watched_without_a_free_descriptor(source, token, monkeypatch):
    """A filter that has opened all that it may is still cancelled."""

    def full(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "eventfd", full)
    released = threading.Event()
    threading.Timer(0.02, source.cancel, ("enough",)).start()

    with pytest.raises(Cancelled), token.calling(released.set):
        assert released.wait(60)


def _closed(wake):
    os.close(wake)
    return []


def _hung_up(wake):
    """Put a pipe in its place whose other end is closed."""
    reader, writer = os.pipe()
    os.close(writer)
    os.dup2(reader, wake)
    os.close(reader)
    return [wake]


def _silent(wake):
    """Put a pipe in its place that no one writes to."""
    reader, writer = os.pipe()
    os.dup2(reader, wake)
    os.close(reader)
    return [wake, writer]


def _held(wake):
    """Open the write end of the pipe, so that the server is not the only one that has it."""
    return [wake, os.open(f"/proc/self/fd/{wake}", os.O_WRONLY)]


@pytest.mark.parametrize("tamper", [_closed, _hung_up, _silent, _held])
@pytest.mark.parametrize("call", ["wait", "calling"])
def test_a_filter_that_tampers_with_its_descriptor_is_cancelled_all_the_same(source, tamper, call):
    """T-P7: its token looks at the page ten times a second at least, and the server notices nothing."""
    wake = os.dup(source.wake)
    token = CancellationToken.open(source.page, wake)
    opened = tamper(wake)
    threading.Timer(0.05, source.cancel, ("enough",)).start()
    released = threading.Event()
    try:
        with pytest.raises(Cancelled, match="enough"):
            if call == "wait":
                token.wait(60)
                token.check()
            else:
                with token.calling(released.set):
                    assert released.wait(60)
    finally:
        for descriptor in opened:
            os.close(descriptor)

    assert select.select([source], [], [], 0)[0] == [source]


def test_a_token_without_its_descriptor_does_not_spin(source):
    """A closed descriptor is always ready: the token sleeps by the clock from then on."""
    wake = os.dup(source.wake)
    token = CancellationToken.open(source.page, wake)
    os.close(wake)
    token.wait(0.3)

    assert source.checks.number < 40


def test_the_end_of_the_server_wakes_a_token_once(source):
    """The pipe hangs up without a cancel; the token neither spins nor claims one."""
    token = source.token()
    source._held.close()

    assert token.wait(0.3) is False
    assert source.checks.number < 40
