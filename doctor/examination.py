"""All checks of an installation in their order, without the secrets of its settings in what they find."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from postscan.core import settings as settings_file
from postscan.core.errors import PostscanError, SettingsError
from postscan.core.registry import redaction
from postscan.core.settings import Settings
from postscan.doctor import accounts, certificates, destinations, discovery, image_store, machine
from postscan.doctor.findings import Finding, problem

if TYPE_CHECKING:
    from postscan.doctor.discovery import SendProbe

OF_MACHINE: Final = ("settings file", "data folder", "TLS certificate", "plain HTTP", "clock", "spool", "Linux")

Check = Callable[[Settings], Iterator[Finding]]

SettingsSource = Path | Settings | None
"""A settings file, which is read; or settings; None: the default settings."""


def examine(source: SettingsSource, probe: SendProbe | None = None) -> Iterator[Finding]:
    """Run all checks of these settings in order; *probe* sends a Probe, None: none is sent.

    A settings file that cannot be used has the only finding. A check that fails has one that says so.
    """
    return _findings(source, _checks(source, probe))


def examine_machine(source: SettingsSource) -> Iterator[Finding]:
    """Run only the checks of files of this machine and of its kernel; they take no longer than a page may take."""
    checks = _checks(source, None)
    return _findings(source, {name: checks[name] for name in OF_MACHINE})


def examine_others(source: SettingsSource, probe: SendProbe | None = None) -> Iterator[Finding]:
    """Run the checks that `examine_machine` leaves out: of server, database, accounts, plugins and destinations."""
    checks = _checks(source, probe)
    return _findings(source, {name: check for name, check in checks.items() if name not in OF_MACHINE})


def secrets(settings: Settings) -> frozenset[str]:
    """Return what must not be shown: secrets of plugins and of OIDC, the database's password, hashes of passwords."""
    quoted = urlsplit(settings.storage.database).password or ""
    hashes = {account.hash for account in settings.accounts.values()}
    keys = (settings.console.oidc.client_secret, settings.spool.access_key, settings.spool.secret_key)
    texts = {text for text in (quoted, unquote(quoted), *keys) if text}
    inlets = {name: source.table for name, source in settings.sources.items()}
    tables = (settings.filters, inlets, settings.plugins.tables)
    return frozenset[str]().union(texts, hashes, *(redaction.secrets(None, one) for one in tables))


def _findings(source: SettingsSource, checks: dict[str, Check]) -> Iterator[Finding]:
    try:
        settings = source if isinstance(source, Settings) else settings_file.load(source)
    except SettingsError as error:
        yield problem("settings file", str(error), "docs/settings.md has all keys; fix this before the other checks")
        return
    hidden = secrets(settings)
    for name, check in checks.items():
        try:
            for finding in check(settings):
                yield _without(hidden, finding)
        except (PostscanError, OSError, ValueError) as error:
            failed = problem(name, f"could not be checked: {error}", "fix that, and run the doctor again")
            yield _without(hidden, failed)


def _checks(source: SettingsSource, probe: SendProbe | None) -> dict[str, Check]:
    path = source if isinstance(source, Path) else None
    return {
        "settings file": lambda settings: machine.settings_file(path, settings),
        "data folder": machine.data_folder,
        "server": machine.server,
        "discovery": lambda settings: discovery.discovery(settings, probe),
        "TLS certificate": certificates.certificates,
        "plain HTTP": machine.plain_http,
        "clock": machine.clock,
        "database": machine.records,
        "accounts": accounts.accounts,
        "image store": image_store.image_store,
        "spool": machine.spool,
        "Linux": machine.linux,
        "plugins": destinations.destinations,
    }


def _without(secrets: frozenset[str], finding: Finding) -> Finding:
    sentence, fix = (redaction.without(secrets, text) for text in (finding.sentence, finding.fix))
    return dataclasses.replace(finding, sentence=sentence, fix=fix)
