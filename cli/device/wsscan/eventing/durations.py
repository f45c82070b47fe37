"""Durations of subscriptions: xs:duration without years and months. Source: dpws.md section 8.1."""

from __future__ import annotations

import re
from typing import Final

from postscan.cli.device.wsscan.protocol.soap import WsdFault

LONGEST: Final = 3600.0
"""Seconds that the scanner grants at most: one hour, as devices do (ws-scan.md section 4)."""

_DURATION: Final = re.compile(
    r"P(?:0+Y)?(?:0+M)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,8})M)?(?:(\d{1,10}(?:\.\d{1,9})?)S)?)?", re.ASCII
)


def granted_seconds(asked: str, longest: float = LONGEST) -> float:
    """Return the seconds that are granted for an Expires; raise `WsdFault` for one that is not positive."""
    if not asked:
        return longest
    found = _DURATION.fullmatch(asked)
    if found is None:
        raise WsdFault("wse:UnsupportedExpirationType", "Only expiration durations are supported.")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total <= 0:
        raise WsdFault("wse:InvalidExpirationTime", "The expiration time requested is invalid.")
    return min(total, longest)


def written_duration(seconds: float) -> str:
    """Return seconds as xs:duration, rounded down to tenths, at least a tenth."""
    tenths = max(1, int(seconds * 10))
    whole, part = divmod(tenths, 10)
    return f"PT{whole}.{part}S" if part else f"PT{whole}S"
