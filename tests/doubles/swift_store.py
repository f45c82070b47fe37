"""OpenStack Swift of Debian with its S3 API: a real object store for the tests; see `swift_server.py`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from swift_keys import KEY, SECRET

PYTHON: Final = "/usr/bin/python3"
INSTALLED: Final = Path("/usr/lib/python3/dist-packages/swift")
NOT_HERE: Final = "the object store tests need OpenStack Swift; apt-get install python3-swift"


class Swift:
    """An object store with the empty bucket `spool`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        program = Path(__file__).with_name("swift_server.py")
        with (self.home / "swift.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PYTHON, program, self.home, str(self.port)], stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout
        said = self._process.stdout.readline().strip()
        assert said, (self.home / "swift.log").read_text()
        self.port = int(said)

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout
            self._process.stdout.close()
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it answer nothing while the body runs."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def settings(self, prefix: str, **others: Any) -> dict[str, Any]:
        """Return `[spool]` for a prefix of its bucket."""
        about = {"endpoint": f"http://127.0.0.1:{self.port}", "access_key": KEY, "secret_key": SECRET}
        return {"store": f"s3://spool/{prefix}", "region": "us-east-1", **about, **others}


@contextlib.contextmanager
def running(home: Path) -> Iterator[Swift]:
    """Run an object store while the body runs; skip the test where none is installed."""
    if not INSTALLED.exists():
        pytest.skip(NOT_HERE)
    swift = Swift(home)
    try:
        swift.start()
        yield swift
    finally:
        swift.stop()
