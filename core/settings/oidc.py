"""Settings of the sign-in by a provider of OpenID Connect."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from postscan.core.settings.engine import Table
from postscan.core.settings.network import is_loopback


class OidcSettings(Table):
    """`[console.oidc]`: a provider of OpenID Connect, by which people sign in; needs `postscan[oidc]`."""

    issuer: str = Field(
        "", max_length=300, description="URL of the provider, exactly as it names itself; empty: no such way in"
    )
    client_id: str = Field("", max_length=256, description="identifier of the console at the provider")
    client_secret: str = Field(
        "", max_length=1024, repr=False, description="its secret; empty: the console is a public client there"
    )
    scopes: tuple[str, ...] = Field(
        ("openid", "profile"), min_length=1, max_length=20, description="scopes that are asked for"
    )
    role_claim: str = Field(
        "roles", max_length=100, description="claim of the ID token whose values give the role: a text, or a list"
    )
    administrators: tuple[str, ...] = Field(
        (), description="values of `role_claim` of administrators, compared exactly"
    )
    operators: tuple[str, ...] = Field((), description="values of `role_claim` of operators")
    viewers: tuple[str, ...] = Field((), description="values of `role_claim` of viewers")
    sid_claim: str = Field(
        "",
        max_length=100,
        description="claim of the ID token with the SID of the user, who sees their own jobs by it, and is an owner "
        "without another role; empty: none",
    )

    @field_validator("issuer")
    @classmethod
    def _is_url(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        if issuer and (not parts.hostname or parts.query or parts.fragment or not is_safe_url(issuer)):
            raise ValueError("expected https://, a name, and at most a path")
        return issuer

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> OidcSettings:
        if self.issuer and not self.client_id:
            raise ValueError("client_id is missing: issuer needs it")
        if self.issuer and "openid" not in self.scopes:
            raise ValueError("scopes lack openid")
        return self


def is_safe_url(url: str) -> bool:
    """Return whether what is sent to a URL can be neither read nor changed on its way: TLS, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
