"""Folders that take long to make and are the same for all processes of a test session: one makes them, others copy."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from process_guard import TEMPLATES


def template(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of this name; *make* fills it, in the first process of the session that asks for it."""
    home = Path(os.environ.get(TEMPLATES) or _of_this_process())
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder, draft = home / name, home / f"{name}.draft"
        if not folder.exists():
            shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
            draft.mkdir()
            make(draft)
            draft.rename(folder)
    return folder


def _of_this_process() -> str:
    """Make the home of all templates outside of a test session: a measurement uses the same doubles."""
    home = tempfile.mkdtemp(prefix="postscan-templates-")
    Path(home).chmod(0o755)
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ[TEMPLATES] = home
    return home
