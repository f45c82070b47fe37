"""The process of the console beside a server: started again when it has ended, and gone with the server."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from works import alive, until

from postscan.console.http.process import ConsoleProcess

NOTES_ITS_START = "import os, sys; open(sys.argv[3], 'a').write(f'{os.getpid()}\\n'); os.read(int(sys.argv[2]), 1)"
"""Writes its number into a file, then waits for the end of the pipe."""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """The file into which each process writes its number."""
    (tmp_path / "started").touch()
    return tmp_path / "started"


def numbers(started: Path) -> list[int]:
    """Return the numbers of the processes that were started."""
    return [int(line) for line in started.read_text().split("\n")[:-1]]


def process(listener: socket.socket, started: Path) -> ConsoleProcess:
    """Return a console whose program notes its start."""
    program = [sys.executable, "-c", NOTES_ITS_START]
    return ConsoleProcess(listener, lambda listening, pipe: [*program, str(listening), str(pipe), str(started)])


def test_a_console_that_was_killed_is_started_again(listener: socket.socket, started: Path) -> None:
    """And the last one ends with the body."""
    with process(listener, started) as console:
        console.start()
        until(lambda: len(numbers(started)) == 1, "for the first process")
        os.kill(numbers(started)[0], signal.SIGKILL)
        until(lambda: len(numbers(started)) == 2, "for the second process")

    assert not any(alive(one) for one in numbers(started))


def test_a_restart_makes_another_process(listener: socket.socket, started: Path) -> None:
    """It reads the settings again."""
    with process(listener, started) as console:
        console.start()
        until(lambda: len(numbers(started)) == 1, "for the first process")
        console.restart()
        until(lambda: len(numbers(started)) == 2, "for the second process")
        first, second = numbers(started)
        until(lambda: not alive(first), "for the first process to end")

        assert alive(second)


def test_a_program_that_cannot_be_started_is_tried_again(
    listener: socket.socket, tmp_path: Path, started: Path
) -> None:
    """A machine without memory for a moment; the server goes on."""
    program = tmp_path / "program"
    with ConsoleProcess(listener, lambda listening, pipe: [str(program), str(listening), str(pipe)]) as console:
        console.start()
        program.write_text(f"#!/bin/sh\necho $$ >> {started}\nexec cat\n")
        program.chmod(0o700)
        until(lambda: len(numbers(started)) >= 1, "for the program that is there now")


def test_a_server_without_a_free_descriptor_tries_again(
    listener: socket.socket, started: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients may have taken all of them for a moment."""
    pipe, refused = os.pipe, iter([OSError(errno.EMFILE, os.strerror(errno.EMFILE))])

    def scarce() -> tuple[int, int]:
        for error in refused:
            raise error
        return pipe()

    monkeypatch.setattr("postscan.console.http.process.os.pipe", scarce)
    with process(listener, started) as console:
        console.start()
        until(lambda: len(numbers(started)) == 1, "for the process")


def test_a_console_ends_with_a_server_that_was_killed(listener: socket.socket, started: Path) -> None:
    """The other end of its pipe is closed by the kernel."""
    code = (
        "import socket, sys, time; from postscan.console.http.process import ConsoleProcess\n"
        "listener = socket.create_server(('127.0.0.1', 0))\n"
        f"program = [sys.executable, '-c', {NOTES_ITS_START!r}]\n"
        f"command = lambda listening, pipe: [*program, str(listening), str(pipe), {str(started)!r}]\n"
        "ConsoleProcess(listener, command).start(); time.sleep(600)"
    )
    server = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: len(numbers(started)) == 1, "for the process")
    server.kill()
    server.wait()

    until(lambda: not alive(numbers(started)[0]), "for the console to end")
