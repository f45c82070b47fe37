"""The checks of accounts: their users, their inlets, and the hashes of their passwords."""

from __future__ import annotations

import contextlib
import importlib.util
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from postscan import migrations
from postscan.core.model.accounts.account import CONSOLE, Account
from postscan.core.service.accounts.passwords import EXTRA, Passwords, is_usable
from postscan.core.store.callers import accounts as queries
from postscan.core.store.database.pages import in_pages
from postscan.core.store.store import Store
from postscan.doctor.findings import Finding, ok, problem, warning

if TYPE_CHECKING:
    from postscan.core.settings import Settings

_CHECK: Final = "accounts"


def accounts(settings: Settings) -> Iterator[Finding]:
    """Check the accounts of the settings and of the database; if it cannot be read, which has a finding, the former."""
    found = [Account(name, one.hash, one.user, one.inlets) for name, one in settings.accounts.items()]
    found += _of_database(settings)
    if not found and not any(source.accounts for source in settings.sources.values()):
        yield ok(_CHECK, "there are none")
        return
    if found and importlib.util.find_spec("argon2") is None:
        sentence = f"argon2-cffi is not installed, so that none of the {len(found)} accounts can be used"
        yield problem(_CHECK, sentence, f"pip install 'postscan[{EXTRA}]'")
        return
    wrong = [finding for one in found for finding in _of_account(one, settings)]
    wrong += _of_inlets({one.name for one in found}, settings)
    yield from wrong
    if not wrong:
        yield ok(_CHECK, f"the users, inlets and hashes of {len(found)} accounts are in order")


def _of_database(settings: Settings) -> list[Account]:
    storage = settings.storage
    if not storage.database and not (storage.data_dir / "postscan.sqlite").exists():
        return []
    try:
        if migrations.check(storage.url, busy_seconds=storage.busy_seconds):
            return []
        with contextlib.closing(Store(storage.url, busy_seconds=storage.busy_seconds)) as store:
            return list(in_pages(store.reading, queries.load_page))
    except Exception:  # noqa: BLE001  (each driver has errors of its own; `machine.records` has found this one)
        return []


def _of_account(one: Account, settings: Settings) -> Iterator[Finding]:
    name = f"account {one.name}"
    if not one.in_settings and one.name in settings.accounts:
        sentence = "does not count, since the settings have an account of this name"
        yield warning(
            name, sentence, f"postscan accounts remove {shlex.quote(one.name)}  # or [accounts] in the settings"
        )
        return
    yield from _user(name, one, settings)
    for inlet in one.inlets:
        if inlet not in (CONSOLE, *settings.sources):
            sentence = f"may be used at {inlet}, and the settings have no such inlet"
            yield warning(name, sentence, f"[sources.{inlet}]")
    yield from _hash(name, one)


def _of_inlets(known: set[str], settings: Settings) -> Iterator[Finding]:
    for inlet, source in settings.sources.items():
        for name in source.accounts:
            if name not in known:
                sentence = f"the inlet {inlet} has a user for it, and there is no such account"
                yield warning(f"account {name}", sentence, f"postscan accounts add {shlex.quote(name)} --user SID")


def _user(name: str, one: Account, settings: Settings) -> Iterator[Finding]:
    if one.sid in settings.users or settings.plugins.tables:  # a directory may have the user
        return
    sentence, fix = f"stands for {one.sid}, which the settings do not list", f'[users."{one.sid}"] name = ...'
    if settings.allow_unknown_users:
        yield warning(name, f"{sentence}: its jobs have the SID as the name of the user", fix)
    else:
        yield problem(name, f"{sentence}, and unknown users are refused", fix)


def _hash(name: str, one: Account) -> Iterator[Finding]:
    fix = "postscan accounts hash" if one.in_settings else f"postscan accounts password {shlex.quote(one.name)}"
    if not is_usable(one.hash):
        yield problem(name, "the hash of its password cannot be read by argon2, or costs too much memory or time", fix)
    elif Passwords().is_weak(one.hash):
        yield warning(name, "the hash of its password is weaker than that of a new one", fix)
