"""Settings of the network: server, device, discovery, events, TLS and identities.

One class for each table of the file, as in `postscan.core.settings.engine`.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from postscan.core.settings.engine import Seconds, Table, check_sid

Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=256)]
"""A text in the metadata of the device (DPWS: MAX_FIELD_SIZE)."""

_TYPE = re.compile(r"(?=.{4,250}$)\{[^{}<>&\"\s]+\}[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_CERTIFICATE = re.compile(r"sha256:[0-9a-f]{64}|serial=(?:[0-9A-F]{2})+;issuer=.+")


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_networks(networks: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts; raise `ValueError` if one is not a network."""
    for one in networks:
        ipaddress.ip_network(one)  # the error names the text and the reason
    return networks


class ServerSettings(Table):
    """`[server]`: addresses and limits of the server."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(5362, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    path: str = Field(
        "/ScanServer/processing", pattern=r"^/[\w/.~-]*$", max_length=256, description="path of the processing service"
    )
    device_path: str = Field(
        "/ScanServer",
        pattern=r"^/[\w/.~-]*$",
        max_length=256,
        description="path of the device, for its metadata and those of its services",
    )
    configuration_path: str = Field(
        "/ScanServer/configuration",
        pattern=r"^/[\w/.~-]*$",
        max_length=256,
        description="path of the configuration service, where administrators see and cancel jobs",
    )
    public_url: str = Field(
        "",
        pattern=r"^(https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?$",
        max_length=300,
        description="URL of the server for devices: scheme, host and port, without a path; under TLS with the name in "
        "the certificate; empty: the address that the client has connected to",
    )
    allow_plain_http: bool = Field(
        False, description="serve plain HTTP on other addresses than loopback; callers are not authenticated"
    )
    always_500: bool = Field(
        False, description="respond to every fault with HTTP 500, for clients that read no other status"
    )
    head_seconds: Seconds = Field(10.0, description="seconds that a client may take to send the head of a request")
    idle_seconds: Seconds = Field(
        15.0, description="seconds without data, within a body or between requests, after which a connection is closed"
    )
    body_seconds: Seconds = Field(3600.0, description="seconds that a client may take to send the body of a request")
    body_bytes_per_second: int = Field(
        1024,
        gt=0,
        description="slowest body, in bytes per second; a body may fall behind by what it sends in `idle_seconds`",
    )
    write_seconds: Seconds = Field(
        30.0, description="seconds after which a connection is closed whose client accepts no byte of a response"
    )
    connections: int = Field(
        1000,
        gt=0,
        description="most connections at the same time, and no more than a third of the descriptors that the server "
        "may open (`ulimit -Hn`); the client with the most of them makes room for one with clearly fewer; with TLS "
        "each takes 32 KiB of memory while it is silent, and a few KiB before its handshake",
    )
    connections_per_address: int = Field(200, gt=0, description="most connections of one address")
    drain_seconds: Seconds = Field(
        30.0, description="seconds that running filters have to finish when the server stops"
    )

    @model_validator(mode="after")
    def _three_paths(self) -> ServerSettings:
        paths = (self.path, self.device_path, self.configuration_path)
        if len(set(paths)) != len(paths):
            raise ValueError(f"path, device_path and configuration_path are {', '.join(paths)}; expected three")
        return self


class DeviceSettings(Table):
    """`[device]`: the metadata of the server as a device."""

    friendly_name: Word = Field("postscan scan server", min_length=1, description="name for people")
    manufacturer: Word = Field("postscan", min_length=1, description="name of the manufacturer")
    manufacturer_url: str = Field("", max_length=1000, description="URL of the manufacturer; empty: omitted")
    model_name: Word = Field("postscan", min_length=1, description="name of the model")
    model_number: Word = Field("", description="number of the model; empty: omitted")
    serial_number: Word = Field("", description="serial number; empty: the GUID that the server has generated")
    types: tuple[str, ...] = Field(
        (),
        max_length=5,
        description="further types of the device, as `{namespace}name`, for scanners that search for them",
    )
    service_types: tuple[str, ...] = Field(
        (), max_length=5, description="further types of the processing service, in the same form"
    )

    @field_validator("types", "service_types")
    @classmethod
    def _clark_names(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for one in types:
            if not _TYPE.fullmatch(one):
                raise ValueError(f"{one[:64]!r} is not a type; expected {{namespace}}name of at most 250 characters")
        return types


class DiscoverySettings(Table):
    """`[discovery]`: how devices find the server by WS-Discovery."""

    enabled: bool | None = Field(
        None,
        description="respond to Probe and Resolve by UDP, send Hello and Bye (not on a loopback address); "
        "default: if the server listens on other addresses than loopback, and under TLS has a `public_url`",
    )
    port: int = Field(3702, ge=0, le=65535, description="UDP port for multicast; 0: none")
    directed_port: int = Field(5362, ge=0, le=65535, description="UDP port for unicast; 0: none")
    scopes: tuple[str, ...] = Field((), max_length=10, description="URIs of the scopes of the server")
    networks: tuple[str, ...] = Field(
        (),
        description="networks, as `10.2.0.0/16`, whose requests by UDP get a response, beside those of the own links",
    )

    @field_validator("scopes")
    @classmethod
    def _uris(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        for one in scopes:
            if not 0 < len(one) <= 500 or one.split() != [one]:
                raise ValueError(f"{one[:64]!r} is not a scope; expected a URI without blanks, at most 500 characters")
        return scopes

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(networks)

    @model_validator(mode="after")
    def _two_ports(self) -> DiscoverySettings:
        if self.port == self.directed_port != 0:
            raise ValueError(f"port and directed_port are both {self.port}; expected two")
        return self


class EventSettings(Table):
    """`[events]`: limits of subscriptions and of the delivery of events."""

    most: int = Field(2000, gt=0, description="most subscriptions at the same time")
    most_per_caller: int = Field(8, gt=0, description="most subscriptions of one caller")
    default_seconds: Seconds = Field(
        3600.0, description="seconds of life of a subscription that was requested without an end"
    )
    longest_seconds: Seconds = Field(
        86_400.0, description="longest life of a subscription, in seconds; it can be renewed"
    )
    deadline_seconds: Seconds = Field(5.0, description="seconds that a subscriber may take to accept one event")
    tries: int = Field(
        6,
        gt=0,
        description="failed deliveries of one event after which a subscription is ended, and of its SubscriptionEnd",
    )
    backlog: int = Field(
        10_000, gt=0, description="events that may wait for one subscriber before its subscription is ended"
    )
    networks: tuple[str, ...] = Field(
        (),
        description="networks, as `10.2.0.0/16`, to which any caller may have events sent; "
        "other addresses only if they are the caller's own",
    )

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(networks)

    @model_validator(mode="after")
    def _default_fits(self) -> EventSettings:
        if self.default_seconds > self.longest_seconds:
            longest = f"longest_seconds, {self.longest_seconds:g}"
            raise ValueError(f"default_seconds is {self.default_seconds:g}; expected at most {longest}")
        return self


class TlsSettings(Table):
    """`[tls]`: the server's certificate, and those of clients; files in PEM form, read at the start and at a reload."""

    certificate: Path | None = Field(
        None, description="certificate of the server, followed by the intermediate ones; none: plain HTTP"
    )
    key: Path | None = Field(None, description="its private key, without a passphrase; default: in `certificate`")
    mode: Literal["off", "server", "client"] = Field(
        "off",
        description="plain HTTP, TLS, or TLS for users with certificates only; "
        'default with a `certificate`: `"server"`, where client certificates are optional',
    )
    client_ca: Path | None = Field(
        None, description="the CAs of client certificates; none: no client certificates are requested"
    )
    crl: Path | None = Field(
        None, description="lists of revoked client certificates, one for each issuing CA; none: no check"
    )
    handshake_seconds: Seconds = Field(
        10.0, description="seconds that a client may take for the TLS handshake, and for its end"
    )

    @property
    def on(self) -> bool:
        """Whether the server uses TLS."""
        return self.mode != "off"

    @model_validator(mode="before")
    @classmethod
    def _a_certificate_turns_it_on(cls, table: Any) -> Any:
        if isinstance(table, dict) and table.get("certificate") is not None:
            return {"mode": "server"} | table
        return table

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> TlsSettings:
        needed = {
            "certificate": self.on or self.key,
            "client_ca": self.mode == "client" or self.crl,
        }
        for key, reason in needed.items():
            if reason and getattr(self, key) is None:
                raise ValueError(f"{key} is missing: mode {self.mode!r}, key or crl needs it")
        return self


