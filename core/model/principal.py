"""Callers, the users on whose behalf jobs run, and the SIDs that identify users."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Proof(StrEnum):
    """How a caller was identified."""

    ADDRESS = "address"
    CERTIFICATE = "certificate"
    LOCAL = "local"
    SOURCE = "source"  # the origin of a source's job, over the source's own connection
    ACCOUNT = "account"  # its password, at the console
    LINK = "link"  # a one-time link that an administrator has made
    API = "api"  # a token of the API
    OIDC = "oidc"  # a provider of OpenID Connect


class Right(StrEnum):
    """What a role allows with the jobs of all users, and beside jobs. `Role` lists the rights of each role."""

    SEE = "see"  # all jobs, and how the server is
    OPERATE = "operate"  # hold, release, cancel, retry, discard and test pages, and the log lines; of all jobs
    PICTURES = "pictures"  # pictures of jobs that are not one's own
    ADMINISTER = "administer"  # processes, plugins, subscriptions, accounts, settings, audit trail


class Role(StrEnum):
    """What a person at the console may do. Each role, an owner too, sees and cancels its own jobs."""

    OWNER = "owner"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    @property
    def rights(self) -> frozenset[Right]:
        """The rights of this role."""
        return _RIGHTS[self]


_RIGHTS: Final = {
    Role.OWNER: frozenset[Right](),
    Role.VIEWER: frozenset({Right.SEE}),
    Role.OPERATOR: frozenset({Right.SEE, Right.OPERATE}),
    Role.ADMINISTRATOR: frozenset(Right),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `name` is opaque and compared exactly: another spelling is another principal.

    `sid` is set if the user is proven: by a certificate, or by how a person came to the console. `entry` is the entry
    of `identity.administrators` that makes a caller from the network an administrator. `role` is that of a person at
    the console; None for all other callers.
    """

    name: str
    proof: Proof
    admin: bool = False
    sid: str = ""
    entry: str = ""
    role: Role | None = None

    def may(self, right: Right) -> bool:
        """Return whether the caller has this right; an administrator has all."""
        return self.admin or (self.role is not None and right in self.role.rights)


@dataclass(frozen=True, slots=True)
class User:
    """The user of a job: the SID as text, `user@domain`, and a mail address or "".

    `display_name` and `home_folder` (a UNC or a path) come from a directory; "" for other users.
    """

    sid: str
    name: str
    mail: str = ""
    display_name: str = ""
    home_folder: str = ""


def of_source(inlet: str, subject: str) -> Principal:
    """Return the owner of the jobs that a source makes of what this subject sends through an inlet."""
    return Principal(f"{_SOURCE}{inlet}:{subject}", Proof.SOURCE)


def at_console(name: str, proof: Proof, role: Role, sid: str = "") -> Principal:
    """Return a person, or a token of the API, at the console; *sid* is that of the user whom it has proven to be."""
    return Principal(name, proof, admin=role is Role.ADMINISTRATOR, sid=sid, role=role)


def inlet_of(owner: Principal) -> str | None:
    """Return the inlet through which this owner's jobs came; None if no source made them."""
    if owner.proof is not Proof.SOURCE:
        return None
    return owner.name.removeprefix(_SOURCE).partition(":")[0]


_SOURCE: Final = "source:"
_SID: Final = re.compile(
    r"S-1-(?:(?P<decimal>[0-9]{1,10})|0x[0-9A-Fa-f]{1,12})(?P<sub_authorities>(?:-[0-9]{1,10}){1,15})"
)
_BEYOND_32_BITS: Final = 1 << 32


def is_sid(text: str) -> bool:
    """Return whether a text is a SID: S-1, an authority (decimal, or 0x and hex), and 1 to 15 sub-authorities.

    The S is upper case, and each decimal number has 32 bits. Source: ws-dsp.md section 10; [MS-DTYP] section 2.4.2.1.
    """
    match = _SID.fullmatch(text)
    if match is None:
        return False
    numbers = [match["decimal"] or "0", *match["sub_authorities"].split("-")[1:]]
    return all(int(number) < _BEYOND_32_BITS for number in numbers)
