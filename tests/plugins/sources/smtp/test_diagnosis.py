"""What the doctor finds: nothing where mails are received, else what keeps them away."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from mail_inlet import LABELS, Certified, MailInlet

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.messages import InletStarted
from postscan.plugins import Destination, SourceContext
from postscan.plugins.sources.smtp import Smtp
from postscan.plugins.sources.smtp.settings import Settings


def problems(inlet: MailInlet, tmp_path: Path, destinations: tuple[str, ...] = LABELS, **about: object) -> list[str]:
    """Return what the doctor would hear of an inlet at the port of this one."""
    settings = Settings(port=inlet.port, **about.pop("settings", {}))  # type: ignore[arg-type]
    started = InletStarted(
        plugin="smtp",
        inlet="mail",
        settings={},
        destinations=tuple(Destination(id=f"d{n}", label=label) for n, label in enumerate(destinations)),
        folder=tmp_path,
        workdir=tmp_path,
        **about,
    )
    with CancelSource() as source:
        inlet_seen = SourceContext(None, started, settings, source.token())  # type: ignore[arg-type]  # it calls no server
        return list(Smtp().diagnose(inlet_seen))


def test_the_doctor_finds_nothing_where_mails_are_received(inlet: MailInlet, tmp_path: Path) -> None:
    """It connects, and sends nothing."""
    assert problems(inlet, tmp_path, devices=("10.0.0.0/8",)) == []
    assert inlet.server.requests == []


def test_the_doctor_finds_what_keeps_mails_away(inlet: MailInlet, tmp_path: Path, certified: Certified) -> None:
    """Labels that no address can be made of, clients that cannot prove anything, another server at the port."""
    found = problems(inlet, tmp_path, ("書類",), settings={"host": "0.0.0.0"})
    assert found == [
        "the label '書類' gives no address of its own; expected a name for it in recipients",
        "no client can send: devices is empty, and passwords need TLS or allow_clear",
    ]

    implicit = {"tls": "implicit", "certificate": str(certified.file)}
    (found_tls,) = problems(inlet, tmp_path, settings=implicit)
    assert found_tls.startswith(f"no connection to 127.0.0.1:{inlet.port}: ")

    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=_greet, args=(other,), daemon=True).start()
        elsewhere = MailInlet(inlet.server, other.getsockname()[1])
        expected = f"another server answers at 127.0.0.1:{elsewhere.port}; expected a greeting with 220"
        assert problems(elsewhere, tmp_path, allow_clear=True) == [expected]


def _greet(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"SSH-2.0-other\r\n")
