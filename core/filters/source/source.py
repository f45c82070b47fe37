"""The contract of a source.

A source runs in a process of its own, one for each inlet, which leads a process group and is long-lived. It may use as
many threads or tasks as it likes. Its process has a socket to the server, no database, and two private folders.

What a source may assume:

* `settings` has been validated by its dataclass; at most one process of its inlet runs at a time;
* what it does not acknowledge comes again, and what was stored is then `Taken`.

What must hold:

* nothing is removed or acknowledged at the origin before the block of its job was left;
* one origin has one key, also after a crash: the key is made of what the origin itself says, never of a clock;
* a half never becomes a job: an origin that breaks off leaves the block by an exception;
* it says who was proven and how, and never decides whose job it is;
* `Busy` is passed on to the origin, and nothing waits in memory;
* a cancel is told to the origin where that is possible, and waits for nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from postscan.core.filters.cancellation import CancellationToken
from postscan.core.filters.source.context import SourceContext
from postscan.core.filters.source.messages import ProofKind

SOURCE_API = 1
"""The version of this contract. A source that declares another one is not loaded."""


class Source(ABC):
    """Base class of all sources.

    `title` is shown to people. `proofs` are the ways in which it can prove who asks: `device`, `clear`, `password`,
    `certificate`, `local`; one that is used and not declared ends the process. `grace` is the number of seconds that
    `run` may take to return after the stop; the server caps it. With `once`, `run` may return before.

    `Settings`, if given, is a dataclass that takes the table `[sources.<name>]`, without the server's own keys, as
    keyword arguments; it may raise `ValueError` for an invalid value.

    All methods are called in the processes of sources, never in the server.
    """

    title: ClassVar[str]
    api: ClassVar[int] = SOURCE_API
    proofs: ClassVar[tuple[ProofKind, ...]]
    grace: ClassVar[float] = 5.0
    once: ClassVar[bool] = False
    Settings: ClassVar[type | None] = None

    def requires(self) -> Iterable[str]:
        """Return one sentence for each thing that this machine lacks; nothing if the source can work here."""
        return ()

    def diagnose(self, inlet: SourceContext) -> Iterable[str]:
        """Return one sentence for each thing that would keep origins from coming.

        Called for `postscan doctor`, for at most 10 s, beside the running source: connect and log in, and take nothing.
        Every call to the server raises `Busy`.
        """
        return ()

    def pull(self, inlet: SourceContext, destination: str) -> None:
        """Fetch a scan for this destination, an id or "", because an administrator asks for it.

        Called in a thread beside `run`, one after another; only a source that overrides it is asked.
        """
        raise NotImplementedError

    @abstractmethod
    def run(self, inlet: SourceContext, token: CancellationToken) -> None:
        """Bring jobs until the token is set. To return earlier is a failure, unless `once` is true."""