class IdentitySettings(Table):
    """`[identity]`: the users of client certificates, and the administrators."""

    certificates: dict[str, str] = Field(
        default_factory=dict,
        description="SID of the user for certificates without one, "
        'by `"sha256:<fingerprint>"` or `"serial=<hex>;issuer=<DN>"`',
    )
    devices: tuple[str, ...] = Field(
        (),
        description="networks, as `10.2.0.0/16`, whose devices may connect without a certificate; empty: all networks",
    )
    administrators: tuple[str, ...] = Field(
        (),
        description="callers of the configuration service: SIDs of users with certificates, and certificates, "
        "in the form of `certificates`",
    )

    @field_validator("devices")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(networks)

    @field_validator("administrators")
    @classmethod
    def _sids_or_certificates(cls, administrators: tuple[str, ...]) -> tuple[str, ...]:
        for one in administrators:
            if not _CERTIFICATE.fullmatch(one):
                check_sid(one)
        return administrators

    @field_validator("certificates")
    @classmethod
    def _keys_and_sids(cls, certificates: dict[str, str]) -> dict[str, str]:
        for key, sid in certificates.items():
            if not _CERTIFICATE.fullmatch(key):
                expected = "sha256: and 64 lower-case hex digits, or serial=<upper-case hex>;issuer=<DN>"
                raise ValueError(f"{key!r} does not identify a certificate; expected {expected}")
            check_sid(sid)
        return certificates
