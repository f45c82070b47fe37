"""Sleeping tokens: the cancel wakes them by a descriptor, and without it they look at the page."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time

import pytest

from postscan.core.filters.cancellation import CancellationToken, Cancelled


@pytest.mark.usefixtures("cancelled_asleep", "unhurried")
def test_a_sleeping_token_is_woken_and_does_not_poll(source, token):
    """Two checks: one before the sleep, one at the cancel."""
    assert token.wait(600)
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
def test_a_filter_that_tampers_with_its_descriptor_is_cancelled_all_the_same(source, cancelled_asleep, tamper, call):
    """T-P7: its token looks at the page ten times a second at least, and the server notices nothing."""
    wake = os.dup(source.wake)
    token = CancellationToken.open(source.page, wake)
    opened = tamper(wake)
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
    cancelled_asleep()

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
