"""Ask plugins in worker processes: what they declare, and whether they accept instructions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from postscan.core.filters.cancellation import CancelSource
from postscan.core.filters.source.messages import InletStarted
from postscan.core.registry import catalogue, sources
from postscan.core.registry.catalogue import Catalogue, FilterLookup, Plugin
from postscan.core.registry.directory import installed
from postscan.core.registry.validation import DIAGNOSE_SECONDS, InstructionValidator
from postscan.core.settings import Settings
from postscan.core.workers.pool import Workers
from postscan.core.workers.protocol import (
    Diagnosed,
    HooksDiagnoseOrder,
    HooksProbeOrder,
    Order,
    OrderBroken,
    OrderFailed,
    OrderLate,
    ProbeOrder,
    Result,
    SourceDiagnoseOrder,
    SourceProbeOrder,
)
from postscan.core.workers.slot import Closed, Limits, RunEndKind

START_SECONDS: Final = 6.0
"""For a worker to get the processor, and for a check also to load its filter, before the time of its order begins.

An order with more time than that has as much for its start.
"""

Attach = Callable[[CancelSource | None], None]


def _do_nothing(_source: CancelSource | None) -> None:
    """Let nothing but its time end an order."""


class PluginProbe:
    """Sends short orders to plugins; each is carried out in a worker process of its own."""

    def __init__(self, workers: Workers, settings: Settings) -> None:
        self._workers = workers
        self._settings = settings

    def catalogue(self) -> Catalogue:
        """Probe every installed plugin of filters and return what they declare, or why they are quarantined."""

        return catalogue.read(self._probe, self._settings.filters, self._settings.plugins.disabled)

    def again(self, before: Catalogue, attach: Attach) -> Catalogue:
        """Probe the plugins of a catalogue that were late; return it with those that are not late again.

        *attach* gets the source that ends the probe under way, and None after it.
        """

        def probe(plugin: str, table: Mapping[str, Any]) -> Result:
            try:
                return self._probe(plugin, table, attach)
            except (Closed, OSError, EOFError, MemoryError) as error:
                return OrderLate(error=f"it cannot be loaded now: {error}")

        return catalogue.read_again(before, probe, self._settings.filters)

    def _probe(self, plugin: str, table: Mapping[str, Any], attach: Attach = _do_nothing) -> Result:
        order = ProbeOrder(plugin=plugin, settings=dict(table))
        return self._execute(order, self._settings.plugins.probe_seconds, attach)

    def sources(self) -> tuple[Plugin, ...]:
        """Probe every installed plugin that brings a source, with the tables of its inlets."""
        inlets: dict[str, dict[str, Mapping[str, Any]]] = {}
        for name, inlet in self._settings.sources.items():
            inlets.setdefault(inlet.plugin, {})[name] = inlet.table

        def probe(plugin: str, tables: sources.Inlets) -> Result:
            order = SourceProbeOrder(plugin=plugin, inlets={name: dict(table) for name, table in tables.items()})
            return self._execute(order, self._settings.plugins.probe_seconds)

        return sources.read(probe, inlets, self._settings.plugins.disabled)

    def hooks(self) -> tuple[Plugin, ...]:
        """Probe every installed plugin of hooks, with its table if it has one."""

        def probe(plugin: str, table: Mapping[str, Any] | None) -> Result:
            order = HooksProbeOrder(plugin=plugin, settings=None if table is None else dict(table))
            return self._execute(order, self._settings.plugins.probe_seconds)

        return installed.read(probe, self._settings.plugins.tables, self._settings.plugins.disabled)

    def diagnose(self, started: InletStarted) -> list[str]:
        """Return what would keep origins from coming in an inlet."""
        order = SourceDiagnoseOrder(plugin=started.plugin, started=started)
        return _found(self._execute(order, DIAGNOSE_SECONDS))

    def diagnose_hooks(self, plugin: str) -> list[str]:
        """Return what keeps a plugin of hooks from its directory."""
        order = HooksDiagnoseOrder(
            plugin=plugin,
            settings=dict(self._settings.plugins.tables[plugin]),
            seconds=self._settings.directory.answer_seconds,
        )
        return _found(self._execute(order, DIAGNOSE_SECONDS))

    def validator(self, filters: FilterLookup) -> InstructionValidator:
        """Return the validator of instructions for these filters."""
        return InstructionValidator(filters, self._execute)

    def _execute(self, order: Order, seconds: float, attach: Attach = _do_nothing) -> Result:
        """Carry out one order and return its result; `OrderLate` if there is none within *seconds*, or if it is ended.

        `OrderBroken` if there is none for another reason. The start of the worker has a time of its own.
        """
        start = max(START_SECONDS, seconds)
        limits = Limits(seconds, grace=0.1, term=0.1, start=start)
        folder = self._settings.storage.run_dir
        with (
            tempfile.TemporaryDirectory(prefix="ask-", dir=folder, ignore_cleanup_errors=True) as workdir,
            CancelSource() as source,
            self._workers.slot() as slot,
        ):
            order = order.model_copy(update={"workdir": Path(workdir)})
            attach(source)
            try:
                end = slot.run(order, source, limits, lambda _message: None)
            finally:
                attach(None)
        if not end.begun:
            return OrderLate(error=f"the {order.type} did not begin within {start:g} s", begun=False)
        if end.late:
            return OrderLate(error=f"the {order.type} took longer than {seconds:g} s")
        if end.kind is RunEndKind.STOPPED:
            return OrderLate(error=f"the {order.type} was ended")
        if end.why:
            return OrderBroken(error=f"its process was killed during the {order.type}: {end.why}")
        return end.result or OrderBroken(error=f"its process died during the {order.type} (exit code {end.exit_code})")


def _found(result: Result) -> list[str]:
    """Return the sentences of a diagnosis, or why there is none."""
    if isinstance(result, Diagnosed):
        return list(result.found)
    return [result.error if isinstance(result, OrderBroken | OrderFailed) else f"its worker sent {result.type}"]
