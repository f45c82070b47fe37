"""Settings of an inlet: those of eSCL, by which the pages are fetched, and those of HP's walk-up."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final

from postscan.plugins import setting
from postscan.plugins.sources.escl.device import scanner
from postscan.plugins.sources.escl.device.scanner import EsclAddress
from postscan.plugins.sources.escl.settings import Settings

LABEL: Final = "{label}"
"""Stands in `hostname` for the label of the destination."""

_LONGEST_HOST: Final = 63  # characters
_LONGEST_WAIT: Final = 120.0  # seconds


@dataclass(frozen=True)
class HpSettings(Settings):
    """`[sources.<name>]` with `plugin = "hp"`: the settings of `escl`, and what is registered at the device.

    `interval` and `status_seconds` of `escl` have no effect: a person at the panel starts each scan.
    """

    walkup: str = setting(
        "", help="address of the walk-up resources, such as http://10.0.0.9:8080; empty: host and port of `device`"
    )
    hostname: str = setting(
        "", help="name of this computer at the panel; empty: its host name. {label} stands for the label"
    )
    wait_seconds: float = setting(120.0, help="longest time that one request waits for a press; at most 120")
    away_seconds: float = setting(60.0, help="seconds between two tries to reach a device that is away")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a value that cannot be used."""
        Settings.__post_init__(self)
        if self.walkup:
            _ = scanner.address(self.walkup)
        for name in ("wait_seconds", "away_seconds"):
            self._check_number(name, may_be_0=False)
        if self.wait_seconds > _LONGEST_WAIT:
            raise ValueError(f"wait_seconds: {self.wait_seconds}; expected {_LONGEST_WAIT:g} or less")
        if any(not one.isprintable() for one in self.hostname) or len(self.hostname) > _LONGEST_HOST:
            raise ValueError(f"hostname: {self.hostname!r}; expected one line of at most {_LONGEST_HOST} characters")

    def host(self, label: str) -> str:
        """Return the Hostname of the registration of the destination with this label."""
        own = socket.gethostname().partition(".")[0] or "postscan"
        return (self.hostname or own).replace(LABEL, label)[:_LONGEST_HOST]

    def origin(self, found: EsclAddress) -> str:
        """Return scheme and authority of the walk-up resources of a device whose eSCL is at *found*."""
        return scanner.address(self.walkup).origin if self.walkup else found.origin
