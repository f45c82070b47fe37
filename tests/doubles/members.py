"""Members of a cluster for tests: `postscan worker` processes on one PostgreSQL database and one spool.

Each has a data folder of its own, and all share the spool and the folder of the plugin acme.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
from conftest import ANNA, AnyProcess
from plugin_names import unused
from works import PATIENCE, Works

from postscan.core.engine import Engine
from postscan.core.settings import Settings


class Worker:
    """One `postscan worker`; it can be killed, stopped and started again."""

    def __init__(self, home: Path, table: dict[str, Any]) -> None:
        self.settings = Settings.model_validate(table)
        self.log = home / "worker.log"
        self._config = home / "postscan.toml"
        self._config.write_text("".join(_lines(table)))
        self._process: commands.Command | None = None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it claims jobs."""
        with self.log.open("a") as log:
            self._process = commands.start(
                ["--config", str(self._config), "worker"], stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout
        with self._process.stdout as said:
            assert said.readline() == "ready\n", self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        return process.wait(PATIENCE)


class Cluster:
    """Workers, and a front end in this process: jobs are made with `works`, and run by the workers."""

    def __init__(self, home: Path, url: str, workers: int, **tables: dict[str, Any]) -> None:
        self.out = home / "out"
        spool = home / "spool"
        for folder in (self.out, spool):
            folder.mkdir()
        self.workers = [Worker(*self._member(home / f"worker-{n}", url, spool, tables)) for n in range(workers)]
        front = home / "front"
        self.core = Engine(Settings.model_validate(self._member(front, url, spool, tables)[1]), AnyProcess())
        self.works = Works(self.core, ANNA)

    def _member(
        self, home: Path, url: str, spool: Path, tables: dict[str, dict[str, Any]]
    ) -> tuple[Path, dict[str, Any]]:
        (home / "data").mkdir(parents=True, mode=0o700)
        (home / "data" / "spool").symlink_to(spool)
        table: dict[str, Any] = {
            "server": {"port": 0, "drain_seconds": 1},
            "storage": {"data_dir": str(home / "data"), "database": url, "busy_seconds": PATIENCE},
            "cluster": {"members": "several", "name": home.name},
            "running": {"slots": 2, "term_seconds": 0.3},
            "plugins": {"disabled": list(unused()), "probe_seconds": PATIENCE},
            "filters": {"acme": {"folder": str(self.out)}},
        }
        for name, values in tables.items():
            table[name] = table.get(name, {}) | values
        return home, table

    def holder(self, token: str) -> Worker:
        """Return the worker that runs a job."""
        [job] = [one for one in self.core.store.jobs_in_progress() if one.token == token]
        names = {one.member.id: one.member.name for one in self.core.store.members()}
        return next(one for one in self.workers if one.settings.cluster.name == names[job.holder])

    def close(self) -> None:
        """End all."""
        for worker in self.workers:
            worker.end(signal.SIGKILL)
        self.core.close()


@contextlib.contextmanager
def cluster(home: Path, url: str, workers: int, **tables: dict[str, Any]) -> Iterator[Cluster]:
    """Yield a cluster whose workers have started."""
    with contextlib.closing(Cluster(home, url, workers, **tables)) as made:
        for worker in made.workers:
            worker.start()
        yield made


def _lines(table: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield a table as TOML, the tables in it behind its values."""
    if path:
        yield f"[{path}]\n"
    for name, value in table.items():
        if not isinstance(value, dict):
            yield f"{name} = {json.dumps(value)}\n"
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{path}.{name}" if path else name)
