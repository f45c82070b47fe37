"""What the campaign of cancels promises and has seen."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

CANCELED_SECONDS: Final = 1.0
"""From the begin of a cancel to the job's end."""

TOLD_SECONDS: Final = 0.1
"""From the stored cancel to CancelJob at the device: the median."""

EACH_TOLD_SECONDS: Final = 0.5
"""The same of each cancel, on a machine that does other things as well."""


@dataclass
class CancelTotals:
    """Seconds by situation, ends of cancels at the panel, and a sentence for each broken promise."""

    canceled: dict[str, list[float]] = field(default_factory=dict)
    told: dict[str, list[float]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
