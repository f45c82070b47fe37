"""Who calls, and on whose behalf a job runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Proof(StrEnum):
    """How a caller was recognised."""

    ADDRESS = "address"
    CERTIFICATE = "certificate"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. Opaque and compared exactly: another spelling is another principal.

    `sid` is set if a certificate has proven which user that is; `role` is the line of the settings that makes an
    administrator of a caller from the network.
    """

    name: str
    proof: Proof
    admin: bool = False
    sid: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """On whose behalf a job runs: the SID as text, `user@domain`, and a mail address if one is known."""

    sid: str
    name: str
    mail: str = ""


SID: Final = re.compile(r"S-1-(?:\d{1,10}|0x[0-9A-Fa-f]{1,12})(?:-\d{1,10}){1,15}", re.ASCII)
