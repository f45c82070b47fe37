"""Settings of the console: where it listens, and who may come in by a proxy."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from postscan.core.settings.engine import Table
from postscan.core.settings.network import check_networks, is_loopback
from postscan.core.settings.oidc import OidcSettings

_FIELD_NAME = r"^([A-Za-z][A-Za-z0-9-]{0,63})?$"


class ProxySettings(Table):
    """`[console.proxy]`: a proxy that has identified the user of the browser."""

    model_config = ConfigDict(serialize_by_alias=True)  # so that what is dumped can be read again

    networks: tuple[str, ...] = Field(
        (),
        alias="from",
        max_length=100,
        description="addresses or networks of the proxy, as `10.2.0.9/32`; its header counts from nowhere else, and "
        "any program at these addresses can send it",
    )
    header: str = Field(
        "",
        pattern=_FIELD_NAME,
        description="field of the request that has the name of an account, as `X-Remote-User`; empty: no one comes in "
        "by the proxy alone",
    )
    address_header: str = Field(
        "",
        pattern=_FIELD_NAME,
        description="field whose last entry is the address of the browser, as `X-Forwarded-For`; empty: all browsers "
        "behind the proxy count as one address, which shares the limits",
    )

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(networks)

    @model_validator(mode="after")
    def _has_an_address(self) -> ProxySettings:
        if (self.header or self.address_header) and not self.networks:
            raise ValueError("from is missing: a header counts only if the proxy has sent it")
        return self


class ConsoleSettings(Table):
    """`[console]`: the web pages for administrators and users, their JSON API, and the metrics."""

    enabled: bool | None = Field(
        None,
        description="whether `postscan serve` starts the console; default: if `console.host` is a loopback address",
    )
    host: str = Field("127.0.0.1", description="address to listen on; another than loopback needs TLS or a proxy")
    port: int = Field(5363, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    public_url: str = Field(
        "",
        pattern=r"^(https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?$",
        max_length=300,
        description="URL of the console for browsers: scheme, host and port, without a path; with a proxy that of the "
        "proxy; empty: the console is reached by `localhost` and loopback addresses alone",
    )
    proxy: ProxySettings = Field(
        default_factory=ProxySettings, description="a proxy that has identified the user of the browser"
    )
    oidc: OidcSettings = Field(
        default_factory=OidcSettings, description="a provider of OpenID Connect, by which people sign in"
    )
    pictures_of_others: bool = Field(
        True, description="whether administrators may look at pages of jobs of other users; each look is audited"
    )
    metrics_from: tuple[str, ...] = Field(
        (),
        max_length=100,
        description="networks, as `10.2.0.0/16`, from which `/metrics` is read without an API token",
    )
    connections: int = Field(400, gt=0, description="most connections at the same time")
    connections_per_address: int = Field(
        300, gt=0, description="most connections of one address; behind a proxy all are of its address"
    )

    @field_validator("metrics_from")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        return check_networks(networks)

    @property
    def is_on(self) -> bool:
        """Whether `postscan serve` starts the console."""
        return is_loopback(self.host) if self.enabled is None else self.enabled

    def check(self, *, is_tls: bool, is_served: bool | None = None) -> None:
        """Raise `ValueError` if these settings would serve passwords in clear, or under a name that is not known.

        *is_served* says whether the console is started; None: as `postscan serve` does by these settings.
        """
        if self.oidc.issuer and not self.public_url:
            raise ValueError("console.public_url is missing: the provider of console.oidc sends browsers back to it")
        if is_loopback(self.host) or not (self.is_on if is_served is None else is_served):
            return
        if not (is_tls or self.proxy.networks):
            raise ValueError(
                f"console.host {self.host!r} is not a loopback address: set tls.certificate, or console.proxy.from"
            )
        if not self.public_url:
            raise ValueError(f"console.public_url is missing: console.host {self.host!r} is not a loopback address")
        if is_tls and urlsplit(self.public_url).scheme != "https":
            raise ValueError(f"console.public_url is {self.public_url!r}; expected https://, since TLS is on")


def is_in(address: str, networks: tuple[str, ...]) -> bool:
    """Return whether an address lies in one of these networks; False for a text that is no address."""
    try:
        found: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in ipaddress.ip_network(one) for one in networks)
