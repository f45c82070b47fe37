"""The caller of a request: a user identified by a client certificate, else a device by its certificate or address.

OpenSSL verifies the certificate (chain, dates, revocation) before a byte of the request is read. A certificate then
identifies, in this order (ws-dsp.md section 9; D1):

1. a SID: the user with this SID;
2. a UPN: the user with exactly this `upn` in the settings, case included;
3. an entry of `[identity.certificates]` for this certificate: the user with that SID;
4. otherwise a device by its public key, independent of its address.

A caller without a certificate, or with an unusable one, is the device at the peer address of the connection.

The settings may name users and devices as administrators. They are administrators on the configuration service alone:
WS-DSP uses `caller`, which never has an administrator's rights (T-O8).
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
from postscan.soap.http.tls import certificate

log = logging.getLogger(__name__)

CACHED: Final = 1024
"""Certificates whose identity is cached."""


class CertifiedCaller(NamedTuple):
    """A caller identified by a certificate; `entry` is the one that makes it an administrator, "" if there is none."""

    principal: Principal
    entry: str


class Identities:
    """Identifies the callers of one server."""

    def __init__(self, settings: Settings) -> None:
        self._rules = _Rules(settings)

    def use(self, settings: Settings) -> None:
        """Identify callers by these settings from now on, those of open connections too."""
        self._rules = _Rules(settings)

    def caller(self, scope: Mapping[str, Any]) -> Principal:
        """Return the sender of the request of this ASGI scope (extension `tls`: the first certificate of the chain)."""
        certified = self._certified_caller(scope)
        if certified is not None:
            return certified.principal
        client = scope.get("client")
        return Principal(f"device:{client[0] if client else ''}", Proof.ADDRESS)

    def may_connect(self, scope: Mapping[str, Any]) -> bool:
        """Return whether the caller has a certificate, or an address that `identity.devices` allows (empty: all)."""
        networks = self._rules.networks
        if not networks or self._certified_caller(scope) is not None:
            return True
        client = scope.get("client")
        return client is not None and any(_address(client[0]) in network for network in networks)

    def may_use_tls(self, pem: str) -> bool:
        """Return whether a verified certificate names a user or an administrator, as `tls.mode = "client"` requires."""
        found = self._rules.by_pem(pem)
        return found is not None and bool(found.principal.sid or found.entry)

    def administrator(self, scope: Mapping[str, Any]) -> Principal | None:
        """Return the caller with an administrator's rights, or None if it is no administrator.

        An administrator has a certificate: no address, and no caller over plain HTTP, is an administrator.
        """
        found = self._certified_caller(scope)
        return replace(found.principal, admin=True, entry=found.entry) if found is not None and found.entry else None

    def _certified_caller(self, scope: Mapping[str, Any]) -> CertifiedCaller | None:
        chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
        return self._rules.by_pem(chain[0]) if chain else None


class _Rules:
    """Who a certificate stands for by the settings, and from which networks devices may connect without one."""

    def __init__(self, settings: Settings) -> None:
        self._by_upn = {user.upn: sid for sid, user in settings.users.items() if user.upn}
        self._by_certificate = settings.identity.certificates
        self._administrators = frozenset(settings.identity.administrators)
        self.networks = tuple(ipaddress.ip_network(one) for one in settings.identity.devices)
        self.by_pem = functools.lru_cache(CACHED)(self._certified)

    def _certified(self, pem: str) -> CertifiedCaller | None:
        """Return the caller that a verified certificate identifies, or None if it is unusable; log either once."""
        try:
            claims = certificate.read(pem)
        except certificate.Unusable as reason:
            log.warning("client certificate not usable", extra={"reason": str(reason)})
            return None
        sid = self._sid(claims)
        caller = Principal(f"user:{sid}" if sid else f"device-cert:{claims.key}", Proof.CERTIFICATE, sid=sid)
        fingerprint, serial = claims.names
        log.info(
            "caller identified by its certificate",
            extra={"user": caller.name, "certificate": fingerprint, "serial": serial},
        )
        return CertifiedCaller(caller, next((one for one in (sid, *claims.names) if one in self._administrators), ""))

    def _sid(self, claims: certificate.Claims) -> str:
        if claims.sid:
            return claims.sid
        listed = (self._by_certificate[name] for name in claims.names if name in self._by_certificate)
        return self._by_upn.get(claims.upn) or next(listed, "")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of a connection without its zone; an IPv4-mapped IPv6 address as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
