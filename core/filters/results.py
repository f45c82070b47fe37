"""How a filter run ends: with a result, with `FilterFailed`, or with an error of the system."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from postscan.core.model.states import FilterReason

_REASONS: Final = MappingProxyType(
    {
        errno.ENOMEM: FilterReason.SERVER_OUT_OF_MEMORY,
        errno.ENOSPC: FilterReason.OUT_OF_DISK_SPACE,
        errno.EDQUOT: FilterReason.OUT_OF_DISK_SPACE,
        errno.EFBIG: FilterReason.OUT_OF_DISK_SPACE,
    }
)


def reason_of(error: BaseException) -> FilterReason:
    """Return the reason of the protocol for an error of this machine; UnknownError if it has none."""
    if isinstance(error, MemoryError):
        return FilterReason.SERVER_OUT_OF_MEMORY
    if isinstance(error, OSError):
        return _REASONS.get(error.errno or 0, FilterReason.UNKNOWN_ERROR)
    return FilterReason.UNKNOWN_ERROR


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
