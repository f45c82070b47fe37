"""Long checks against a real server: crashes, faults, cancels and missing controls, by the hundred.

A campaign is a client of the server. It uses the tests' device and the tests' server process, and shares no code
with the server's front end.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_TESTS = Path(__file__).resolve().parent.parent / "tests"

for _folder in (_TESTS, _TESTS / "doubles"):
    if str(_folder) not in sys.path:
        sys.path.append(str(_folder))
# The servers that a campaign starts have the plugin acme.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_TESTS / "outside"), os.environ.get("PYTHONPATH"))))


@contextlib.contextmanager
def more_plugins(name: str) -> Iterator[None]:
    """Let the servers that the body starts have the plugins in a folder of `tests/outside`, too."""
    before = os.environ["PYTHONPATH"]
    os.environ["PYTHONPATH"] = os.pathsep.join((str(_TESTS / "outside" / name), before))
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before
