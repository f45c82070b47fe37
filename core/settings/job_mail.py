"""Settings of job mails: mails to the user of a job that has failed or is held."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from postscan.core.settings.engine import Seconds, Table

JobMailKind = Literal["failed", "held"]

PORTS: Final = {"none": 25, "starttls": 587, "implicit": 465}
LONGEST_ADDRESS: Final = 254

_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|(?=.*:.*:)[0-9A-Fa-f:.]+")
_NAME: Final = re.compile(r"[A-Za-z0-9.-]+|\[[A-Za-z0-9.:]+\]")
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9](?:\.?[A-Za-z0-9_+'=~^{}|&*$#-]){0,63}@"  # nothing that a header or a relay could read in two ways
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


def is_address(text: str) -> bool:
    """Return whether a text is exactly one plain mail address in ASCII. Source: RFC 5321 section 4.1.2."""
    return len(text) <= LONGEST_ADDRESS and bool(_ADDRESS.fullmatch(text))


class JobMailSettings(Table):
    """`[job_mail]`: mails to users whose jobs have failed or are held, for those with `job_mail = true`."""

    when: tuple[JobMailKind, ...] = Field(
        ("failed", "held"), description="what is told: `failed` jobs, which include those with errors, and `held` ones"
    )
    host: str = Field("", description="name or address of the mail server; empty: no mails")
    port: int = Field(
        0, ge=0, le=65535, description="its port; 0 stands for 25, with STARTTLS for 587, with implicit TLS for 465"
    )
    tls: Literal["none", "starttls", "implicit"] = Field(
        "none", description="how the connection is encrypted; never less than what is set"
    )
    ca_file: Path | None = Field(
        None, description="PEM file of the CAs that are accepted for the server; default: those of the system"
    )
    user: str = Field("", max_length=255, description="name to log in with; needs TLS")
    password: str = Field("", max_length=1024, repr=False, description="its password")
    password_file: Path | None = Field(None, description="or a file with the password in its first line")
    sender: str = Field("", description="address that the mails come from")
    seconds: Seconds = Field(
        30.0, le=600, description="longest time for a reply of the server; for a whole mail four times that"
    )
    ehlo_name: str = Field("localhost", max_length=255, description="the name of this server in EHLO")
    per_hour: int = Field(
        20, gt=0, le=10_000, description="most mails to one user in an hour; further ones are dropped"
    )

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the mail server."""
        return self.host, self.port or PORTS[self.tls]

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        if host and not _HOST.fullmatch(host):
            raise ValueError("expected the name or the address of a host, without a port")
        return host

    @field_validator("sender")
    @classmethod
    def _is_address(cls, sender: str) -> str:
        if sender and not is_address(sender):
            raise ValueError("expected a plain address such as postscan@fabrikam.example")
        return sender

    @field_validator("ehlo_name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("expected a host name, or an address in brackets")
        return name

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.host and not self.sender:
            raise ValueError("sender is missing: the address that the mails come from")
        if self.user and self.tls == "none":
            raise ValueError("user needs tls: the password would be readable on its way")
        if self.user and not (self.password or self.password_file):
            raise ValueError("password or password_file is missing for the user")
        return self
