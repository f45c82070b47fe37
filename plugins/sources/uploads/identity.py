"""Who a client is, and the rules for it: an account over TLS, or a device of an allowed network."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Final, Literal

ANONYMOUS: Final = frozenset({"anonymous", "ftp"})
"""Names by which a device logs in without an account."""

Proof = Literal["device", "clear", "password", "certificate"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Identity:
    """Who has logged in: a device by its address, or an account; `proof` is how far that is proven.

    A public key of the account proves it as a certificate does.
    """

    proof: Proof
    subject: str
    account: str = ""

    def over(self, *, protected: bool) -> Identity:
        """Return the identity for a transfer: a password proves less if the data are not encrypted."""
        return self if protected or self.proof != "password" else replace(self, proof="clear")


def peer_address(text: str) -> Address:
    """Return the address of a peer; that of an IPv4 client on an IPv6 socket is its IPv4 address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def place_of(address: Address) -> str:
    """Return by what connections are counted: the address, or the /64 of an IPv6 one, which is one subscriber's."""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
