"""The socket by which the console gets the metrics of the server beside it."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from postscan.core.service.administration.metrics import metrics_socket
from postscan.core.service.administration.metrics.metrics_socket import NAME, read, served


def test_each_reader_gets_the_page_of_that_moment(tmp_path: Path) -> None:
    pages = iter([b"first\n", b"second\n" * 100_000])
    with served(tmp_path, lambda: next(pages)):
        assert read(tmp_path) == "first\n"
        assert read(tmp_path) == "second\n" * 100_000


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    """The address of a socket has 107 bytes."""
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    with served(folder, lambda: b"page"):
        assert read(folder) == "page"


def test_the_socket_of_a_server_that_was_killed_is_replaced(tmp_path: Path) -> None:
    """Until then, a reader gets nothing from it."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / NAME))
    before = read(tmp_path)
    with served(tmp_path, lambda: b"page"):
        assert (before, read(tmp_path)) == ("", "page")


def test_a_reader_that_reads_nothing_keeps_others_waiting_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_socket, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(metrics_socket, "READ_SECONDS", 60.0)
    with served(tmp_path, lambda: b"x" * (4 << 20)), socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(tmp_path / NAME))

        assert len(read(tmp_path)) == 4 << 20


def test_a_server_that_hangs_keeps_no_reader_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_socket, "READ_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / NAME))
        hanging.listen(1)
        began = time.monotonic()

        assert read(tmp_path) == ""
        assert time.monotonic() - began < 20


def test_without_the_socket_the_server_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).mkdir()
    with served(tmp_path, lambda: b"page"):
        assert read(tmp_path) == ""

    assert caplog.text.count("metrics not given to the console") == 1
