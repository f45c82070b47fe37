"""Who is calling: the user whom a client certificate proves, else the device by its certificate, else its address.

OpenSSL has verified the certificate (chain, dates, revocation) before a byte of the request was read. What it says
is believed here, in this order (ws-dsp.md section 9; D1):

1. a SID: the user with this SID;
2. a UPN: the user whose `upn` in the settings is exactly that, upper and lower case and all;
3. a line of `[identity.certificates]` for this certificate: the user with that SID;
4. otherwise a device, known by its public key, whatever its address.

Who comes without a certificate, or with one that is no good, is the device at the other end of the connection.

The settings may name some of these users and devices as administrators. They are so on the configuration service
alone: WS-DSP asks for the `caller`, who has no more rights there than anybody else (T-O8).
"""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from postscan.core.model.principal import Principal, Proof
from postscan.core.settings import Settings
from postscan.soap.http import certificate

log = logging.getLogger(__name__)

REMEMBERED: Final = 1024
"""Certificates that need not be read again for the next request."""


class Proven(NamedTuple):
    """Whom a certificate proves, and the line of the settings that lets that caller administer; "" if there is none."""

    who: Principal
    role: str


class Identities:
    """Knows the callers of one server."""

    def __init__(self, settings: Settings) -> None:
        self._by_upn = {user.upn: sid for sid, user in settings.users.items() if user.upn}
        self._by_certificate = settings.identity.certificates
        self._administrators = frozenset(settings.identity.administrators)
        self._networks = tuple(ipaddress.ip_network(one) for one in settings.identity.devices)
        self._by_pem = functools.lru_cache(REMEMBERED)(self._proven)

    def caller(self, scope: Mapping[str, Any]) -> Principal:
        """Return who sent the request of this ASGI scope (extension `tls`: the first certificate of the chain)."""
        proven = self._shown(scope)
        if proven is not None:
            return proven.who
        client = scope.get("client")
        return Principal(f"device:{client[0] if client else ''}", Proof.ADDRESS)

    def is_welcome(self, scope: Mapping[str, Any]) -> bool:
        """Return whether the settings let this caller connect: by a certificate, or from the network that it is in."""
        if not self._networks or self._shown(scope) is not None:
            return True
        client = scope.get("client")
        return client is not None and any(_address(client[0]) in network for network in self._networks)

    def administrator(self, scope: Mapping[str, Any]) -> Principal | None:
        """Return the caller with an administrator's rights, or None for whoever has not proven to be one.

        That takes a certificate: over plain HTTP there are no administrators, and an address never is one.
        """
        proven = self._shown(scope)
        return replace(proven.who, admin=True, role=proven.role) if proven is not None and proven.role else None

    def _shown(self, scope: Mapping[str, Any]) -> Proven | None:
        chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
        return self._by_pem(chain[0]) if chain else None

    def _proven(self, pem: str) -> Proven | None:
        """Return whom a verified certificate proves, or None if it is no good; say so in the log, once."""
        try:
            claims = certificate.read(pem)
        except certificate.Unusable as reason:
            log.warning("a client certificate proves nothing: %s", reason)
            return None
        sid = self._sid(claims)
        who = Principal(f"user:{sid}" if sid else f"device-cert:{claims.key}", Proof.CERTIFICATE, sid=sid)
        log.info("a client certificate proves %s (%s, %s)", who.name, *claims.names)
        return Proven(who, next((one for one in (sid, *claims.names) if one in self._administrators), ""))

    def _sid(self, claims: certificate.Claims) -> str:
        if claims.sid:
            return claims.sid
        listed = (self._by_certificate[name] for name in claims.names if name in self._by_certificate)
        return self._by_upn.get(claims.upn) or next(listed, "")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address of a connection, without its zone; IPv4 however it arrived."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
