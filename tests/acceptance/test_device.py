"""`postscan device` and a real server: from the name of a host to the last event of a job, and every bad manner."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certificates
import commands
import pytest
from acceptance.networks import SERVER, Cable, cable
from acceptance.scanning import instructions, leads_to
from acceptance.server import Server, Tables, running
from certificates import Authority, sid_extension
from free_ports import free_port

from postscan.cli.device.command import MISBEHAVIOURS

ANNA = "S-1-5-21-1-2-3-1001"
PATIENCE = 300
CUT_OR_REPEATED = ("cut", "duplicate", "hang-up", "slow")


def found_by_name(port: int, directed_port: int) -> Tables:
    """Return the settings of a server that is found by its name."""
    discovery = {"enabled": True, "port": 0, "directed_port": directed_port}
    return {"server": {"port": port, "drain_seconds": 1}, "discovery": discovery}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on loopback that can be found. No device, however bad, makes it stumble."""
    port = free_port()
    with running(tmp_path_factory.mktemp("device"), found_by_name(port, port)) as server:
        yield server
        assert subscriptions(server) == 0
    assert server.tracebacks() == []


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two pages of random bytes that begin like PNG."""
    folder = tmp_path_factory.mktemp("pages")
    files = [folder / "1.png", folder / "2.png"]
    for file in files:
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(30_000))
    return list(map(str, files))


def named(server: Server) -> str:
    """Return what a device has to know of a server."""
    return f"127.0.0.1:{server.settings.server.port}"


def command(server: Server, *arguments: str) -> list[str]:
    """Return the arguments of a device that reads its scan processes where the server does."""
    return ["--config", str(server.home / "postscan.toml"), "device", *arguments]


def device(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a device."""
    return commands.run(command(server, *arguments), timeout=PATIENCE)


