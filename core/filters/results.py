"""How a filter run ends: with a result, or with `FilterFailed`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postscan.core.model.states import FilterReason


class FilterFailed(Exception):
    """The filter could not do its work.

    `reason` is one of `FilterReason`, or one of the author's own written `prefix:name`; `detail` is a sentence for
    the administrator: what was wrong, and what was expected.
    """

    def __init__(self, reason: str = FilterReason.UNKNOWN_ERROR, detail: str = "", *more: str) -> None:
        super().__init__(detail or reason)
        self.reasons = (reason, *more)
        self.detail = detail

    @classmethod
    def of(cls, failures: Sequence[FilterFailed]) -> FilterFailed:
        """Return one failure for all: each reason once, the sentences one after another."""
        reason, *more = dict.fromkeys(reason for failure in failures for reason in failure.reasons)
        return cls(reason, "; ".join(failure.detail for failure in failures), *more)


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What a filter may return: it succeeded, with sentences for the administrator as warnings."""

    warnings: tuple[str, ...] = ()
