"""Attempts with passwords: how many may be wrong, and which clients were right before.

Wrong passwords are counted for each client and account, for each client, and in all (decisions 41 and 73). Where a
client or all have sent too many, clients are still heard whose password for the account was right before: else an
attacker with many addresses would lock out all devices. A password that was right a moment ago is not compared by
argon2 again: clients of HTTP send it with each request. What is counted and remembered is lost when the process ends.
Source: T-O10, T-O11.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from postscan.core.clock import Clock
from postscan.core.errors import Throttled
from postscan.core.model.accounts.account import CONSOLE
from postscan.core.model.rate_limit import RateLimit
from postscan.core.settings.engine import LimitSettings

WINDOW: Final = 60.0  # seconds
ACCOUNTS: Final = 2
"""For how many accounts a client may send as many wrong passwords as for one."""
FRESH_SECONDS: Final = 60.0
"""How long a password that was right is not compared again."""
MOST_RIGHT: Final = 10_000
"""Pairs of a client and an account that are remembered as right."""

_SHARED_BITS: Final = 64  # of an IPv6 address: one client has all addresses of such a network
_LONGEST: Final = 64  # characters of an address that is none


@dataclass(frozen=True, slots=True)
class Attempt:
    """Who tries which account: an inlet, the client's address ("" if there is none), and the account's name."""

    inlet: str
    address: str
    account: str

    @property
    def client(self) -> str:
        """What the attempts of one client have in common."""
        return repr((self.inlet, _client(self.address)))

    @property
    def key(self) -> str:
        """What the attempts of one client with one account have in common."""
        return repr((self.inlet, _client(self.address), self.account))

    @property
    def caller(self) -> str:
        """The caller in errors and in the audit trail."""
        kind = CONSOLE if self.inlet == CONSOLE else f"source:{self.inlet}"
        return f"{kind}:{_plain(self.address)}".removesuffix(":")


@dataclass(frozen=True, slots=True)
class _Right:
    """A password that was right at a tick, as a keyed digest."""

    digest: bytes
    ticks: float


class Attempts:
    """The attempts of all clients; usable from several threads."""

    def __init__(self, limits: LimitSettings, clock: Clock) -> None:
        self._clock = clock
        self._with_account = RateLimit(limits.wrong_passwords, WINDOW, clock.ticks)
        self._of_client = RateLimit(ACCOUNTS * limits.wrong_passwords, WINDOW, clock.ticks)
        self._of_all = RateLimit(limits.all_wrong_passwords, WINDOW, clock.ticks)
        self._lock = threading.Lock()
        # In both, the one that was right last comes last.
        self._right: OrderedDict[str, None] = OrderedDict()
        self._fresh: OrderedDict[str, _Right] = OrderedDict()
        self._key = secrets.token_bytes(32)

    def check(self, attempt: Attempt) -> None:
        """Raise `Throttled` if this client, or all together, have sent too many wrong passwords."""
        wait = self._with_account.wait(attempt.key)
        if not self.was_right(attempt):
            wait = max(wait, self._of_client.wait(attempt.client), self._of_all.wait(""))
        if wait:
            raise Throttled(attempt.caller, wait, "wrong passwords")

    def wrong(self, attempt: Attempt) -> None:
        """Count a wrong password."""
        self._with_account.take(attempt.key)
        self._of_client.take(attempt.client)
        self._of_all.take("")

    def right(self, attempt: Attempt, password: str, hash: str) -> None:
        """Remember that this client knows the password of this hash."""
        right = _Right(self._digest(password, hash), self._clock.ticks())
        with self._lock:
            for remembered in (self._right, self._fresh):
                remembered.pop(attempt.key, None)
            self._right[attempt.key] = None
            self._fresh[attempt.key] = right
            if len(self._right) > MOST_RIGHT:
                self._fresh.pop(self._right.popitem(last=False)[0], None)
            self._drop_stale()

    def was_right(self, attempt: Attempt) -> bool:
        """Return whether this client has sent the password of this account before."""
        with self._lock:
            return attempt.key in self._right

    def is_fresh(self, attempt: Attempt, password: str, hash: str) -> bool:
        """Return whether this client has sent this password a moment ago, and it was that of this hash."""
        with self._lock:
            self._drop_stale()
            right = self._fresh.get(attempt.key)
        return right is not None and secrets.compare_digest(right.digest, self._digest(password, hash))

    def _drop_stale(self) -> None:
        """Drop the digests of passwords that were right too long ago."""
        while self._fresh and next(iter(self._fresh.values())).ticks + FRESH_SECONDS <= self._clock.ticks():
            self._fresh.popitem(last=False)

    def _digest(self, password: str, hash: str) -> bytes:
        """Return a digest that only this process can compute; it changes with the stored hash."""
        text = "\0".join((hash, password)).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key).digest()


def _client(address: str) -> str:
    """Return what the addresses of one client have in common: an IPv4 address, or the network of an IPv6 one."""
    plain = _plain(address)
    try:
        found = ipaddress.ip_address(plain)
    except ValueError:
        return plain
    return plain if found.version == 4 else str(ipaddress.ip_network((found, _SHARED_BITS), strict=False))


def _plain(address: str) -> str:
    """Return an address without its zone, as IPv4 if it is mapped to IPv6; another text is cut."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:_LONGEST]
    return str(getattr(found, "ipv4_mapped", None) or found)
