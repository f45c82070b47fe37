"""What the end of a filter's run means for the filter's state."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import Final

from postscan.core.cancellation import Checks
from postscan.core.states import FilterReason, FilterVerb
from postscan.core.worker import Ended, How, Limits

_KNOWN: Final = frozenset(reason.value for reason in FilterReason)
_OWN = re.compile(r"\w+:[\w.-]{1,200}", re.ASCII)
_DETAIL: Final = 2000


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a filter ended, and how far it had come.

    `again` says that its worker died without a word, so another try may help.
    """

    verb: FilterVerb
    reasons: tuple[str, ...] = ()
    detail: str = ""
    progress: str = ""
    again: bool = False


def verdict(ended: Ended, checks: Checks, limits: Limits) -> Verdict:
    """Judge one run by what the child said, or by how it went."""
    said = ended.message.get("end")
    if said == "done":
        warnings = " ".join(str(warning) for warning in ended.message.get("warnings", ()))
        return Verdict(FilterVerb.WARN if warnings else FilterVerb.SUCCEED, detail=warnings[:_DETAIL])
    if ended.late:
        return _failed(f"it ran longer than {limits.seconds:g} s and was stopped")
    if said == "cancelled":
        return Verdict(FilterVerb.CANCEL, detail="it stopped when it was asked to")
    if said == "failed":
        reasons = tuple(_reason(reason) for reason in ended.message.get("reasons", ()))
        return Verdict(FilterVerb.FAIL, reasons, str(ended.message.get("detail", ""))[:_DETAIL])
    if said is not None:
        return _failed(str(ended.message.get("error", "it said nothing that makes sense")))
    if ended.how is How.STOPPED:
        looks = f"it looked at its token {checks.number} times" if checks.number else "it never looked at its token"
        return Verdict(FilterVerb.CANCEL, detail=f"it was killed: {looks}")
    return Verdict(FilterVerb.FAIL, (FilterReason.UNKNOWN_ERROR,), _death(ended.exit_code), again=True)


def _failed(detail: str) -> Verdict:
    return Verdict(FilterVerb.FAIL, (FilterReason.UNKNOWN_ERROR,), detail[:_DETAIL])


def _reason(reason: str) -> str:
    """Let through what the protocol knows, and the form it has for reasons of one's own."""
    return reason if reason in _KNOWN or _OWN.fullmatch(reason) else FilterReason.UNKNOWN_ERROR


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"its process was ended by {signal.Signals(-exit_code).name}"
    return f"its process ended by itself with exit code {exit_code}"
