"""Which questions are answered, and with what: the host that is looked for, and its reserve towards strangers.

The sender's address of a datagram proves nothing. So an answer is never much larger than its question, each source
gets few of them, strangers from other networks get none, and a message that came before is not answered again.
Source: dpws.md section 6; T-D1 to T-D4; D24 and ruling 22.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from postscan.core.settings import Settings
from postscan.soap.discovery import messages as discovery_messages
from postscan.soap.discovery.app_sequence import AppSequence
from postscan.soap.discovery.messages import Discoverable, Probe, Resolve
from postscan.soap.message.faults import Fault
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata.endpoint_id import endpoint_id

log = logging.getLogger(__name__)

LARGEST: Final = 4096
"""Bytes of the largest datagram that is looked into."""

GROWTH: Final = 3.2
"""Most bytes of an answer for each byte of its question."""

PER_SOURCE: Final = 10
IN_ALL: Final = 100
"""Answers in a second."""

REMEMBERED: Final = 4096
REMEMBER_SECONDS: Final = 60.0
"""Messages that are known again, and for how long."""


@dataclass(frozen=True, slots=True)
class ReceivedDatagram:
    """How a datagram came: from whom, at which address of ours, to everybody or to us; whether guesses may match."""

    source: str
    local: str
    multicast: bool = False
    lenient: bool = False


class Advertisement:
    """What devices find: one target, the address that they are told, and the messages about it."""

    def __init__(self, target: Discoverable, sequence: AppSequence, xaddr: Callable[[str], str]) -> None:
        self._target = target
        self._sequence = sequence
        self._xaddr = xaddr

    def response_to(
        self, question: Probe | Resolve, local: str, *, lenient: bool = False, room: float = float("inf")
    ) -> bytes | None:
        """Return the answer to a question that came to the address *local*; None if it is for somebody else.

        If there is not *room* for all that could be told (bytes), what was not asked for is left out; if that does
        not help, there is no answer. Raises `Fault` if nobody here knows how the question wants to be matched.
        """
        if isinstance(question, Probe):
            discovery_messages.check_rule(question)
        types = self._types(question, lenient)
        if types is None:
            return None
        asked = question.types if isinstance(question, Probe) else ()
        needed = tuple(dict.fromkeys((discovery_messages.DEVICE, *asked)))
        for target, told in ((self._target, types), (replace(self._target, scopes=()), needed)):
            data = self._write(question, target, told, local)
            if len(data) <= room:
                return data
        log.info("not answered: the answer would be too large for a question by UDP")
        return None

    def hello(self) -> bytes:
        """Return the message that this server has come."""
        return discovery_messages.hello(self._target, self._sequence.next())

    def bye(self) -> bytes:
        """Return the message that this server is going."""
        return discovery_messages.bye(self._target, self._sequence.next())

    def _types(self, question: Probe | Resolve, lenient: bool) -> tuple[str, ...] | None:
        if isinstance(question, Resolve):
            return self._target.types if discovery_messages.is_meant(question, self._target) else None
        types = discovery_messages.types_for(question, self._target, lenient=lenient)
        if types is not None and len(types) > len(self._target.types):
            log.info("a device looks for types that nobody has told us: %s", " ".join(types[len(self._target.types) :]))
        return types

    def _write(self, question: Probe | Resolve, target: Discoverable, types: tuple[str, ...], local: str) -> bytes:
        xaddr, stamp = self._xaddr(local), self._sequence.next()
        if isinstance(question, Probe):
            return discovery_messages.probe_matches(question, target, types, xaddr, stamp)
        return discovery_messages.resolve_matches(question, target, types, xaddr, stamp)


def advertisement(settings: Settings, port: int, sequence: AppSequence) -> Advertisement:
    """Return what devices find of the server with these settings, which answers HTTP at *port*.

    No address comes from a question: it is the one of the settings, or that at which the question arrived.
    """
    server, name = settings.server, endpoint_id(settings.storage.data_dir)
    scheme = "https" if settings.tls.on else "http"

    def site(local: str) -> metadata_messages.ServerAddress:
        return metadata_messages.site(
            server.public_url or metadata_messages.origin(scheme, local, port), settings, name
        )

    # The settings see to it that discovery under TLS has a public URL, so that the endpoint is the same everywhere.
    target = Discoverable(
        endpoint=site("localhost").endpoint,
        types=(*metadata_messages.DEVICE_TYPES, *settings.device.types),
        scopes=settings.discovery.scopes,
        version=sequence.instance,  # metadata comes from the settings, and changes only with a restart
    )
    return Advertisement(target, sequence, lambda local: site(local).device)


class Responder:
    """Answers datagrams, or keeps silent.

    `is_near` tells whether the network of a source is one whose questions are answered; `ticks` are steady seconds.
    """

    def __init__(self, host: Advertisement, is_near: Callable[[str], bool], ticks: Callable[[], float]) -> None:
        self._advertisement = host
        self._is_near = is_near
        self._rate = RateLimit(ticks)
        self._duplicates = DuplicateFilter(ticks)

    def response_to(self, data: bytes, arrival: ReceivedDatagram) -> bytes | None:
        """Return the answer to a datagram; None for whatever deserves none."""
        if not 0 < len(data) <= LARGEST or not self._is_near(arrival.source):
            return None
        if self._rate.is_spent(arrival.source):
            return None  # before the datagram is parsed: silence should cost little
        try:
            question = discovery_messages.read(data)
        except Fault as fault:
            log.debug("a datagram from %s is no question: %s", arrival.source, fault)
            return None
        if self._duplicates.before(arrival.source, question.message_id):
            return None
        lenient = arrival.lenient and not arrival.multicast
        try:
            found = self._advertisement.response_to(question, arrival.local, lenient=lenient, room=GROWTH * len(data))
        except Fault:
            return None  # a fault by UDP would be one more answer that somebody else may get (ruling 22)
        if found is not None:
            self._duplicates.remember(arrival.source, question.message_id)
            self._rate.spend(arrival.source)
        return found


class RateLimit:
    """How many answers each source gets in a second, and all together. It remembers those of the last second only."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._given: deque[tuple[float, str]] = deque(maxlen=IN_ALL)

    def is_spent(self, source: str) -> bool:
        """Return whether nothing is left for this source at the moment."""
        now = self._ticks()
        while self._given and self._given[0][0] <= now - 1.0:
            self._given.popleft()
        return len(self._given) == IN_ALL or sum(one == source for _when, one in self._given) >= PER_SOURCE

    def spend(self, source: str) -> None:
        """Count an answer to this source."""
        self._given.append((self._ticks(), source))


class DuplicateFilter:
    """Messages that were answered: senders repeat a datagram two to four times (W-11)."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def before(self, source: str, message_id: str) -> bool:
        """Return whether this message of this source was answered not long ago."""
        return self._until.get(_key(source, message_id), 0.0) > self._ticks()

    def remember(self, source: str, message_id: str) -> None:
        """Keep this message in mind; when there are too many, the oldest is forgotten."""
        key = _key(source, message_id)
        self._until[key] = self._ticks() + REMEMBER_SECONDS
        self._until.move_to_end(key)
        if len(self._until) > REMEMBERED:
            self._until.popitem(last=False)


def _key(source: str, message_id: str) -> bytes:
    """Return a few bytes for a message whose own id may be long."""
    return hashlib.blake2b(f"{source} {message_id}".encode(), digest_size=16).digest()
