"""A test of the contract of `core.filters.filter`: a filter is run, run again, and cancelled at each check.

    a complete run      it checks its token; it leaves no files, processes, changed state or secrets
    a second run        with the outputs of the first as `earlier`: it publishes nothing twice
    cancelled runs      at each check in turn: the run ends, and begins or publishes nothing afterwards
    a run after those   with the outputs of a cancelled run as `earlier`: it publishes the rest, once

The runs are real: outputs are delivered, each time. They take place in processes of their own
(`postscan.plugins.testing.sandbox`). What other programs write is detected in the home directory only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from postscan.core.errors import PluginError
from postscan.core.filters import loader
from postscan.core.filters.filter import Filter
from postscan.core.model.principal import User
from postscan.core.registry import redaction
from postscan.plugins.testing import defects, sandbox
from postscan.plugins.testing.defects import Defect, DefectKind
from postscan.plugins.testing.runner import EXAMPLE_USER
from postscan.plugins.testing.sandbox import RunRecord, SandboxOrder

MOST: Final = 100
"""The most checks at which a filter is cancelled by default."""

_STOPPING: Final = 5.0  # seconds beyond the grace period until a cancelled run is killed: the machine may be busy


@dataclass(frozen=True, slots=True)
class ContractReport:
    """The defects, each kind once, and the number of runs.

    `looks` is the number of checks of the token in a complete run, `cancels` the number of those at which a run was
    cancelled. `untried` is the reason why the filter cannot be tested with these instructions and settings, which is
    not a defect; empty if it can.
    """

    defects: tuple[Defect, ...] = ()
    untried: str = ""
    runs: int = 0
    looks: int = 0
    cancels: int = 0


class NotTestable(Exception):
    """The filter cannot be tested with these instructions and settings; the text is the reason."""


def assert_filter_contract(
    filter: Filter,
    files: Iterable[Path],
    *,
    instructions: Any = b"",
    settings: Mapping[str, Any] | None = None,
    user: User = EXAMPLE_USER,
    most: int = MOST,
) -> None:
    """Run *filter* repeatedly, cancel it at each check of its token, and raise `AssertionError` for defects.

    The arguments are those of `run_filter`. Give instructions and settings with which the filter succeeds and has
    something to do; its outputs are delivered about as often as it checks its token. It is cancelled at no more than
    *most* checks, spread evenly from the first to the last. The error has one line for each defect, and one if the
    filter cannot be tested.
    """
    found = examine(filter, files, instructions=instructions, settings=settings, user=user, most=most)
    sentences = [f"{one.kind}: {one.sentence}" for one in found.defects]
    if found.untried:
        sentences.append(f"it could not be tested: {found.untried}")
    if sentences:
        raise AssertionError("\n".join([f"{type(filter).__name__} does not keep the contract of filters:", *sentences]))


def examine(
    filter: Filter,
    files: Iterable[Path],
    *,
    instructions: Any = b"",
    settings: Mapping[str, Any] | None = None,
    user: User = EXAMPLE_USER,
    most: int = MOST,
    seconds: float = sandbox.LONGEST,
) -> ContractReport:
    """Return the defects of *filter* with these files, instructions and settings.

    It is cancelled at no more than *most* checks; a run that is not cancelled may take *seconds*.
    """
    try:
        loader.check_filter(filter)
    except PluginError as error:
        return ContractReport((defects.refused(str(error)),))
    order = SandboxOrder(filter, tuple(files), instructions, dict(settings or {}), user, seconds=seconds)
    return _ContractTest(order, most).examine()


class _ContractTest:
    """The runs of one filter, and the defects found in them."""

    def __init__(self, order: SandboxOrder, most: int) -> None:
        self._order = order
        self._most = most
        self._secrets = redaction.secrets(order.filter.Settings, order.settings)
        self._found: dict[DefectKind, Defect] = {}
        self._runs = self._looks = self._cancels = 0

    def examine(self) -> ContractReport:
        """Do all runs and return the report."""
        untried = ""
        if self._order.filter.Instructions is None:
            self._add([defects.NO_SCHEMA])
        try:
            self._run_all()
        except NotTestable as reason:
            untried = self._redacted(str(reason))
        found = [replace(one, sentence=self._redacted(one.sentence)) for one in self._found.values()]
        found.sort(key=lambda one: list(DefectKind).index(one.kind))
        return ContractReport(tuple(found), untried, self._runs, self._looks, self._cancels)

    def _run_all(self) -> None:
        whole = self._complete_run()
        self._add(defects.of_second(whole, self._run(earlier=whole.published)))
        stopped = [record for record in self._cancelled_runs(whole) if record.published]
        if stopped:
            half = len(whole.published) / 2
            partly = min(stopped, key=lambda record: abs(len(record.published) - half))
            self._add(defects.of_rest(whole, partly, self._run(earlier=partly.published)))

    def _complete_run(self) -> RunRecord:
        """Run the filter without a cancel; raise `NotTestable` if it fails or has nothing to do."""
        whole = self._run()
        reason = defects.no_success(whole)
        idle = whole.all("warned") and not (whole.published or whole.first("changes") or whole.first("checked"))
        if idle:
            reason = f"it had nothing to do: {'; '.join(whole.all('warned'))}"
        else:
            self._add(defects.of_checks(whole))
        if reason:
            raise NotTestable(reason)
        self._looks = whole.first("checks")
        return whole

    def _cancelled_runs(self, whole: RunRecord) -> Iterator[RunRecord]:
        """Cancel a run at each check in turn, and yield the records; a run that does not stop in time is the last."""
        seconds = 2 * whole.seconds + self._order.filter.grace + _STOPPING
        for number in _spread(self._looks, self._most):
            record = self._run(cancel_at=number, seconds=seconds)
            self._cancels += 1
            self._add(defects.of_cancel(number, record, whole))
            yield record
            if record.first("killed") or record.first("late"):
                return

    def _run(self, **changes: Any) -> RunRecord:
        """Run the filter once, and add the defects that any run can have."""
        record = sandbox.run(replace(self._order, **changes))
        self._runs += 1
        self._add(defects.of_actions(record, self._secrets))
        return record

    def _add(self, found: Iterable[Defect]) -> None:
        for one in found:
            self._found.setdefault(one.kind, one)

    def _redacted(self, text: str) -> str:
        return redaction.without(self._secrets, text)


def _spread(checks: int, most: int) -> list[int]:
    """Return the checks at which to cancel: all of them, or *most* from the first to the last."""
    if checks <= most:
        return list(range(1, checks + 1))
    return sorted({1 + round(number * (checks - 1) / max(1, most - 1)) for number in range(most)})
