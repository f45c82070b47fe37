"""All checks in one place: those of this machine for pages, the others on request, both together for the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from postscan.core.settings import Settings
from postscan.doctor import examination
from postscan.doctor.findings import Finding, problem

SECRET = "correct-horse-battery"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A settings file with a password."""
    file = tmp_path / "postscan.toml"
    file.write_text(f'[storage]\ndata_dir = "data"\n[filters.email]\npassword = "{SECRET}"\n')
    file.chmod(0o600)
    return file


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the checks in their order; each check only finds its name."""
    real = list(examination._checks(None, None))

    def check(name: str) -> examination.Check:
        return lambda _settings: iter([Finding(name, "ok", f"{name} {SECRET}")])  # type: ignore[arg-type]

    monkeypatch.setattr(examination, "_checks", lambda *_: {name: check(name) for name in real})
    return real


def test_each_check_is_of_this_machine_or_of_the_others(names: list[str], path: Path) -> None:
    """Nothing is left out, and nothing done twice."""
    machine = [one.check for one in examination.examine_machine(path)]
    others = [one.check for one in examination.examine_others(path)]

    assert [one.check for one in examination.examine(path)] == names
    assert sorted([*machine, *others]) == sorted(names)
    assert machine
    assert others


def test_no_finding_has_a_secret_of_the_settings(names: list[str], path: Path) -> None:
    """Neither in the sentence nor in the fix."""
    assert {one.sentence for one in examination.examine(path)} == {f"{name} ***" for name in names}


def test_a_check_that_fails_has_a_finding_and_the_others_go_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it could not do."""

    def fail(_settings: Settings) -> None:
        raise OSError(f"no {SECRET}")

    checks = {"one": fail, "two": lambda _settings: iter([problem("two", "is wrong", f"mend {SECRET}")])}
    monkeypatch.setattr(examination, "_checks", lambda *_: checks)
    found = list(examination.examine(path))

    assert [(one.check, one.severity) for one in found] == [("one", "problem"), ("two", "problem")]
    assert found[0].sentence == "could not be checked: no ***"
    assert found[1].fix == "mend ***"


def test_settings_that_cannot_be_used_are_the_only_finding(tmp_path: Path) -> None:
    """The other checks need them."""
    path = tmp_path / "postscan.toml"
    path.write_text("[server]\nprot = 1\n")

    assert [one.check for one in examination.examine(path)] == ["settings file"]


def test_the_checks_of_this_machine_need_no_server_and_no_network(path: Path) -> None:
    """Pages run them: they start no process and open no connection."""
    assert {one.check for one in examination.examine_machine(path)} >= {"settings file", "data folder", "clock"}
