"""Read and write xs:duration and xs:dateTime, the two forms of an expiration.

A year counts as 365 days and a month as 30; a dateTime without a zone is in UTC. Written by hand: see decision 42.
Source: dpws.md section 8.1; XML Schema part 2, sections 3.2.6 and 3.2.7.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_DURATION: Final = re.compile(
    r"(?P<minus>-)?P(?=.)(?:(?P<Y>[0-9]+)Y)?(?:(?P<M>[0-9]+)M)?(?:(?P<D>[0-9]+)D)?"
    r"(?:T(?=.)(?:(?P<h>[0-9]+)H)?(?:(?P<m>[0-9]+)M)?(?:(?P<s>[0-9]+)(?:\.(?P<fraction>[0-9]+))?S)?)?"
)
_MOMENT: Final = re.compile(
    r"(?P<second>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?P<fraction>\.[0-9]+)?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?"
)
_SECONDS: Final = {"Y": 365 * 86_400, "M": 30 * 86_400, "D": 86_400, "h": 3600, "m": 60, "s": 1}
_LONGEST: Final = 255


@dataclass(frozen=True, slots=True)
class Expiry:
    """A requested expiration: after `seconds`, or at `moment` if that is not None."""

    text: str
    seconds: float = 0.0
    moment: datetime | None = None

    @property
    def absolute(self) -> bool:
        """Whether the request names a moment."""
        return self.moment is not None

    def lasts(self, now: datetime) -> float:
        """Return the seconds from *now* until the expiration; at most 0 if it is past."""
        return self.seconds if self.moment is None else (self.moment - now).total_seconds()


def read(text: str) -> Expiry:
    """Return the expiration in *text*, an xs:duration or xs:dateTime; raise `ValueError` if it is neither."""
    if len(text) <= _LONGEST:
        if (duration := _DURATION.fullmatch(text)) is not None:
            return Expiry(text, seconds=_seconds(duration))
        if (moment := _MOMENT.fullmatch(text)) is not None:
            return Expiry(text, moment=_moment(moment))
    raise ValueError(f"{text[:64]!r} is neither a duration nor a date and time")


def write(seconds: float) -> str:
    """Return *seconds* as an xs:duration of days, hours, minutes and whole seconds, rounded up."""
    left = max(0, math.ceil(seconds))
    fields = []
    for unit, name in ((86_400, "D"), (3600, "H"), (60, "M"), (1, "S")):
        count, left = divmod(left, unit)
        fields.append(f"{count}{name}" if count else "")
    days, time = fields[0], "".join(fields[1:])
    return f"P{days}T{time}" if time else f"P{days or 'T0S'}"


def write_moment(now: datetime, seconds: float) -> str:
    """Return the moment *seconds* after *now*, rounded up to whole seconds, as an xs:dateTime in UTC."""
    moment = now.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=math.ceil(seconds))
    return moment.isoformat().replace("+00:00", "Z")


def _seconds(found: re.Match[str]) -> float:
    whole = sum(int(found[name] or 0) * seconds for name, seconds in _SECONDS.items())
    value = whole + float(f"0.{found['fraction'] or 0}")
    return -value if found["minus"] else value


def _moment(found: re.Match[str]) -> datetime:
    """Return a moment in UTC; raise `ValueError` for a month, day, hour or zone that does not exist."""
    fraction = (found["fraction"] or ".0")[:7].ljust(7, "0")
    moment = datetime.fromisoformat(f"{found['second']}{fraction}{(found['zone'] or 'Z').replace('Z', '+00:00')}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{found[0]!r} is before year 1 or after year 9999") from None