def devices(*commands_: list[str]) -> list[tuple[int, str, str]]:
    """Run devices side by side; return the exit code of each, and what it wrote to stdout and stderr."""
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(commands.start(one, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
            for one in commands_
        ]
        said = [one.communicate(PATIENCE) for one in started]
        return [(one.wait(), *texts) for one, texts in zip(started, said, strict=True)]


def scan(server: Server, pages: list[str], *more: str, asked: str = "copy") -> tuple[int, dict[str, Any]]:
    """Scan pages; return the exit code, and what the device has recorded."""
    finished = device(server, named(server), *pages, "--process", server.store(instructions(asked)), "--json", *more)
    assert finished.stdout, finished.stderr
    return finished.returncode, json.loads(finished.stdout)


def subscriptions(server: Server) -> int:
    """Return how many subscriptions the server has."""
    with contextlib.closing(sqlite3.connect(server.settings.storage.data_dir / "postscan.sqlite")) as database:
        (count,) = database.execute("select count(*) from subscription").fetchone()
        return int(count)


# --- the whole way -----------------------------------------------------------------------------------------------


def test_from_the_name_of_a_host_to_the_last_event(server: Server, pages: list[str]) -> None:
    """DPW-056, DPW-067 to DPW-069, DPW-072, DPW-075, DPW-087, DSP-063 to DSP-068; and nothing is left behind."""
    code, record = scan(server, pages)
    told = [(one["event"], one["state"]) for one in record["events"]]
    states = list(dict.fromkeys(state for _, state in told))

    assert code == 0
    assert [name for name, _ in told] == ["PostScanJobStatusEvent"] * (len(told) - 1) + ["PostScanJobEndStateEvent"]
    assert (states[0], states[-1]) == ("Creating", "Completed")
    assert all(leads_to(before, after) for before, after in itertools.pairwise(states))
    assert told[-2][1] == "Completed"
    assert {one["token"] for one in record["events"]} == {record["job"]["token"]}
    assert record["job"]["images"] == 2
    assert (record["subscription"]["granted"], record["subscription"]["strange"]) == (3600, [])
    assert 0 < record["subscription"]["left"] <= 3600
    assert record["subscription"]["unsubscribed"]
    assert subscriptions(server) == 0
    filters = dict.fromkeys(one["state"] for event in record["events"] for one in event["filters"])
    assert list(filters) == ["Pending", "Processing", "CompletedSuccessfully"]


def test_what_it_finds_is_what_the_server_is(server: Server) -> None:
    """DPW-030, DPW-034: model, device and services, without a job."""
    finished = device(server, named(server), "--json", "--wait", "60")  # it takes the first answer
    (one,) = json.loads(finished.stdout)["found"]

    assert finished.returncode == 0
    assert one["description"]["name"] == server.settings.device.friendly_name
    assert server.url in [address for each in one["description"]["services"] for address in each["addresses"]]
    assert one["match"]["via"].startswith("UDP port")


def test_a_subscription_outlives_its_time_by_renewals(server: Server, pages: list[str]) -> None:
    """DPW-068, DPW-081: the job takes longer than the time that was granted, and its last event still comes.

    The device renews when 4 of 10 s have passed: a busy machine may take some of the other 6 for that.
    """
    code, record = scan(server, pages, "--expires", "10", asked="sleep 11")

    assert code == 0
    assert record["subscription"]["renewals"] > 0
    assert record["subscription"]["unsubscribed"]
    assert record["events"][-1]["event"] == "PostScanJobEndStateEvent"


def test_stop_is_told_as_an_event(server: Server, pages: list[str]) -> None:
    """DSP-046, DSP-065: Ctrl-C cancels the job; the device stays to hear its end, and leaves no subscription."""
    process = server.store(instructions("sleep 60"))
    asked = command(server, named(server), *pages, "--process", process)
    with commands.start(asked, stdout=subprocess.PIPE) as waiting:
        assert waiting.stdout
        for line in waiting.stdout:
            if "PostScanJobStatusEvent: Processing" in line:
                break
        waiting.send_signal(signal.SIGINT)
        rest = waiting.stdout.read()

    assert waiting.returncode == 3
    assert "Stop pressed" in rest
    assert "PostScanJobEndStateEvent: Canceled (PostScanJobCanceled)" in rest
    assert subscriptions(server) == 0


def test_a_restart_of_the_server_costs_no_event(tmp_path: Path, pages: list[str]) -> None:
    """DSP-065, DSP-090, decision 13: the device hears of the end from the next server, in the same subscription."""
    port = free_port()
    with running(tmp_path, found_by_name(port, port)) as server:
        asked = command(server, named(server), *pages, "--process", server.store(instructions("sleep 2")))
        with commands.start(asked, stdout=subprocess.PIPE) as waiting:
            assert waiting.stdout
            for line in waiting.stdout:
                if "PostScanJobStatusEvent: Processing" in line:
                    break
            server.stop()
            server.start()
            rest = waiting.stdout.read()

        assert waiting.returncode == 0, rest
        assert rest.count("PostScanJobEndStateEvent: Completed") == 1
        assert rest.count("Unsubscribe") == 1
        assert subscriptions(server) == 0


def test_a_probe_by_http_is_enough(tmp_path: Path, pages: list[str]) -> None:
    """DPW-004, W-1: where UDP does not get through."""
    with running(tmp_path, found_by_name(free_port(), 0)) as server:
        code, record = scan(server, pages, "--wait", "0.2")  # by UDP nothing answers, however long it waits

    assert code == 0
    assert record["found"][0]["match"]["via"].startswith("http://127.0.0.1:")


def test_the_whole_way_under_tls(tmp_path: Path, pages: list[str]) -> None:
    """DPW-016, DPW-054, DSP-077, DSP-080: with the certificate of a user, and the server's CA; never without."""
    port, ca = free_port(), Authority()
    found = found_by_name(port, port)
    settings: Tables = {
        **found,
        "server": {**found["server"], "public_url": f"https://127.0.0.1:{port}"},
        "tls": certificates.server_table(tmp_path, ca, mode="client"),
        f'users."{ANNA}"': {"name": "anna@fabrikam.example", "upn": "anna@fabrikam.example"},
    }
    shows = ca.issue("anna", also=[sid_extension(ANNA)]).write(tmp_path, "anna")
    with running(tmp_path, settings) as server:
        code, record = scan(server, pages, "--ca", str(ca.write(tmp_path, "ca")), "--cert", str(shows))
        other = Authority("Another CA").write(tmp_path, "another")
        stranger = device(server, named(server), "--ca", str(other), "--cert", str(shows))

    assert code == 0
    assert record["found"][0]["match"]["endpoint"] == f"https://127.0.0.1:{port}/ScanServer"
    assert record["events"][-1]["event"] == "PostScanJobEndStateEvent"
    assert stranger.returncode == 1
    assert "certificate verify failed" in stranger.stderr


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    """A cable with nobody else on it."""
    with cable() as laid:
        yield laid


def test_a_device_that_knows_nothing_goes_the_whole_way(wire: Cable, tmp_path: Path, pages: list[str]) -> None:
    """DPW-002: a Probe to the group leads to the server, and events come back over the same cable."""
    settings: Tables = {
        "server": {"host": SERVER, "port": 0, "allow_plain_http": True, "drain_seconds": 1},
        "discovery": {"enabled": True},
    }
    server = wire.at_server(Server, tmp_path, settings)
    try:
        wire.at_server(server.start)
        arguments = [*pages, "--process", server.store(instructions("copy")), "--json"]
        for _ in range(10):
            finished = wire.at_client(device, server, *arguments)
            if "no device found" not in finished.stderr:
                break  # else the answer came later than the four seconds that a device waits
    finally:
        wire.at_server(server.stop)
        server.close()
    record = json.loads(finished.stdout)

    assert finished.returncode == 0, finished.stderr
    assert record["found"][0]["description"]["address"].startswith(f"http://{SERVER}:")
    assert record["events"][-1]["event"] == "PostScanJobEndStateEvent"


def test_a_device_that_finds_two_servers_chooses_none(wire: Cable, tmp_path: Path, pages: list[str]) -> None:
    """Somebody's scans are not sent to whoever answers first."""
    servers = []
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            table = {"host": SERVER, "port": 0, "allow_plain_http": True, "drain_seconds": 1}
            discovery = {"enabled": True, "directed_port": 0}
            servers.append(wire.at_server(Server, tmp_path / name, {"server": table, "discovery": discovery}))
            wire.at_server(servers[-1].start)
        process = servers[0].store(instructions("copy"))
        looking = command(servers[0])
        scanning = command(servers[0], *pages, "--process", process)
        for _ in range(10):
            found, finished = wire.at_client(devices, looking, scanning)
            if found[1].count("Found urn:uuid:") == 2 and "servers were found" in finished[2]:
                break  # else an answer came later than the four seconds that a device waits
    finally:
        for server in servers:
            wire.at_server(server.stop)
            server.close()

    assert found[0] == 0
    assert found[1].count("Found urn:uuid:") == 2
    assert finished[0] == 1
    assert "2 servers were found (http://10.98.76.1:" in finished[2]
    assert "name one: postscan device HOST FILE..." in finished[2]


# --- bad manners -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_a_bad_device_gets_what_the_protocol_wants(server: Server, pages: list[str], name: str) -> None:
    """DSP-031, DSP-032, DSP-036, DSP-039, DSP-044, DSP-050, DSP-083, DSP-089, T-A6, T-H2, T-M5, T-O4.

    After cuts and repetitions, each page is there once, exactly as it was scanned.
    """
    for file in server.out.iterdir():
        file.unlink()
    code, record = scan(server, pages, "--misbehave", name, "--pause", "1")
    delivered = sorted(file.read_bytes() for file in server.out.glob("*.png"))

    assert [one for one in record["misbehaviours"] if not one["good"]] == []
    assert record["misbehaviours"]
    assert code == 0
    if name in CUT_OR_REPEATED:
        assert delivered == sorted(Path(page).read_bytes() for page in pages)
