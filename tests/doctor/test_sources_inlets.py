"""What `postscan doctor` finds of inlets: their plugins, how a server has them, and what the sources say themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import databases
import pytest
from findings import bad, made, the
from plugin_names import unused
from sourced import ANNA, GUID

from postscan.core.registry.catalogue import Plugin, PluginKind, PluginState, SourceInfo
from postscan.core.settings import Settings
from postscan.core.store.database import Transaction
from postscan.core.store.sources import inlets as queries
from postscan.core.store.store import Store
from postscan.doctor import destinations, sources
from postscan.doctor.findings import Finding
from postscan.plugins.testing.runner import EXAMPLE_TIME

ABOUT = "source mail"


def with_inlet(tmp_path: Path, **keys: Any) -> Settings:
    """Return settings with the inlet `mail`, whose table has these keys as well."""
    return made(
        tmp_path,
        destinations={"archive": {"label": "Archive (Anna)", "process": GUID, "user": ANNA}},
        sources={"mail": {"plugin": "smtp", **keys}},
    )


def plugin(state: PluginState = PluginState.READY, **source: Any) -> Plugin:
    """Return the plugin of the inlet; *source* is what it declares beside title and proofs."""
    info = SourceInfo("Mail", "Takes mails.", ("device",), 5.0, **source)
    reason = "RuntimeError: it is broken" if state is PluginState.QUARANTINED else ""
    return Plugin("smtp", "postscan", "1.0", state, reason, kind=PluginKind.SOURCE, source=info)


def diagnosed(*sentences: str) -> Callable[[str], Iterable[str]]:
    """Return a diagnosis of the inlet `mail` that finds this."""
    return lambda inlet: sentences if inlet == "mail" else [f"{inlet} was asked"]


def not_asked(inlet: str) -> Iterable[str]:
    """Fail the test: a source that cannot be used is not asked for more."""
    raise AssertionError(f"{inlet} was asked")


def found(
    settings: Settings, *plugins: Plugin, diagnose: Callable[[str], Iterable[str]] | None = None
) -> list[Finding]:
    """Return the findings; the plugin of the inlet is ready, and the source finds nothing, unless they are given."""
    return list(sources.inlets(settings, plugins or (plugin(),), diagnose or diagnosed()))


def store(settings: Settings, write: Callable[[Transaction], None]) -> None:
    """Let a server have had the inlet, and write something into its row."""
    databases.migrated(settings.storage.url)
    with contextlib.closing(Store(settings.storage.url)) as opened, opened.writing() as db:
        queries.add_missing(db, ["mail"])
        write(db)


# --- the plugin of an inlet ------------------------------------------------------------------------------------------


def test_without_sources_all_is_in_order(tmp_path: Path) -> None:
    """Most servers have none."""
    (only,) = found(made(tmp_path), diagnose=not_asked)

    assert (only.check, str(only.severity), only.sentence) == ("sources", "ok", "there are none")


def test_an_inlet_that_is_in_order(tmp_path: Path) -> None:
    """Its source was asked, and found nothing."""
    (only,) = found(with_inlet(tmp_path))

    assert (only.check, str(only.severity)) == (ABOUT, "ok")
    assert only.sentence == "its plugin is ready, and its own checks passed"


def test_an_inlet_that_is_switched_off(tmp_path: Path) -> None:
    """A warning, since it may be forgotten; the setting is the fix."""
    (only,) = found(with_inlet(tmp_path, enabled=False), diagnose=not_asked)

    assert (only.check, str(only.severity), only.sentence) == (ABOUT, "warning", "is switched off")
    assert only.fix == "[sources.mail] enabled = true"


@pytest.mark.parametrize(
    ("one", "severity", "sentence", "fix"),
    [
        (
            Plugin("smtp", "postscan", "1.0", PluginState.READY),
            "problem",
            "no plugin named 'smtp' brings a source",
            "postscan plugin list",
        ),
        (plugin(PluginState.DISABLED), "warning", "its plugin smtp is disabled", "postscan plugin enable smtp"),
        (
            plugin(PluginState.QUARANTINED),
            "problem",
            "its plugin cannot be used: RuntimeError: it is broken",
            "postscan plugin info smtp",
        ),
    ],
    ids=["a filter of this name", "disabled", "quarantined"],
)
def test_a_plugin_that_cannot_be_used(tmp_path: Path, one: Plugin, severity: str, sentence: str, fix: str) -> None:
    """The source is not asked then."""
    (only,) = found(with_inlet(tmp_path), one, diagnose=not_asked)

    assert (only.check, str(only.severity), only.sentence, only.fix) == (ABOUT, severity, sentence, fix)


def test_what_the_machine_lacks_and_settings_that_are_refused(tmp_path: Path) -> None:
    """Both are problems; those of another inlet of the same source are not named here."""
    one = plugin(lacks=("aiosmtpd is not installed",), refused={"mail": "port is 0", "other": "port is 70000"})

    assert bad(found(with_inlet(tmp_path), one, diagnose=not_asked)) == [
        (ABOUT, "problem", "aiosmtpd is not installed"),
        (ABOUT, "problem", "port is 0"),
    ]


def test_what_the_source_itself_finds(tmp_path: Path) -> None:
    """Each sentence is a problem, and the settings of the inlet are the place to mend it."""
    lines = found(with_inlet(tmp_path), diagnose=diagnosed("port 25 is taken", "the certificate is expired"))

    assert [(str(one.severity), one.sentence) for one in lines] == [
        ("problem", "port 25 is taken"),
        ("problem", "the certificate is expired"),
    ]
    assert {one.fix for one in lines} == {"[sources.mail] in the settings; postscan plugin info smtp"}


def test_passwords_in_clear(tmp_path: Path) -> None:
    """A risk, and no more."""
    settings = with_inlet(tmp_path, allow_clear=True)

    assert the(found(settings)) == (ABOUT, "warning", "accepts passwords over connections without TLS")


# --- how a server has it ---------------------------------------------------------------------------------------------


def test_an_inlet_that_an_administrator_has_stopped(tmp_path: Path) -> None:
    """Visible without a server; the command starts it."""
    settings = with_inlet(tmp_path)
    store(settings, lambda db: queries.order(db, "mail", stopped=True))
    (only,) = found(settings)

    assert (str(only.severity), only.sentence) == ("warning", "an administrator has stopped it")
    assert only.fix == "postscan sources start mail"


def test_an_inlet_in_quarantine(tmp_path: Path) -> None:
    """With the reason of its last end."""
    settings = with_inlet(tmp_path)
    store(settings, lambda db: queries.write_quarantine(db, "mail", "its process ended with exit code 3"))
    (only,) = found(settings)

    assert (str(only.severity), only.sentence) == ("problem", "is in quarantine: its process ended with exit code 3")
    assert only.fix == "postscan sources start mail"


@pytest.mark.parametrize("state", ["degraded", "away", "waiting"])
def test_an_inlet_that_works_badly(tmp_path: Path, state: str) -> None:
    """In the words of its source."""
    settings = with_inlet(tmp_path)
    store(settings, lambda db: queries.write_state(db, "mail", state, "no route", EXAMPLE_TIME, pulls=False))

    assert the(found(settings)) == (ABOUT, "warning", f"is {state}: no route")


@pytest.mark.parametrize("state", ["starting", "ready", "finished", ""])
def test_an_inlet_that_works(tmp_path: Path, state: str) -> None:
    """Nothing is said of it, whatever its source adds."""
    settings = with_inlet(tmp_path)
    store(settings, lambda db: queries.write_state(db, "mail", state, "12 mails", EXAMPLE_TIME, pulls=False))

    assert bad(found(settings)) == []


@pytest.mark.parametrize("database", ["", "sqlite:////proc/nowhere/x"], ids=["no tables", "not readable"])
def test_a_database_that_cannot_be_read_is_the_finding_of_another_check(tmp_path: Path, database: str) -> None:
    """The inlet is checked as far as that goes, and nothing is migrated."""
    settings = with_inlet(tmp_path)
    file = settings.storage.data_dir / "postscan.sqlite"
    file.parent.mkdir()
    file.touch()
    storage = settings.storage.model_copy(update={"database": database})

    assert bad(found(settings.model_copy(update={"storage": storage}))) == []
    assert file.stat().st_size == 0


# --- the whole check -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "line"),
    [
        (1.0, (ABOUT, "ok", "its plugin is ready, and its own checks passed")),
        (0.0, (ABOUT, "problem", "every is 0.0; expected seconds")),
    ],
    ids=["in order", "refused"],
)
def test_the_source_is_loaded_in_a_worker_with_the_settings_of_its_inlet(
    tmp_path: Path, every: float, line: tuple[str, str, str]
) -> None:
    """A real plugin; its code refuses the settings, or has nothing to add."""
    settings = with_inlet(tmp_path, plugin="basket", folder=str(tmp_path), every=every)
    plugins = settings.plugins.model_copy(update={"disabled": (*unused(), "acme")})
    lines = destinations.destinations(settings.model_copy(update={"plugins": plugins}))

    (only,) = [one for one in lines if one.check == ABOUT]
    assert (only.check, str(only.severity)) == line[:2]
    assert line[2] in only.sentence
