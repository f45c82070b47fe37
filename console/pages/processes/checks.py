"""Check a scan process by its filters for a page: with the remembered catalogue, and few processes at a time."""

from __future__ import annotations

import threading
from typing import Final

from postscan.core.engine import Engine
from postscan.core.errors import Unavailable
from postscan.core.model.process import Instructions
from postscan.core.registry.catalogue import Catalogue

CATALOGUE_SECONDS: Final = 8.0
"""Longest wait for the first reading of the catalogue."""

TURN_SECONDS: Final = 5.0
"""Longest wait for the checks of other processes."""

_TURNS: Final = threading.BoundedSemaphore(2)


def catalogue(engine: Engine) -> Catalogue:
    """Return the remembered catalogue; raise `Unavailable` while it is read for the first time."""
    return engine.remembered_catalogue.current(CATALOGUE_SECONDS).catalogue


def check(engine: Engine, instructions: Instructions) -> None:
    """Raise `InvalidArgument` for the first thing that a filter refuses; `Unavailable` if it cannot be asked now."""
    filters = catalogue(engine)
    if not _TURNS.acquire(timeout=TURN_SECONDS):
        raise Unavailable("other scan processes are being checked")
    try:
        with engine.validating(filters) as validator:
            validator.check(instructions)
    finally:
        _TURNS.release()
