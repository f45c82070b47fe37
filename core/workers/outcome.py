"""What the end of a filter's run means for the filter's state, and what its receipt says."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Any, Final

from postscan.core.model.job import NO_RECEIPT, JobDocument, Receipt, RunStatus
from postscan.core.model.states import FilterReason, FilterVerb
from postscan.core.workers.slot import Limits, RunEnd, RunEndKind

_KNOWN: Final = frozenset(reason.value for reason in FilterReason)
_OWN = re.compile(r"\w+:[\w.-]{1,200}", re.ASCII)
_DETAIL: Final = 2000
_REASONS: Final = 8


@dataclass(frozen=True, slots=True)
class FilterOutcome:
    """How a filter ended, and how far it had come.

    `again` says that its worker died without a word, so another try may help. `documents` is what it made of them.
    """

    verb: FilterVerb
    reasons: tuple[str, ...] = ()
    detail: str = ""
    progress: str = ""
    again: bool = False
    receipt: Receipt = NO_RECEIPT
    documents: tuple[JobDocument, ...] | None = None


def outcome_of(ended: RunEnd, limits: Limits) -> FilterOutcome:
    """Judge one run by what the worker said, or by how it went."""
    verb, how, reasons, detail = _outcome_of_report(ended, limits)
    return FilterOutcome(
        verb=verb,
        reasons=reasons,
        detail=detail[:_DETAIL],
        again=how is RunStatus.DIED and ended.exit_code != -signal.SIGXCPU,
        receipt=Receipt(how, ended.checks.number, ended.checks.longest, ended.stopped_after),
    )


_Judged = tuple[FilterVerb, RunStatus, tuple[str, ...], str]


def _outcome_of_report(ended: RunEnd, limits: Limits) -> _Judged:
    said = ended.message.get("end")
    if said == "done":
        warnings = " ".join(_texts(ended.message.get("warnings")))
        return FilterVerb.WARN if warnings else FilterVerb.SUCCEED, RunStatus.COMPLETED, (), warnings
    if ended.late:
        how = RunStatus.KILLED if said is None else RunStatus.STOPPED
        return _failed(how, f"it ran longer than {limits.seconds:g} s and was stopped")
    if said == "cancelled":
        return FilterVerb.CANCEL, RunStatus.STOPPED, (), "it stopped when it was asked to"
    if said == "failed":
        reasons = tuple(_reason(reason) for reason in _texts(ended.message.get("reasons"))[:_REASONS])
        return FilterVerb.FAIL, RunStatus.FAILED, reasons, str(ended.message.get("detail", ""))
    if said is not None:
        return _failed(RunStatus.FAILED, str(ended.message.get("error", "it said nothing that makes sense")))
    if ended.how is RunEndKind.STOPPED:
        looked = ended.checks.number
        looks = f"it looked at its token {looked} times" if looked else "it never looked at its token"
        return FilterVerb.CANCEL, RunStatus.KILLED, (), f"it was killed: {looks}"
    if ended.how is RunEndKind.UNRULY:
        return _failed(RunStatus.KILLED, f"it was killed: {ended.why}")
    return _failed(RunStatus.DIED, _death(ended.exit_code, limits))


def _failed(how: RunStatus, detail: str) -> _Judged:
    return FilterVerb.FAIL, how, (FilterReason.UNKNOWN_ERROR,), detail


def _texts(value: Any) -> list[str]:
    """Return a list of texts as texts, and nothing for what is no list: it comes from a stranger."""
    return [str(one) for one in value] if isinstance(value, list) else []


def _reason(reason: str) -> str:
    """Let through what the protocol knows, and the form it has for reasons of one's own."""
    return reason if reason in _KNOWN or _OWN.fullmatch(reason) else FilterReason.UNKNOWN_ERROR


def _death(exit_code: int | None, limits: Limits) -> str:
    if exit_code is None:
        return "its process and its keeper were killed"
    if exit_code == -signal.SIGXCPU:
        return f"it used more than {limits.resources.processor:g} s of processor time and was ended"
    if exit_code < 0:
        known = -exit_code in {number.value for number in signal.Signals}
        return f"its process was ended by {signal.Signals(-exit_code).name if known else f'signal {-exit_code}'}"
    return f"its process ended by itself with exit code {exit_code}"
