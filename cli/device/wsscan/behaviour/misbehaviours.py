"""What can go wrong with the simulated scanner on purpose: one table, and the state of what has happened yet.

A misbehaviour is written NAME, NAME=VALUE or NAME=VALUE:WHEN. Most happen once or a number of times; then the scanner
is well-behaved again. Source: ws-scan.md sections 4 to 10.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from postscan.core.errors import InvalidArgument


@dataclass(frozen=True)
class WsdMisbehaviour:
    """A row: what the value means and its default, and what the scanner does. `kind` is how the value is read."""

    kind: str
    default: str
    text: str


_MESSAGE: Final = "MESSAGE"
_PAGE: Final = "PAGE"
_COUNT: Final = "COUNT"
_SECONDS: Final = "SECONDS"

MISBEHAVIOURS: Final = {
    "late": WsdMisbehaviour(_SECONDS, "59", "sends the head of each image so many seconds late"),
    "slow": WsdMisbehaviour("BYTES", "100000", "sends so many bytes of an image in a second"),
    "never-answer": WsdMisbehaviour(_MESSAGE, "RetrieveImage", "never answers that operation"),
    "vanish": WsdMisbehaviour(_MESSAGE, "RetrieveImage:before", "loses its power at that message, once, and stays off"),
    "forget-subscriptions": WsdMisbehaviour(
        _MESSAGE, "RetrieveImage:before", "restarts at that message, once, and knows no subscription and no job"
    ),
    "half-image": WsdMisbehaviour(_PAGE, "1", "closes the connection in the middle of that page, once"),
    "no-boundary": WsdMisbehaviour(
        _PAGE, "1", "ends the response in the middle of that page as if it were whole, once"
    ),
    "repeat-page": WsdMisbehaviour(_PAGE, "2", "sends the page before it again instead of that page"),
    "foreign-image": WsdMisbehaviour(
        _PAGE, "2", "sends the response to another request instead of that page, with a page of another job"
    ),
    "jam": WsdMisbehaviour(_PAGE, "2", "jams at that page, once"),
    "wrong-token": WsdMisbehaviour(_COUNT, "1", "answers CreateScanJob with InvalidDestinationToken so many times"),
    "not-accepting": WsdMisbehaviour(_COUNT, "3", "calibrates, and answers CreateScanJob NotAcceptingJobs, as often"),
    "temporary-error": WsdMisbehaviour(_COUNT, "1", "answers CreateScanJob with ServerErrorTemporaryError as often"),
    "no-renew": WsdMisbehaviour("", "", "refuses each Renew"),
    "no-token-for-destination": WsdMisbehaviour(
        "LABEL", "", "gives that destination no token; without LABEL, none has"
    ),
    "dead-event": WsdMisbehaviour("", "", "sends no event when a destination is pressed"),
    "early-event": WsdMisbehaviour("", "", "presses the first destination before Subscribe is answered, once"),
    "double-event": WsdMisbehaviour("", "", "sends each ScanAvailableEvent twice"),
    "deny-cancel": WsdMisbehaviour("", "", "refuses CancelJob, and goes on"),
    "fault-200": WsdMisbehaviour("", "", "sends faults with HTTP status 200"),
    "html": WsdMisbehaviour(_MESSAGE, "CreateScanJob", "answers that operation with a page of HTML"),
    "dtd": WsdMisbehaviour(_MESSAGE, "CreateScanJob", "answers that operation with entities that grow"),
    "deep": WsdMisbehaviour(_MESSAGE, "CreateScanJob", "answers that operation with 100,000 nested elements"),
    "endless": WsdMisbehaviour(_MESSAGE, "CreateScanJob", "answers that operation with XML that does not end"),
    "foreign-service": WsdMisbehaviour(
        "URL", "http://198.51.100.1:5358/wsd/scan", "names a scan service on another host in its metadata"
    ),
}
"""Every misbehaviour. MESSAGE is an operation, Get, Subscribe, Renew, Probe or ScanAvailableEvent."""

MOMENTS: Final = ("before", "after")
"""When a power cut comes: before the message has an effect, or after its response was sent."""


class WsdMisbehaviours:
    """The misbehaviours of one scanner, from texts like `jam` or `jam=3`; raises `InvalidArgument`."""

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, str] = {}
        self._left: dict[str, int] = {}
        for one in given:
            self.add(one)

    def add(self, given: str) -> None:
        """Add one, or give it a new value."""
        name, equals, value = given.partition("=")
        row = MISBEHAVIOURS.get(name)
        if row is None:
            raise InvalidArgument("--misbehave", name, f"one of {', '.join(MISBEHAVIOURS)}")
        value = value if equals else row.default
        if row.kind in (_PAGE, _COUNT, _SECONDS, "BYTES"):
            _check_number(name, row.kind, value)
        with self._lock:
            self._values[name] = value
            self._left[name] = int(value) if row.kind == _COUNT else 1

    def remove(self, name: str) -> None:
        """Behave well in this respect from now on."""
        with self._lock:
            self._values.pop(name, None)

    def has(self, name: str) -> bool:
        """Return whether the scanner does this."""
        return name in self._values

    def value(self, name: str) -> str | None:
        """Return the value; None if the scanner does not do this."""
        return self._values.get(name)

    def number(self, name: str) -> float:
        """Return the value as a number, 0 if the scanner does not do this."""
        return float(self._values.get(name, "0"))

    def concerns(self, name: str, message: str) -> bool:
        """Return whether the scanner does this at that message."""
        return self._values.get(name) == message

    def page(self, name: str, number: int) -> bool:
        """Return whether the scanner does this to that page."""
        return self._values.get(name) == str(number)

    def use(self, name: str) -> bool:
        """Return whether the scanner does this once more, and count it."""
        with self._lock:
            if name not in self._values or self._left[name] <= 0:
                return False
            self._left[name] -= 1
            return True

    def strikes(self, name: str, message: str, moment: str) -> bool:
        """Return whether a power cut comes now, once."""
        wanted, _, when = self._values.get(name, "").partition(":")
        return wanted == message and (when or "before") == moment and self.use(name)


def _check_number(name: str, kind: str, value: str) -> None:
    try:
        good = 0 <= float(value) < 1e9 and (kind == _SECONDS or float(value).is_integer())
        good = good and (kind == _SECONDS or (value.isascii() and value.isdecimal()))
    except ValueError:
        good = False
    if not good or (kind != _COUNT and float(value) == 0):
        raise InvalidArgument("--misbehave", f"{name}={value}", f"a number as {kind}")
