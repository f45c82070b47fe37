"""Which discovery questions get an answer, and which answer: matching, and limits against abuse.

The source address of a datagram may be forged. So an answer by UDP is at most 3.2 times as large as its question,
answers are limited for each source and in all, only local sources get any, and a repeated message gets none.
Source: dpws.md section 6; T-D1 to T-D4; D24 and ruling 22.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from postscan.core.model.rate_limit import RateLimit
from postscan.core.settings import Settings
from postscan.soap.discovery import messages as discovery_messages
from postscan.soap.discovery.app_sequence import AppSequence
from postscan.soap.discovery.messages import Discoverable, Probe, Resolve
from postscan.soap.message.faults import Fault
from postscan.soap.metadata import messages as metadata_messages
from postscan.soap.metadata.endpoint_id import endpoint_id

log = logging.getLogger(__name__)

LARGEST: Final = 4096
"""Upper bound of a datagram that is parsed, in bytes."""

GROWTH: Final = 3.2
"""Upper bound of an answer by UDP, in bytes for each byte of its question."""

PER_SOURCE: Final = 10
IN_ALL: Final = 100
"""Upper bounds of the answers by UDP in a second: to one source, and to all of them."""

REMEMBERED: Final = 4096
REMEMBER_SECONDS: Final = 60.0
"""Upper bound of the answered messages that are remembered, and for how long."""


@dataclass(frozen=True, slots=True)
class ReceivedDatagram:
    """The address that a datagram came from, and our address at which it arrived, both without a zone.

    `multicast`: it was sent to the group. `lenient`: types that the settings do not name may match as well.
    """

    source: str
    local: str
    multicast: bool = False
    lenient: bool = False


class Advertisement:
    """The server as devices find it: the messages about one target. *xaddr* returns its URL from our local address."""

    def __init__(self, target: Discoverable, sequence: AppSequence, xaddr: Callable[[str], str]) -> None:
        self._target = target
        self._sequence = sequence
        self._xaddr = xaddr

    def response_to(
        self, question: Probe | Resolve, local: str, *, lenient: bool = False, room: float = float("inf")
    ) -> bytes | None:
        """Return the answer to a question that arrived at the address *local*; None if it is about another target.

        If the answer exceeds *room* bytes, scopes and types that were not asked for are left out; if it still does,
        the result is None. Raises `Fault` for a matching rule that is not supported.
        """
        if isinstance(question, Probe):
            discovery_messages.check_rule(question)
        types = self._types(question, lenient)
        if types is None:
            return None
        asked = question.types if isinstance(question, Probe) else ()
        needed = tuple(dict.fromkeys((discovery_messages.DEVICE, *asked)))
        for target, listed in ((self._target, types), (replace(self._target, scopes=()), needed)):
            data = self._write(question, target, listed, local)
            if len(data) <= room:
                return data
        log.info("answer too large for its question", extra={"bytes": len(data)})
        return None

    def begin(self, instance: int) -> None:
        """Begin another run: the numbers of messages and of the metadata are those of the run."""
        self._sequence.begin(instance)
        self._target = replace(self._target, version=instance)

    def hello(self) -> bytes:
        """Return the Hello of this server."""
        return discovery_messages.hello(self._target, self._sequence.next())

    def bye(self) -> bytes:
        """Return the Bye of this server."""
        return discovery_messages.bye(self._target, self._sequence.next())

    def _types(self, question: Probe | Resolve, lenient: bool) -> tuple[str, ...] | None:
        if isinstance(question, Resolve):
            return self._target.types if discovery_messages.is_meant(question, self._target) else None
        types = discovery_messages.types_for(question, self._target, lenient=lenient)
        if types is not None and len(types) > len(self._target.types):
            log.info("unknown types matched", extra={"types": " ".join(types[len(self._target.types) :])})
        return types

    def _write(self, question: Probe | Resolve, target: Discoverable, types: tuple[str, ...], local: str) -> bytes:
        xaddr, stamp = self._xaddr(local), self._sequence.next()
        if isinstance(question, Probe):
            return discovery_messages.probe_matches(question, target, types, xaddr, stamp)
        return discovery_messages.resolve_matches(question, target, types, xaddr, stamp)


def advertisement(settings: Settings, port: int, sequence: AppSequence) -> Advertisement:
    """Return the advertisement of the server with these settings, which serves HTTP on *port*.

    Its address is the public URL of the settings, or the local address at which the question arrived.
    """
    server, name = settings.server, endpoint_id(settings.storage.data_dir)
    scheme = "https" if settings.tls.on else "http"

    def site(local: str) -> metadata_messages.ServerAddress:
        return metadata_messages.site(
            server.public_url or metadata_messages.origin(scheme, local, port), settings, name
        )

    # Under TLS the settings demand a public URL, so the endpoint does not depend on the local address.
    target = Discoverable(
        endpoint=site("localhost").endpoint,
        types=(*metadata_messages.DEVICE_TYPES, *settings.device.types),
        scopes=settings.discovery.scopes,
        version=sequence.instance,  # metadata comes from the settings: it changes only with a restart
    )
    return Advertisement(target, sequence, lambda local: site(local).device)


class Responder:
    """Answers datagrams.

    *is_local* returns whether sources of this address get answers; *ticks* returns monotonic seconds.
    """

    def __init__(
        self, advertisement: Advertisement, is_local: Callable[[str], bool], ticks: Callable[[], float]
    ) -> None:
        self._advertisement = advertisement
        self._is_local = is_local
        self._in_all = RateLimit(IN_ALL, 1.0, ticks)
        self._per_source = RateLimit(PER_SOURCE, 1.0, ticks)
        self._duplicates = DuplicateFilter(ticks)

    def response_to(self, data: bytes, arrival: ReceivedDatagram) -> bytes | None:
        """Return the answer to a datagram; None for one that gets no answer."""
        if not 0 < len(data) <= LARGEST or not self._is_local(arrival.source):
            return None
        if self._in_all.wait("") or self._per_source.wait(arrival.source):
            return None  # before the datagram is parsed, so that a flood costs little
        try:
            question = discovery_messages.read(data)
        except Fault as fault:
            log.debug("datagram ignored", extra={"source": arrival.source, "fault": str(fault)})
            return None
        if self._duplicates.contains(arrival.source, question.message_id):
            return None
        lenient = arrival.lenient and not arrival.multicast
        try:
            found = self._advertisement.response_to(question, arrival.local, lenient=lenient, room=GROWTH * len(data))
        except Fault:
            return None  # a fault by UDP could be sent to a forged source (ruling 22)
        if found is not None:
            self._duplicates.remember(arrival.source, question.message_id)
            self._in_all.take("")
            self._per_source.take(arrival.source)
        return found


class DuplicateFilter:
    """The messages that were answered lately: clients send a datagram two to four times (W-11)."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        self._ticks = ticks
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def contains(self, source: str, message_id: str) -> bool:
        """Return whether this message of this source was answered in the last `REMEMBER_SECONDS`."""
        return self._until.get(_key(source, message_id), 0.0) > self._ticks()

    def remember(self, source: str, message_id: str) -> None:
        """Add an answered message; of more than `REMEMBERED`, drop the oldest."""
        key = _key(source, message_id)
        self._until[key] = self._ticks() + REMEMBER_SECONDS
        self._until.move_to_end(key)
        if len(self._until) > REMEMBERED:
            self._until.popitem(last=False)


def _key(source: str, message_id: str) -> bytes:
    """Return 16 bytes for a message, whose id may have thousands."""
    return hashlib.blake2b(f"{source} {message_id}".encode(), digest_size=16).digest()
