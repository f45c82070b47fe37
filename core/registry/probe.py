"""Ask plugins in worker processes: what they declare, and whether they accept instructions."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

from postscan.core.filters.cancellation import CancelSource
from postscan.core.registry import catalogue
from postscan.core.registry.catalogue import Catalogue
from postscan.core.registry.validation import InstructionValidator
from postscan.core.settings import Settings
from postscan.core.workers import protocol
from postscan.core.workers.pool import Workers
from postscan.core.workers.slot import Limits


class PluginProbe:
    """Sends short orders to plugins; each is carried out in a worker process of its own."""

    def __init__(self, workers: Workers, settings: Settings) -> None:
        self._workers = workers
        self._settings = settings

    def catalogue(self) -> Catalogue:
        """Probe every installed plugin and return what they declare, or why they are quarantined."""

        def probe(plugin: str, table: Mapping[str, Any]) -> protocol.Message:
            order = {"do": "probe", "plugin": plugin, "settings": dict(table)}
            return self._ask(order, self._settings.plugins.probe_seconds)

        return catalogue.read(probe, self._settings.filters, self._settings.plugins.disabled)

    def validator(self, catalogue: Catalogue) -> InstructionValidator:
        """Return the validator of instructions for the filters of this catalogue."""
        return InstructionValidator(catalogue, self._ask)

    def _ask(self, order: protocol.Message, seconds: float) -> protocol.Message:
        """Send one order and return the answer, or `{"error": ...}` if there is none within *seconds*."""
        limits = Limits(seconds, grace=0.1, term=0.1)
        folder = self._settings.storage.run_dir
        with (
            tempfile.TemporaryDirectory(prefix="ask-", dir=folder, ignore_cleanup_errors=True) as workdir,
            CancelSource(folder) as source,
            self._workers.slot() as slot,
        ):
            order = order | {"token": source.path, "workdir": workdir}
            ended = slot.do(order, source, limits, lambda _message: None)
        if ended.late:
            return {"error": f"the {order['do']} took longer than {seconds:g} s"}
        return ended.message or {"error": f"its process died during the {order['do']} (exit code {ended.exit_code})"}
