"""Settings of accounts: those that stand in the file, beside the rows of `postscan accounts add`."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, StringConstraints, field_validator

from postscan.core.model.accounts.account import EXPECTED_NAME, canonical_name
from postscan.core.settings.engine import Table, check_sid

_Value = TypeVar("_Value")

InletName = Annotated[str, StringConstraints(min_length=1, max_length=64)]

_HASH: Final = re.compile(r"\$argon2(id|i|d)\$v=[0-9]+\$m=[0-9]+,t=[0-9]+,p=[0-9]+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")


class AccountSettings(Table):
    """`[accounts.<name>]`: an account. Those of `postscan accounts add` are not listed here."""

    hash: str = Field(
        max_length=255, repr=False, description="argon2 hash of the password, as `postscan accounts hash` prints it"
    )
    user: str = Field(description="SID of the user for whom the account stands")
    inlets: tuple[InletName, ...] = Field(
        (),
        max_length=100,
        description="names of the inlets at which the account may be used; `console` is the console; empty: all",
    )
    role: Literal["owner", "viewer", "operator", "administrator"] = Field(
        "owner", description="what the user may do at the console"
    )

    @field_validator("hash")
    @classmethod
    def _is_hash(cls, hash: str) -> str:
        if not _HASH.fullmatch(hash):
            raise ValueError("expected an argon2 hash, not a password; make one: postscan accounts hash")
        return hash

    @field_validator("user")
    @classmethod
    def _is_sid(cls, user: str) -> str:
        check_sid(user)
        return user


def by_canonical_name(accounts: dict[str, _Value]) -> dict[str, _Value]:
    """Return a table by the canonical names of its accounts; raise `ValueError` if one is no name, or two are equal."""
    found: dict[str, _Value] = {}
    for text, value in accounts.items():
        name = canonical_name(text)
        if name is None:
            raise ValueError(f"{text!r} is no name of an account; expected {EXPECTED_NAME}")
        if name in found:
            raise ValueError(f"two accounts have the name {name!r}; upper and lower case are the same")
        found[name] = value
    return found
