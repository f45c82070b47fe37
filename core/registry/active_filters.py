"""The filters that a running engine offers: its catalogue, and the validator that asks their code.

Service and pipeline get this object when they are constructed, before any plugin is loaded. The engine opens it while
it runs jobs. `postscan jobs` and the other commands construct an engine that runs none: no plugin is loaded there, so
instructions are not checked and no dialect is listed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from postscan.core.model.process import Instructions
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin


class Validator(Protocol):
    """Checks instructions by the filters that they name."""

    def check(self, instructions: Instructions) -> None:
        """Raise `InvalidArgument` if a filter refuses its instructions, `Unavailable` if it cannot be asked."""


class ActiveFilters:
    """The usable filters of this process; several threads may use it at once.

    `awaits` says that a plugin was late and is probed again soon, so that a dialect without a filter may get one.
    """

    def __init__(self) -> None:
        self.awaits = False
        self._catalogue = Catalogue(())
        self._validator: Validator | None = None

    @contextlib.contextmanager
    def active(self, catalogue: Catalogue, validator: Validator) -> Iterator[None]:
        """Offer the filters of *catalogue* while the body runs; they are checked by *validator*."""
        self._validator = validator
        self.use(catalogue, awaits=bool(catalogue.late))
        try:
            yield
        finally:
            self._validator = None  # its workers end

    def use(self, catalogue: Catalogue, *, awaits: bool) -> None:
        """Offer the filters of *catalogue* from now on."""
        self._catalogue = catalogue
        self.awaits = awaits

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue that is in use; empty before the first run of the engine."""
        return self._catalogue

    @property
    def dialects(self) -> tuple[str, ...]:
        """The dialects of the usable filters; empty before the first run of the engine."""
        return self._catalogue.dialects

    def find(self, dialect: str) -> tuple[Plugin, FilterInfo] | None:
        """Return the plugin and the filter of this dialect."""
        return self._catalogue.find(dialect)

    def check(self, instructions: Instructions) -> None:
        """Check instructions as `Validator.check`; accept all while no engine runs jobs."""
        validator = self._validator
        if validator is not None:
            validator.check(instructions)
