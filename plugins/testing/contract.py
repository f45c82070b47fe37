"""The contract of `core.filters.filter`, put to the test: a filter is run, run again, and cancelled at each look.

    a whole run        does it look at its token; what does it leave, change, give away
    the same again     knowing what the first run published: nothing may be there twice
    a cancel           at every look in turn: it ends, and nothing begins or appears afterwards
    after a cancel     knowing what was published before: the rest, once

The runs are real: what the filter delivers is delivered, each time. They take place in processes of their own
(`postscan.plugins.testing.sandbox`). What is written by other means than Python's own, by a tool for instance, is seen
only if it lies in the home directory afterwards.
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
"""At how many looks a filter is cancelled at most, unless the author says otherwise."""

_STOPPING: Final = 5.0  # seconds beyond its grace time until a cancelled run is killed: the machine may be busy


@dataclass(frozen=True, slots=True)
class ContractReport:
    """What came out: the defects, each kind once; how often the filter ran.

    `looks` is how often a whole run looked at its token, `cancels` at how many of them one was cancelled. `untried`
    says why the filter could not be tried with these instructions and settings, which is no defect of it.
    """

    defects: tuple[Defect, ...] = ()
    untried: str = ""
    runs: int = 0
    looks: int = 0
    cancels: int = 0


class NotTestable(Exception):
    """The filter could not be tried with these instructions and settings; the text says why."""


def assert_filter_contract(
    filter: Filter,
    files: Iterable[Path],
    *,
    instructions: Any = b"",
    settings: Mapping[str, Any] | None = None,
    user: User = EXAMPLE_USER,
    most: int = MOST,
) -> None:
    """Run *filter* again and again, cancel it wherever it looks at its token, and raise `AssertionError` for defects.

    The arguments are those of `run_filter`. Give instructions and settings with which the filter succeeds and has
    something to do; what it delivers is delivered, about as often as it looks at its token. It is cancelled at no more
    than *most* looks, spread evenly, the first and the last among them. The error has one sentence for each defect, and
    says so if the filter could not be tried.
    """
    found = examine(filter, files, instructions=instructions, settings=settings, user=user, most=most)
    sentences = [f"{one.kind}: {one.sentence}" for one in found.defects]
    if found.untried:
        sentences.append(f"it could not be tried: {found.untried}")
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
    """Return all that can be found out about *filter* with these files, instructions and settings.

    It is cancelled at no more than *most* looks; a run that nobody cancels may take as many *seconds*.
    """
    try:
        loader.judge(filter)
    except PluginError as error:
        return ContractReport((defects.refused(str(error)),))
    order = SandboxOrder(filter, tuple(files), instructions, dict(settings or {}), user, seconds=seconds)
    return _Examiner(order, most).examine()


class _Examiner:
    """Tries one filter, and collects what is wrong with it."""

    def __init__(self, order: SandboxOrder, most: int) -> None:
        self._order = order
        self._most = most
        self._secrets = redaction.secrets(order.filter.Settings, order.settings)
        self._found: dict[DefectKind, Defect] = {}
        self._runs = self._looks = self._cancels = 0

    def examine(self) -> ContractReport:
        """Do all trials."""
        untried = ""
        if self._order.filter.Instructions is None:
            self._find([defects.NO_SCHEMA])
        try:
            self._try()
        except NotTestable as reason:
            untried = self._discreet(str(reason))
        found = [replace(one, sentence=self._discreet(one.sentence)) for one in self._found.values()]
        found.sort(key=lambda one: list(DefectKind).index(one.kind))
        return ContractReport(tuple(found), untried, self._runs, self._looks, self._cancels)

    def _try(self) -> None:
        whole = self._whole()
        self._find(defects.of_second(whole, self._run(earlier=whole.published)))
        stopped = [account for account in self._cancelled(whole) if account.published]
        if stopped:
            half = len(whole.published) / 2
            partly = min(stopped, key=lambda account: abs(len(account.published) - half))
            self._find(defects.of_rest(whole, partly, self._run(earlier=partly.published)))

    def _whole(self) -> RunRecord:
        """Run it without a cancel; raise `NotTestable` if that says nothing about the filter."""
        whole = self._run()
        reason = defects.no_success(whole)
        idle = whole.all("warned") and not (whole.published or whole.first("changes") or whole.first("looked"))
        if idle:
            reason = f"it had nothing to do: {'; '.join(whole.all('warned'))}"
        else:
            self._find(defects.of_looks(whole))
        if reason:
            raise NotTestable(reason)
        self._looks = whole.first("checks")
        return whole

    def _cancelled(self, whole: RunRecord) -> Iterator[RunRecord]:
        """Cancel a run at each look in turn, and yield what was seen; one that does not stop in time is the last."""
        patience = 2 * whole.seconds + self._order.filter.grace + _STOPPING
        for number in _spread(self._looks, self._most):
            account = self._run(cancel_at=number, seconds=patience)
            self._cancels += 1
            self._find(defects.of_cancel(number, account, whole))
            yield account
            if account.first("killed") or account.first("late"):
                return

    def _run(self, **changes: Any) -> RunRecord:
        """Run it once more, and judge what must hold for every run."""
        account = sandbox.run(replace(self._order, **changes))
        self._runs += 1
        self._find(defects.of_actions(account, self._secrets))
        return account

    def _find(self, found: Iterable[Defect]) -> None:
        for one in found:
            self._found.setdefault(one.kind, one)

    def _discreet(self, text: str) -> str:
        return redaction.without(self._secrets, text)


def _spread(looks: int, most: int) -> list[int]:
    """Return the looks at which to cancel: all of them, or *most* from the first to the last."""
    if looks <= most:
        return list(range(1, looks + 1))
    return sorted({1 + round(number * (looks - 1) / max(1, most - 1)) for number in range(most)})
