"""Requests as they come, and replies with how they are sent: in pieces, cut, slowly or never."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

NOT_CUT: Final = -1


@dataclass(frozen=True, slots=True)
class EsclRequest:
    """A request as it came. `gone` tells whether the client has closed its connection since."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    secure: bool
    on_loopback: bool
    arrived: float
    gone: Callable[[], bool]


@dataclass(slots=True)
class EsclReply:
    """An answer, and how it is sent.

    `stream` replaces `body`, and is sent in chunks. After `cut_at` bytes of the body the connection is closed, or, if
    `stalls`, left silent. `seconds` is how long a body takes. `interrupted` closes the connection in the middle;
    `sent` is called with whether the client was sent all of it.
    """

    status: int
    body: bytes = b""
    media_type: str = "text/xml"
    headers: tuple[tuple[str, str], ...] = ()
    stream: Iterable[bytes] | None = None
    chunked: bool = False
    cut_at: int = NOT_CUT
    stalls: bool = False
    seconds: float = 0.0
    delay: float = 0.0
    silent: bool = False
    """No answer at all, until the client closes."""
    interrupted: Callable[[], bool] = lambda: False
    if_interrupted: EsclReply | None = None
    """The answer if that happens during `delay`."""
    sent: Callable[[bool], None] = lambda _whole: None
