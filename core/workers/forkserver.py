"""What multiprocessing's forkserver imports: its environment, and the modules of all processes that are forked from it.

The kernel shows in /proc/<pid>/environ the variables with which a program was executed, whatever the program removes
later, and every process of a run is forked from the forkserver. So the forkserver executes itself once more, before it
has opened anything: importing this module replaces the process.

The garbage collector is off until a supervisor enables it: what is imported here is never garbage, and each object that
the collector visits costs a forked process a copy of its page.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Final

from postscan.core.workers.orphans import MARK

KEPT: Final = ("PATH", "HOME", "LANG", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", MARK)
"""What a program needs to run, and the server's mark; the variables of the locale (LC_...) are kept as well."""

_kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("LC_")}
if len(_kept) < len(os.environ):
    os.execve(sys.executable, sys.orig_argv, _kept)  # noqa: S606  (this program again)

gc.disable()
importlib.import_module("postscan.core.workers.process")
gc.freeze()
