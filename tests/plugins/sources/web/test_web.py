"""The source: its settings, what it finds wrong, and its stop."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import image_files
import pytest
from certificates import NOW, SERVER, Authority
from source_server import running
from web_site import StartSite, WebSite

from postscan.core.filters import parameters
from postscan.core.filters.source.messages import SourceFailed
from postscan.plugins.sources.web import Settings, Web, postscan_sources

PNG = image_files.saved(image_files.noise(), "PNG")


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": -1},
        {"port": 65536},
        {"most_bytes": 0},
        {"uploads": 0},
        {"connections": -5},
        {"connections_per_address": 0},
        {"body_seconds": 0},
        {"body_bytes_per_second": 0},
        {"names": "scans.example"},
        {"temporary": [""]},
        {"certificate": "web.pem"},
        {"key": "/etc/web.key"},
        {"certificate": "/etc/web.pem", "key": "web.key"},
    ],
)
def test_a_setting_that_cannot_be_used_is_named(wrong: dict[str, Any]) -> None:
    """Before the source listens."""
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        Settings(**wrong)


def test_every_setting_says_what_it_is() -> None:
    """For `postscan plugin info`, and the page of the sources."""
    assert all(one.help for one in parameters.settings(Settings))
    assert [one.name for one in parameters.settings(Settings)] == [field.name for field in dataclasses.fields(Settings)]


def test_it_listens_on_this_machine_alone_unless_told() -> None:
    """Whoever opens it to the network writes so."""
    assert Settings().host == "127.0.0.1"


def test_the_entry_point_brings_one_source() -> None:
    """With the proofs that it uses."""
    (source,) = postscan_sources()

    assert isinstance(source, Web)
    assert set(source.proofs) == {"password", "clear", "device"}


def test_a_port_that_is_taken_is_a_failure_that_names_it(tmp_path: Path) -> None:
    """The inlet is started again later, and the log says why."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with running(Web(), tmp_path, {"port": port}, stops=False) as server:
            server.wait_for(lambda: server.end)

    assert isinstance(server.end, SourceFailed)
    assert f"127.0.0.1, port {port}" in server.end.error


def test_it_says_where_it_listens(start: StartSite) -> None:
    """In its health, which `postscan sources list` shows."""
    site = start(secure=True)

    assert site.server.health == [("ready", f"listens on https://127.0.0.1:{site.port}/")]


def test_a_stop_ends_it_and_leaves_nothing(start: StartSite) -> None:
    """A file that waits for its rename is removed: its sender sends it again."""
    site = start()
    client = site.client()
    client.put("/Scans/a.tmp", content=PNG)
    assert len(list(site.server.started.workdir.iterdir())) == 1

    site.server.stop()
    site.server.wait_for(lambda: site.server.end)

    assert list(site.server.started.workdir.iterdir()) == []
    with pytest.raises(httpx2.TransportError):
        httpx2.get(site.url)


# --- doctor --------------------------------------------------------------------------------------------------------


def diagnosed(allow_clear: bool = False, devices: tuple[str, ...] = ("127.0.0.1",), **settings: Any) -> list[str]:
    """Return what the source finds wrong with these settings."""
    started = SimpleNamespace(devices=devices)
    inlet: Any = SimpleNamespace(settings=Settings(**settings), allow_clear=allow_clear, started=started)
    return list(Web().diagnose(inlet))


def test_a_source_that_runs_is_well(start: StartSite) -> None:
    """With and without TLS."""
    assert diagnosed(port=start().port) == []


def test_a_source_that_runs_over_tls_is_well(start: StartSite, tls: Any) -> None:
    """Whatever names its certificate has."""
    assert diagnosed(port=start(secure=True).port, certificate=str(tls.file), devices=()) == []


def test_a_source_that_takes_nobody_is_found(site: WebSite) -> None:
    """Neither device nor account could send."""
    (problem,) = diagnosed(port=site.port, devices=())

    assert "no one can send" in problem


def test_a_source_that_does_not_answer_is_found() -> None:
    """Nothing listens, or another program does."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        free = listener.getsockname()[1]
    (problem,) = diagnosed(port=free)

    assert f"port {free}" in problem


def test_a_certificate_outside_its_dates_is_found(site: WebSite, tmp_path: Path) -> None:
    """Clients refuse it."""
    authority = Authority()
    day = timedelta(days=1)
    old = authority.issue("old", usage=(SERVER,), start=NOW - 2 * day, end=NOW - day).write(tmp_path, "old")
    new = authority.issue("new", usage=(SERVER,), start=NOW + day, end=NOW + 2 * day).write(tmp_path, "new")

    assert "has expired" in diagnosed(port=site.port, certificate=str(old))[0]
    assert "is not valid before" in diagnosed(port=site.port, certificate=str(new))[0]
    assert diagnosed(port=site.port, certificate=str(tmp_path / "none"))[0].endswith("No such file or directory")
