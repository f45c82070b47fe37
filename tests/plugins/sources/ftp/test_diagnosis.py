"""What `postscan doctor` says of an inlet."""

from __future__ import annotations

import socket
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import certificates
import pytest
from ftp_inlets import own_port

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.context import SourceContext
from postscan.core.filters.source.messages import InletStarted
from postscan.plugins.sources.ftp import FtpSource
from postscan.plugins.sources.ftp.settings import Settings


def diagnosed(tmp_path: Path, *, allow_clear: bool = False, devices: tuple[str, ...] = ("127.0.0.1",), **settings: Any):
    """Return the sentences about an inlet with these settings."""
    started = InletStarted(
        plugin="ftp",
        inlet="inlet",
        settings={},
        destinations=(),
        folder=tmp_path,
        workdir=tmp_path,
        devices=devices,
        allow_clear=allow_clear,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs, CancelSource() as stop:
        connection = InletConnection(theirs)
        try:
            return list(FtpSource().diagnose(SourceContext(connection, started, Settings(**settings), stop.token())))
        finally:
            connection.close()


def test_an_inlet_that_serves_has_no_problem(inlet, make_inlet, tmp_path):
    """On both ports; nobody logs in for it."""
    ports = {"port": inlet.port, "implicit_port": inlet.implicit_port}
    assert diagnosed(tmp_path, certificate=make_inlet.certificate, devices=(), **ports) == []
    assert inlet.checked == []


def test_an_inlet_that_lets_no_client_in_has_one(inlet, tmp_path):
    """Without a certificate, devices, and leave for passwords in clear."""
    (problem,) = diagnosed(tmp_path, port=inlet.port, devices=())
    assert problem.startswith("no client can log in")
    assert diagnosed(tmp_path, port=inlet.port, devices=(), allow_clear=True) == []


def test_a_port_without_an_answer_is_a_problem(tmp_path):
    """The inlet does not run, or not there."""
    port = own_port()
    assert diagnosed(tmp_path, port=port) == [f"nothing answers at 127.0.0.1, port {port}: Connection refused"]


def test_a_port_at_which_another_server_answers_is_a_problem(tmp_path):
    """It was there first."""

    def answer() -> None:
        connection, _ = other.accept()
        with connection:
            connection.sendall(b"SSH-2.0-Other\r\n")

    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=answer)
        thread.start()
        port = other.getsockname()[1]
        (problem,) = diagnosed(tmp_path, port=port)
        thread.join()
    assert problem == f"another server answers at 127.0.0.1, port {port}; expected a greeting with 220"


@pytest.mark.parametrize(
    ("dates", "sentence"),
    [
        ({"start": certificates.NOW - timedelta(days=9), "end": certificates.NOW - certificates.DAY}, "has expired on"),
        (
            {"start": certificates.NOW + certificates.DAY, "end": certificates.NOW + timedelta(days=9)},
            "is not valid before",
        ),
    ],
)
def test_a_certificate_outside_its_dates_is_a_problem(inlet, tmp_path, dates, sentence):
    """Devices refuse it, or say nothing."""
    path = certificates.Authority("scans").issue("server", usage=[certificates.SERVER], **dates).write(tmp_path, "old")
    (problem,) = diagnosed(tmp_path, port=inlet.port, certificate=str(path))
    assert sentence in problem


def test_a_certificate_that_cannot_be_used_is_a_problem(inlet, tmp_path):
    """The inlet would not start with it."""
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    (problem,) = diagnosed(tmp_path, port=inlet.port, certificate=str(broken))
    assert problem.startswith(f"the certificate {broken} cannot be used")
