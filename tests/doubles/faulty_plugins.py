"""The faulty plugins of `tests/plugins/faulty/`, installed as far as Python can tell."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

FAULTY = Path(__file__).parents[1] / "plugins" / "faulty"


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Install them for the length of the body."""
    sys.path.append(str(FAULTY))
    try:
        yield
    finally:
        sys.path.remove(str(FAULTY))
