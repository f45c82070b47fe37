"""An environment of somebody else, in which this checkout is installed as anybody would do it: built and copied."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from documents import ROOT

SOURCE = ("core", "soap", "plugins", "migrations", "doctor", "cli", "pyproject.toml", "README.md", "LICENSE")
_SECONDS = 300


class Elsewhere:
    """A folder with an environment in `env`; `variables` are those of a shell that has activated it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "POSTSCAN"))},
            "PATH": f"{home / 'env' / 'bin'}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(home / "env"),
        }

    def install(self, *packages: str) -> None:
        """Make the environment, with postscan and these packages in it; paths count from the folder."""
        source = self.home / "source"  # a build leaves things beside what it builds
        source.mkdir()
        for name in SOURCE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, source / name)
        uv = [sys.executable, "-m", "uv", "--quiet"]
        self.do(*uv, "venv", "--seed", "--python", sys.executable, "env")
        self.do(*uv, "pip", "install", "--python", "env/bin/python", "./source", *packages)

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
