"""Accounts at the service: names, SIDs and passwords of the tests, and what becomes of a password that is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from postscan.core.errors import PostscanError, StoreBusy
from postscan.core.model.principal import Principal, Proof
from postscan.core.service.accounts.accounts import Accounts

ADMIN = Principal("local:root", Proof.LOCAL, admin=True)
SID, OTHER_SID = "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
PASSWORD, OTHER_PASSWORD, WRONG = "right horse battery", "another horse battery", "wrong horse battery"

TABLES: dict[str, Any] = {
    "destinations": {"all": {"label": "All", "process": "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10", "user": SID}},
    "sources": {"mail": {"plugin": "smtp"}, "ftp": {"plugin": "ftp"}},
}

Made = Callable[..., Accounts]
"""Functions that open the accounts of a store, with more tables of the settings."""


def tries(accounts: Accounts, password: str, *, account: str = "ann", address: str = "192.0.2.7") -> object:
    """Try a password at the inlet for mail; return the SID, None, or the class of the error."""
    try:
        found = accounts.verify(account, password, "mail", address)
    except PostscanError as error:
        return type(error)
    return found and found.sid


def busy(*_arguments: object) -> NoReturn:
    """Raise the error of a database that does not answer in time."""
    raise StoreBusy("locked")
