"""Decide what the end of a filter run means: the filter's next state, its reasons, and its receipt."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Final

from postscan.core.model.job import NO_RECEIPT, JobDocument, Receipt, RunStatus
from postscan.core.model.states import FilterReason, FilterVerb
from postscan.core.workers.protocol import FilterCancelled, FilterDone, OrderBroken, OrderFailed
from postscan.core.workers.slot import Limits, RunEnd, RunEndKind

_KNOWN: Final = frozenset(reason.value for reason in FilterReason)
_OWN = re.compile(r"\w+:[\w.-]{1,200}", re.ASCII)
_DETAIL: Final = 2000
_REASONS: Final = 8


@dataclass(frozen=True, slots=True)
class FilterOutcome:
    """How a filter ended, and how far it had come.

    `again` says that its worker crashed, so another attempt may help. `documents` is what the filter made of them,
    `traceback` that of an error that it should not raise.
    """

    verb: FilterVerb
    reasons: tuple[str, ...] = ()
    detail: str = ""
    progress: str = ""
    again: bool = False
    receipt: Receipt = NO_RECEIPT
    documents: tuple[JobDocument, ...] | None = None
    traceback: str = ""


def outcome_of(end: RunEnd, limits: Limits, excess: str = "") -> FilterOutcome:
    """Return the outcome of one run: by the result of its worker, or by how it ended without one.

    *excess* says that it was stopped because of the room that it took on the disk; empty if it was not.
    """
    verb, status, reasons, detail = _by_result(end, limits, excess)
    return FilterOutcome(
        verb=verb,
        reasons=reasons,
        detail=detail[:_DETAIL],
        again=status is RunStatus.DIED and end.exit_code != -signal.SIGXCPU,
        receipt=Receipt(status, end.checks.number, end.checks.longest, end.stopped_after),
        traceback=end.result.traceback if isinstance(end.result, OrderBroken) else "",
    )


_Parts = tuple[FilterVerb, RunStatus, tuple[str, ...], str]


def _by_result(end: RunEnd, limits: Limits, excess: str) -> _Parts:
    if isinstance(end.result, FilterDone):
        warnings = " ".join(end.result.warnings)
        return FilterVerb.WARN if warnings else FilterVerb.SUCCEED, RunStatus.COMPLETED, (), warnings
    status = RunStatus.KILLED if end.result is None else RunStatus.STOPPED
    if excess:
        return FilterVerb.FAIL, status, (FilterReason.OUT_OF_DISK_SPACE,), f"{excess}; it was stopped"
    if end.late:
        return _failed(status, f"it ran longer than {limits.seconds:g} s and was stopped")
    match end.result:
        case None:
            return _without_result(end, limits)
        case FilterCancelled():
            return FilterVerb.CANCEL, RunStatus.STOPPED, (), "it stopped after the cancel"
        case OrderFailed(reasons=reasons, error=error):
            return FilterVerb.FAIL, RunStatus.FAILED, tuple(_reason(one) for one in reasons[:_REASONS]), error
        case OrderBroken(error=error):
            return _failed(RunStatus.FAILED, error)
        case _:
            return _failed(RunStatus.FAILED, f"its worker sent the result of another order: {end.result.type}")


def _without_result(end: RunEnd, limits: Limits) -> _Parts:
    if end.kind is RunEndKind.STOPPED:
        checks = end.checks.number
        checked = f"it checked its token {checks} times" if checks else "it never checked its token"
        return FilterVerb.CANCEL, RunStatus.KILLED, (), f"it was killed: {checked}"
    if end.kind is RunEndKind.INVALID:
        return _failed(RunStatus.KILLED, f"it was killed: {end.why}")
    return _failed(RunStatus.DIED, _crash(end.exit_code, limits))


def _failed(status: RunStatus, detail: str) -> _Parts:
    return FilterVerb.FAIL, status, (FilterReason.UNKNOWN_ERROR,), detail


def _reason(reason: str) -> str:
    """Return a reason of the protocol, or one of a filter's own in the form `prefix:name`; else UnknownError."""
    return reason if reason in _KNOWN or _OWN.fullmatch(reason) else FilterReason.UNKNOWN_ERROR


def _crash(exit_code: int | None, limits: Limits) -> str:
    if exit_code is None:
        return "its process and its supervisor were killed"
    if exit_code == -signal.SIGXCPU:
        return f"it used more than {limits.resources.processor:g} s of processor time and was ended"
    if exit_code < 0:
        known = -exit_code in {number.value for number in signal.Signals}
        return f"its process was ended by {signal.Signals(-exit_code).name if known else f'signal {-exit_code}'}"
    return f"its process ended by itself with exit code {exit_code}"
