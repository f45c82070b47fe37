"""Who is calling: the user whom a client certificate proves, else the device by its certificate, else its address.

OpenSSL has verified the certificate (chain, dates, revocation) before a byte of the request was read. What it says
is believed here, in this order (WS-DSP digest, section 9; decision D1):

1. a SID: the user with this SID;
2. a UPN: the user whose `upn` in the settings is exactly that, upper and lower case and all;
3. a line of `[identity.certificates]` for this certificate: the user with that SID;
4. otherwise a device, known by its public key, whatever its address.

Who comes without a certificate, or with one that is no good, is the device at the other end of the connection.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any, Final

from postscan.core.model import Principal, Proof
from postscan.core.settings import Settings
from postscan.soap import certificate

log = logging.getLogger(__name__)

REMEMBERED: Final = 1024
"""Certificates that need not be read again for the next request."""


class Identities:
    """Knows the callers of one server."""

    def __init__(self, settings: Settings) -> None:
        self._by_upn = {user.upn: sid for sid, user in settings.users.items() if user.upn}
        self._by_certificate = settings.identity.certificates
        self._by_pem = functools.lru_cache(REMEMBERED)(self._proven)

    def caller(self, scope: Mapping[str, Any]) -> Principal:
        """Return who sent the request of this ASGI scope (extension `tls`: the first certificate of the chain)."""
        chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
        proven = self._by_pem(chain[0]) if chain else None
        if proven is not None:
            return proven
        client = scope.get("client")
        return Principal(f"device:{client[0] if client else ''}", Proof.ADDRESS)

    def _proven(self, pem: str) -> Principal | None:
        """Return whom a verified certificate proves, or None if it is no good; say so in the log, once."""
        try:
            claims = certificate.read(pem)
        except certificate.Unusable as reason:
            log.warning("a client certificate proves nothing: %s", reason)
            return None
        sid = self._sid(claims)
        who = Principal(f"user:{sid}" if sid else f"device-cert:{claims.key}", Proof.CERTIFICATE, sid=sid)
        log.info("a client certificate proves %s (%s, %s)", who.name, *claims.names)
        return who

    def _sid(self, claims: certificate.Claims) -> str:
        if claims.sid:
            return claims.sid
        listed = (self._by_certificate[name] for name in claims.names if name in self._by_certificate)
        return self._by_upn.get(claims.upn) or next(listed, "")
