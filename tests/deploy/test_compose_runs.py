"""The commands, the settings and the health check of deploy/compose.yaml, run here without containers.

Each in a network namespace of its own, so that the ports are those of the file, on a real PostgreSQL and one spool.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import databases
import pytest
import sqlalchemy as sa
import yaml
from certificates import Authority
from documents import ROOT
from works import until

COMPOSE = ROOT / "deploy" / "compose.yaml"
PROGRAM = Path(sys.executable).parent / "postscan"
IN_THE_IMAGE = dict(re.findall(r"([A-Z_]+)=(\S+?)(?: \\)?$", (ROOT / "Containerfile").read_text(), re.MULTILINE))


class Container(NamedTuple):
    """What runs in the place of a container."""

    service: dict[str, Any]
    environment: dict[str, str]
    process: subprocess.Popen[str]
    printed: str

    def inside(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in its network, and with its environment."""
        return subprocess.run(
            ["nsenter", f"--target={self.process.pid}", "--net", "--mount", *command],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def is_healthy(self) -> bool:
        """Run the health check of the file, with the python of the tests."""
        kind, program, *arguments = self.service["healthcheck"]["test"]
        assert (kind, program) == ("CMD", "python")
        return self.inside([sys.executable, *arguments]).returncode == 0


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory, _postgres_server: str) -> Iterator[dict[str, Container]]:
    """The services of postscan, running, by name."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and the program ip, for network namespaces")
    home = tmp_path_factory.mktemp("containers")
    (home / "spool").mkdir(mode=0o700)
    etc = shutil.copytree(COMPOSE.parent / "settings", home / "settings")
    (etc / "tls").mkdir()
    pair = Authority().server().write(home, "server")
    for name in ("tls.crt", "tls.key"):
        shutil.copy(pair, etc / "tls" / name)
    url = sa.make_url(databases.create(_postgres_server, "postscan", with_tables=False))
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    started: dict[str, Container] = {}
    try:
        for name in ("server", "worker"):
            started[name] = start(services[name], home / name, home / "spool", etc, str(url.query["host"]))
        yield started
    finally:
        for one in started.values():
            one.process.kill()
            one.process.wait()
            assert one.process.stdout
            one.process.stdout.close()


def start(service: dict[str, Any], home: Path, spool: Path, etc: Path, database: str) -> Container:
    """Start one service; return when it has printed its line."""
    data = home / "postscan"
    (data / "spool").mkdir(parents=True, mode=0o700)
    environment = {
        **{name: value for name, value in IN_THE_IMAGE.items() if name != "PATH"},
        **service["environment"],
        "PATH": os.environ["PATH"],
        "POSTSCAN_CONFIG": str(etc / Path(IN_THE_IMAGE["POSTSCAN_CONFIG"]).name),
        "XDG_STATE_HOME": str(home),
        "PGHOST": database,
        "PGPASSWORD": "not asked for on this socket",
    }
    command = shlex.join([str(PROGRAM), *service["command"]])
    mount = shlex.join(["mount", "--bind", str(spool), str(data / "spool")])
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", f"ip link set lo up && {mount} && exec {command}"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout
    printed = process.stdout.readline()
    assert printed, (home / "log").read_text()
    return Container(service, environment, process, printed)


def test_server_and_worker_get_ready_and_stop_in_order(containers: dict[str, Container]) -> None:
    """By the checks of the file, on one database and one spool."""
    server, worker = containers["server"], containers["worker"]
    for one in (server, worker):
        until(one.is_healthy, "for the health check")
    shown = server.inside([str(PROGRAM), "jobs", "list"])
    for one in (server, worker):
        one.process.terminate()

    assert server.printed.startswith("https://0.0.0.0:5362/")
    assert worker.printed == "ready\n"
    assert shown.returncode == 0, shown.stderr
    assert [one.process.wait(60) for one in (server, worker)] == [0, 0]
