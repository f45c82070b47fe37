"""Who sends a request: an account that proves itself by a password, or a device by its address.

`Authorization: Basic` has account and password. `Authorization: Bearer` has the same text as its token, in base64, for
devices that have a field for a token alone. A password over a connection without TLS is not even checked, unless the
settings of the inlet allow it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from postscan.plugins import SourceContext
from postscan.plugins.sources.web.body import HttpRefused

CHALLENGE: Final = {"www-authenticate": 'Basic realm="postscan", charset="UTF-8"'}
TRUSTED_SECONDS: Final = 15.0
"""Seconds for which a password that was right is not checked again, but for requests that make a job.

File managers send it with each of the ten requests around one file, and a check takes 64 MiB of memory.
"""

MOST_TRUSTED: Final = 500
CHECKS: Final = 4
"""Passwords that are checked at the same time."""

WAITING: Final = 32
WAITING_OF_ADDRESS: Final = 8
"""Most requests that wait for such a check, in all and of one address; further ones are answered with 503."""

LONGEST: Final = 1024
"""Most characters of account and password."""

PAGE_FIELD: Final = "x-postscan-page"
"""Field that our page sends with each request; pages of other origins cannot send it."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

ProofName = Literal["password", "clear", "device"]


class Caller(NamedTuple):
    """Who sent a request. `subject` is the account or the address; `key` is the same, and never equal for two kinds."""

    proof: ProofName
    subject: str
    account: str

    @property
    def key(self) -> str:
        """The name under which files, locks and jobs of this caller are kept."""
        return f"account:{self.account}" if self.account else f"device:{self.subject}"


class Access:
    """Finds out who sends a request to an inlet. *names* are those by which browsers reach its page.

    *ticks* returns monotonic seconds.
    """

    def __init__(self, inlet: SourceContext, names: Iterable[str], ticks: Callable[[], float]) -> None:
        self._inlet = inlet
        self._names = frozenset(name.lower() for name in names)
        self._ticks = ticks
        self._salt = secrets.token_bytes(32)
        self._trusted: dict[bytes, float] = {}
        self._checking: Counter[str] = Counter()
        self._threads = CapacityLimiter(CHECKS)

    async def caller(self, request: Request, *, is_fresh: bool) -> Caller:
        """Return who sends a request; raise `HttpRefused`, or `Busy` if the server cannot say.

        With *is_fresh* a password is checked now; otherwise it may have been checked some seconds ago.
        """
        address = address_of(request)
        is_tls = request.url.scheme == "https"
        may_prove = is_tls or self._inlet.allow_clear
        authorization = request.headers.get("authorization", "")
        if not authorization:
            if self._inlet.is_device(address):
                return Caller("device", address, "")
            if may_prove:
                raise HttpRefused(401, "an account and its password are needed", CHALLENGE)
            raise HttpRefused(403, f"{address or 'the client'} is not a device that may send without a password")
        if not may_prove:
            raise HttpRefused(403, "a password over http:// can be read on its way; use https://")
        account, password = _credentials(authorization)
        await self._prove(account, password, address, is_fresh=is_fresh)
        return Caller("password" if is_tls else "clear", account, account)

    def check_page(self, request: Request, *, is_page_only: bool) -> None:
        """Raise `HttpRefused` for what a page of another origin makes a browser send.

        Browsers send passwords, and requests of devices' networks, for any page that asks them to. Only our own page
        can send `X-Postscan-Page`, and only a page that was reached by one of our names: another name may be one whose
        owner had it resolve to our address.

        An old browser is known by its User-Agent alone. Some devices have such a one as well, so it counts for what
        only pages send: POST, and with *is_page_only* any other request.
        """
        headers = request.headers
        site, origin = headers.get("sec-fetch-site", ""), headers.get("origin", "")
        is_old = headers.get("user-agent", "").startswith("Mozilla/") and (is_page_only or request.method == "POST")
        if not (site or origin or is_old):
            return
        host = headers.get("host", "")
        if not self._is_own(host):
            raise HttpRefused(421, "the page is not known by this name; add it to the setting 'names'")
        if origin and origin.lower() != f"{request.url.scheme}://{host}".lower():
            raise HttpRefused(403, "the request comes from a page of another origin")
        if request.method in _SAFE:
            return
        if site not in ("", "same-origin", "none") or PAGE_FIELD not in headers:
            raise HttpRefused(403, "the request does not come from the page of this server")

    def _is_own(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self._names or bool(plain_address(name))

    async def _prove(self, account: str, password: str, address: str, *, is_fresh: bool) -> None:
        digest = hmac.digest(self._salt, f"{account}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        now = self._ticks()
        if not is_fresh and self._trusted.get(digest, 0.0) > now:
            return
        if self._checking.total() >= WAITING or self._checking[address] >= WAITING_OF_ADDRESS:
            raise HttpRefused(503, "too many passwords wait for their check; try again", {"retry-after": "2"})
        self._checking[address] += 1
        try:
            check = partial(self._inlet.password, account, password, address=address)
            is_right = await to_thread.run_sync(check, limiter=self._threads)
        finally:
            self._checking[address] -= 1
            if not self._checking[address]:
                del self._checking[address]
        if not is_right:
            self._trusted.pop(digest, None)
            raise HttpRefused(401, "account or password is wrong", CHALLENGE)
        self._trusted.pop(digest, None)
        self._trusted[digest] = self._ticks() + TRUSTED_SECONDS
        while len(self._trusted) > MOST_TRUSTED:
            del self._trusted[next(iter(self._trusted))]


def address_of(request: Request) -> str:
    """Return the address of the client; an IPv4 address also where the socket is one of IPv6."""
    host = request.client.host if request.client else ""
    return plain_address(host) or host


def _credentials(authorization: str) -> tuple[str, str]:
    """Return account and password of an Authorization field; raise `HttpRefused` (401)."""
    scheme, _, token = authorization.partition(" ")
    wrong = HttpRefused(401, "expected Basic, or Bearer with account:password in base64", CHALLENGE)
    if scheme.lower() not in ("basic", "bearer") or len(token) > 4 * LONGEST:
        raise wrong
    plain = token.strip().rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        raw = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None
    try:
        pair = raw.decode()
    except UnicodeDecodeError:
        pair = raw.decode("latin-1")  # as older devices write it
    account, colon, password = pair.partition(":")
    if not colon or not account or len(pair) > LONGEST or "\0" in pair:
        raise wrong
    return account, password


def plain_address(text: str) -> str:
    """Return an address without its zone, and an IPv4-mapped one as IPv4; "" if the text is none."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found)
