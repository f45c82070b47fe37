"""What the doctor finds: nothing where mails are received, else what keeps them away."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import mail_inlet
import pytest
from mail_inlet import LABELS, Certified, MailInlet

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.connection import InletConnection
from postscan.core.filters.source.messages import InletStarted
from postscan.plugins import Destination, SourceContext
from postscan.plugins.sources import smtp
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
    ours, theirs = socket.socketpair()
    with ours, theirs, CancelSource() as source, contextlib.closing(InletConnection(theirs)) as connection:
        return list(Smtp().diagnose(SourceContext(connection, started, settings, source.token())))


def test_the_doctor_finds_nothing_where_mails_are_received(inlet: MailInlet, tmp_path: Path) -> None:
    """It connects, and sends nothing."""
    assert problems(inlet, tmp_path, devices=("10.0.0.0/8",)) == []
    assert inlet.server.requests == []


def test_an_inlet_with_implicit_tls_is_reached(tmp_path: Path, certified: Certified) -> None:
    """Whatever names its certificate has, and whoever has signed it: the doctor connects to an address."""
    implicit = {"tls": "implicit", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, implicit) as inlet:
        assert problems(inlet, tmp_path, settings=implicit) == []


def test_destinations_without_an_address_and_clients_without_a_proof_are_found(
    inlet: MailInlet, tmp_path: Path
) -> None:
    """All at once, beside a server that answers."""
    settings = {"host": "0.0.0.0", "recipients": {"bills": "Bills"}}

    assert problems(inlet, tmp_path, ("書類",), settings=settings) == [
        "the label '書類' gives no address of its own; expected a name for it in recipients",
        "recipients.bills: no destination of this inlet is named 'Bills'",
        "no client can send: devices is empty, and passwords need TLS or allow_clear",
    ]


@pytest.mark.parametrize("about", [{"devices": ("10.0.0.0/8",)}, {"allow_clear": True}])
def test_one_way_of_proof_is_enough(inlet: MailInlet, tmp_path: Path, about: dict[str, Any]) -> None:
    """Devices by their address, or accounts without TLS where that is allowed."""
    assert problems(inlet, tmp_path, **about) == []


def test_a_port_at_which_nothing_listens_is_found(inlet: MailInlet, tmp_path: Path) -> None:
    """The inlet does not run, or not there."""
    with socket.socket() as bound:  # and no other program has the port meanwhile
        bound.bind(("127.0.0.1", 0))
        elsewhere = MailInlet(inlet.server, bound.getsockname()[1])
        found = problems(elsewhere, tmp_path, allow_clear=True)

    assert found == [f"no connection to 127.0.0.1:{elsewhere.port}: Connection refused"]


def test_a_server_without_tls_where_it_is_expected_is_found(
    inlet: MailInlet, tmp_path: Path, certified: Certified
) -> None:
    """The settings have changed since the inlet was started."""
    (found,) = problems(inlet, tmp_path, settings={"tls": "implicit", "certificate": str(certified.file)})

    assert found.startswith(f"no connection to 127.0.0.1:{inlet.port}: ")


def test_another_server_at_the_port_is_found(inlet: MailInlet, tmp_path: Path) -> None:
    """It was there first."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=_greet, args=(other,))
        thread.start()
        elsewhere = MailInlet(inlet.server, other.getsockname()[1])
        found = problems(elsewhere, tmp_path, allow_clear=True)
        thread.join()

    assert found == [f"another server answers at 127.0.0.1:{elsewhere.port}; expected a greeting with 220"]


def test_a_server_that_does_not_answer_is_found_within_a_bound(
    inlet: MailInlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts the connection, and sends no greeting."""
    monkeypatch.setattr(smtp, "CHECK_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        elsewhere = MailInlet(inlet.server, silent.getsockname()[1])

        assert problems(elsewhere, tmp_path, allow_clear=True) == [
            f"no connection to 127.0.0.1:{elsewhere.port}: timed out"
        ]


def test_an_inlet_with_a_port_of_its_own_choice_is_not_looked_for(inlet: MailInlet, tmp_path: Path) -> None:
    """Its state names the port; the settings do not."""
    assert problems(MailInlet(inlet.server, 0), tmp_path, allow_clear=True) == []


def _greet(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(b"SSH-2.0-other\r\n")
