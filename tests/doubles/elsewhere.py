"""An environment of somebody else, in which this checkout is installed as anybody would do it: built and copied."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from documents import ROOT

SOURCE = (
    *("core", "soap", "plugins", "migrations", "doctor", "console", "cli"),
    *("pyproject.toml", "requirements-server.lock", "README.md", "LICENSE"),
)
_UV = (sys.executable, "-m", "uv", "--quiet")
_SECONDS = 900


class Elsewhere:
    """A folder with an environment in `env`; `variables` are those of a shell that has activated it."""

    def __init__(self, temporary: pytest.TempPathFactory, name: str) -> None:
        self.home = temporary.mktemp(name)
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "POSTSCAN"))},
            "PATH": f"{self.home / 'env' / 'bin'}:{os.environ['PATH']}",
            "PIP_NO_COMPILE": "1",  # most of what pip would compile is never imported
            "VIRTUAL_ENV": str(self.home / "env"),
            "XDG_STATE_HOME": str(self.home / "state"),  # where commands without a settings file keep their data
        }
        self._run = temporary.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            self._run = self._run.parent

    def install(self, *packages: str, extra: str = "") -> None:
        """Make the environment, with postscan, one of its extras, and these packages; paths count from the folder."""
        wheel = self._wheel()
        postscan = f"postscan[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
        self.do(*_UV, "venv", "--seed", "--python", sys.executable, "env")
        self.do(*_UV, "pip", "install", "--python", "env/bin/python", postscan, *packages)
        self._reuse_bytecode()

    def checkout(self) -> Path:
        """Return a copy of this checkout, as far as it is needed for an installation."""
        _copy_source(self.home / "checkout")
        return self.home / "checkout"

    def _wheel(self) -> Path:
        """Return the wheel of this checkout, built once in a run of the tests: its workers share it."""
        home = self._run / "wheel"
        home.mkdir(exist_ok=True)
        with (home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not list(home.glob("done/*.whl")):
                _copy_source(home / "source")
                self.do(*_UV, "build", "--wheel", "--out-dir", "built", "source", folder=home)
                (home / "built").rename(home / "done")
        (wheel,) = home.glob("done/*.whl")
        return wheel

    def _reuse_bytecode(self) -> None:
        """Link the bytecode of the same dependencies from the environment of the tests, instead of compiling it again.

        Python uses it only for a source file of the same time and size.
        """
        ours = Path(sysconfig.get_path("purelib"))
        (theirs,) = self.home.glob("env/lib/python*/site-packages")
        for bytecode in ours.glob("**/__pycache__/*.pyc"):
            folder = theirs / bytecode.parent.relative_to(ours)
            if folder.parent.is_dir():
                folder.mkdir(exist_ok=True)
                with contextlib.suppress(OSError):  # it is there, or lies on another disk
                    (folder / bytecode.name).hardlink_to(bytecode)

    def do(self, *command: str, folder: Path | None = None) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = subprocess.run(
            command,
            cwd=folder or self.home,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def _copy_source(folder: Path) -> None:
    """Copy what a build needs, since it leaves things beside what it builds."""
    folder.mkdir()
    for name in SOURCE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
