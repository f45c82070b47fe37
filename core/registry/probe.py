"""Ask plugins in worker processes: what they declare, and whether they accept instructions."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from postscan.core.filters.cancellation import CancelSource
from postscan.core.registry import catalogue
from postscan.core.registry.catalogue import Catalogue
from postscan.core.registry.validation import InstructionValidator
from postscan.core.settings import Settings
from postscan.core.workers.pool import Workers
from postscan.core.workers.protocol import Order, OrderBroken, ProbeOrder, Result
from postscan.core.workers.slot import Limits


class PluginProbe:
    """Sends short orders to plugins; each is carried out in a worker process of its own."""

    def __init__(self, workers: Workers, settings: Settings) -> None:
        self._workers = workers
        self._settings = settings

    def catalogue(self) -> Catalogue:
        """Probe every installed plugin and return what they declare, or why they are quarantined."""

        def probe(plugin: str, table: Mapping[str, Any]) -> Result:
            order = ProbeOrder(plugin=plugin, settings=dict(table))
            return self._execute(order, self._settings.plugins.probe_seconds)

        return catalogue.read(probe, self._settings.filters, self._settings.plugins.disabled)

    def validator(self, catalogue: Catalogue) -> InstructionValidator:
        """Return the validator of instructions for the filters of this catalogue."""
        return InstructionValidator(catalogue, self._execute)

    def _execute(self, order: Order, seconds: float) -> Result:
        """Carry out one order and return its result; `OrderBroken` if there is none within *seconds*."""
        limits = Limits(seconds, grace=0.1, term=0.1)
        folder = self._settings.storage.run_dir
        with (
            tempfile.TemporaryDirectory(prefix="ask-", dir=folder, ignore_cleanup_errors=True) as workdir,
            CancelSource() as source,
            self._workers.slot() as slot,
        ):
            order = order.model_copy(update={"workdir": Path(workdir)})
            end = slot.run(order, source, limits, lambda _message: None)
        if end.late:
            return OrderBroken(error=f"the {order.type} took longer than {seconds:g} s")
        if end.why:
            return OrderBroken(error=f"its process was killed during the {order.type}: {end.why}")
        return end.result or OrderBroken(error=f"its process died during the {order.type} (exit code {end.exit_code})")
