"""The accounts of a server, on each kind of database."""

from __future__ import annotations

from typing import Any

import pytest
from hashers import RecordingHasher
from known_accounts import ADMIN, PASSWORD, SID, TABLES, Made

from postscan.core.service.accounts.accounts import Accounts
from postscan.core.service.accounts.passwords import Passwords
from postscan.core.service.refusals import Refusals
from postscan.core.settings import Settings
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock


@pytest.fixture
def hasher() -> RecordingHasher:
    """A cheap argon2."""
    return RecordingHasher()


@pytest.fixture
def made(store: Store, clock: FakeClock, hasher: RecordingHasher) -> Made:
    """Open the accounts of the store as one process does, with more tables in its settings."""

    def make(hasher: RecordingHasher = hasher, **tables: Any) -> Accounts:
        settings = Settings.model_validate(TABLES | tables)
        refusals = Refusals(store, settings.limits, clock)
        return Accounts(settings, store, refusals, clock, Passwords(hasher))

    return make


@pytest.fixture
def accounts(made: Made) -> Accounts:
    """The accounts of a server: one for Anna, at all inlets."""
    accounts = made()
    accounts.add("ann", PASSWORD, SID, (), ADMIN)
    return accounts
