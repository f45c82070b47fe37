"""Settings of sources: destinations that people choose, and inlets through which pages come."""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ConfigDict, Field, field_validator

from postscan.core.settings.accounts import by_canonical_name
from postscan.core.settings.engine import Seconds, Table, check_sid

DEVICE_ACCOUNT: Final = "*"
"""Stands for the SID in `accounts`: the account is a device's, which scans for all users of its destinations."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_GUID: Final = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class DestinationSettings(Table):
    """`[destinations.<name>]`: what a person chooses at a device. Devices see its label and a random identifier."""

    label: str = Field(min_length=1, max_length=255, description="what people read, in one line")
    process: str = Field(description="GUID of the scan process that the pages become a job of")
    user: str = Field(
        "", description="SID of the user whom the job is for; empty: the user of the account that sends the pages"
    )

    @field_validator("label")
    @classmethod
    def _is_one_line(cls, label: str) -> str:
        if _CONTROL.search(label) or label != label.strip():
            raise ValueError("expected one line without blanks around it")
        return label

    @field_validator("process")
    @classmethod
    def _is_guid(cls, process: str) -> str:
        if not _GUID.fullmatch(process):
            raise ValueError("expected the GUID of a scan process")
        return process.upper()

    @field_validator("user")
    @classmethod
    def _is_sid(cls, user: str) -> str:
        if user:
            check_sid(user)
        return user


class SourceSettings(Table):
    """`[sources.<name>]`: one inlet, a use of a source. All keys that are not listed here are the plugin's."""

    model_config = ConfigDict(frozen=True, extra="allow")

    plugin: str = Field(min_length=1, max_length=255, description="name of the plugin that has the source")
    enabled: bool = Field(True, description="start it with the server")
    destinations: tuple[str, ...] = Field((), description="names of its destinations; empty: all")
    accounts: dict[str, str] = Field(
        default_factory=dict,
        description="for accounts that stand for another user here than elsewhere: their SIDs by account name; "
        '`"*"` for the account of a device, which scans for all users of its destinations',
    )
    devices: tuple[str, ...] = Field(
        (),
        description="addresses and networks (CIDR) and UUIDs of the devices that are taken at their word; "
        "empty: those of the source's own settings",
    )
    allow_clear: bool = Field(False, description="accept passwords that came over a connection without TLS")
    open_jobs: int = Field(4, gt=0, le=100, description="most jobs that take pages at the same time")
    job_seconds: Seconds = Field(
        600.0, description="seconds without a page or a part of one after which such a job becomes Aborted"
    )

    @property
    def table(self) -> dict[str, Any]:
        """The keys of the plugin."""
        return dict(self.model_extra or {})

    @field_validator("destinations")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} is listed twice")
        return names

    @field_validator("accounts")
    @classmethod
    def _stand_for_users(cls, accounts: dict[str, str]) -> dict[str, str]:
        for user in accounts.values():
            if user != DEVICE_ACCOUNT:
                check_sid(user)
        return by_canonical_name(accounts)

    @field_validator("devices")
    @classmethod
    def _are_devices(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        for device in devices:
            if not is_device(device):
                raise ValueError(f"{device!r} is no address, no network such as 10.0.0.0/24, and no UUID")
        return devices


def is_device(text: str) -> bool:
    """Return whether a text is an address, a network without bits behind its prefix, or the UUID of a device."""
    return _network(text) is not None or _uuid(text) is not None


def lists_device(devices: tuple[str, ...], subject: str) -> bool:
    """Return whether *subject* is one of the devices or in one of the networks.

    It is an address, a UUID, or both as `UUID at ADDRESS`, of which one is enough.
    """
    identifier, _, address = subject.rpartition(" at ")
    if identifier and _uuid(identifier) is not None and _network(address) is not None:
        return _lists(devices, identifier) or _lists(devices, address)
    return _lists(devices, subject)


def _lists(devices: tuple[str, ...], subject: str) -> bool:
    identifier, address = _uuid(subject), _network(subject)
    if identifier is not None:
        return any(_uuid(device) == identifier for device in devices)
    if address is None or address.num_addresses != 1:
        return False
    return any(_contains(_network(device), address.network_address) for device in devices)


def check(
    destinations: Mapping[str, DestinationSettings],
    sources: Mapping[str, SourceSettings],
    known_users: Mapping[str, Any] | None,
) -> None:
    """Raise `ValueError` if the tables do not fit each other; *known_users* are all there are, None if any may be."""
    for kind, names in (("destinations", destinations), ("sources", sources)):
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{kind}.{name}: expected a name of letters, digits, . _ and -, at most 64 characters")
    for name, destination in destinations.items():
        _check_user(f"destinations.{name}.user", destination.user, known_users)
    for name, source in sources.items():
        _check_source(f"sources.{name}", source, destinations)
        for account, user in source.accounts.items():
            _check_user(f"sources.{name}.accounts.{account}", user, known_users)


def destinations_of(
    source: SourceSettings, destinations: Mapping[str, DestinationSettings]
) -> dict[str, DestinationSettings]:
    """Return the destinations of a source by name, in the order in which they are listed."""
    return {name: destinations[name] for name in source.destinations or destinations}


def _check_source(where: str, source: SourceSettings, destinations: Mapping[str, DestinationSettings]) -> None:
    for name in source.destinations:
        if name not in destinations:
            raise ValueError(f"{where}.destinations: there is no table [destinations.{name}]")
    offered = destinations_of(source, destinations)
    if source.enabled and not offered:
        raise ValueError(f"{where}: a source needs a destination; expected a table [destinations.<name>]")
    seen: dict[str, str] = {}
    for name, destination in offered.items():
        other = seen.setdefault(destination.label.casefold(), name)
        if other != name:
            raise ValueError(f"{where}.destinations: {other} and {name} have the same label {destination.label!r}")


def _check_user(where: str, user: str, known_users: Mapping[str, Any] | None) -> None:
    if known_users is not None and user not in ("", DEVICE_ACCOUNT) and user not in known_users:
        raise ValueError(f"{where}: expected the SID of a table [users.<SID>], since allow_unknown_users is false")


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> _Network | None:
    """Return the network; an IPv4-mapped IPv6 address as IPv4, and without its zone."""
    try:
        network = ipaddress.ip_network(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return ipaddress.ip_network(mapped) if mapped is not None and network.num_addresses == 1 else network


def _contains(network: _Network | None, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return network is not None and address in network


def _uuid(text: str) -> uuid.UUID | None:
    digits = text.lower().removeprefix("urn:uuid:")
    return uuid.UUID(digits) if _GUID.fullmatch(digits) else None
