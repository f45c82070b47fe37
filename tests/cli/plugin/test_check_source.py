"""`postscan plugin check` of a source: what it finds without an origin, and that it takes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import documents
import pytest
import typer
from plugin_names import others
from typer.testing import CliRunner, Result

from postscan.cli.plugin.check import check

BROKEN = """
from postscan.plugins import Source, hookimpl

class Broken(Source):
    title = "Broken"
    proofs = ("local",)
    def run(self, inlet, token):
        CODE

@hookimpl
def postscan_sources():
    return [Broken()]
"""


@pytest.fixture
def postscan_check(settings_file: Path) -> Callable[..., Result]:
    """Run the command by itself, with the test's own settings, in which every other plugin is disabled."""
    app = typer.Typer()
    app.command()(check)

    def run(name: str, *arguments: object, disabled: bool = False) -> Result:
        unwanted = others() if disabled else others(name)
        settings_file.write_text(f"plugins.disabled = {unwanted}\n{settings_file.read_text()}")
        return CliRunner().invoke(app, [name, *map(str, arguments)], obj=settings_file)

    return run


@pytest.fixture
def inlets(settings_file: Path, tmp_path: Path) -> Callable[..., None]:
    """Add inlets of the outside source to the settings: a name and more of its table."""
    settings_file.write_text(
        f"{settings_file.read_text()}"
        '[destinations.all]\nlabel = "All"\nprocess = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"\n'
    )

    def add(**tables: str) -> None:
        for name, more in tables.items():
            table = f'[sources.{name}]\nplugin = "basket"\nfolder = "{tmp_path}"\n{more}\n'
            settings_file.write_text(f"{settings_file.read_text()}{table}")

    return add


def test_each_inlet_of_a_good_source_has_no_defects(
    postscan_check: Callable[..., Result], inlets: Callable[..., None], tmp_path: Path
) -> None:
    """With its own settings; and what is at its origin stays there."""
    inlets(desk="", door="every = 0.1")
    (tmp_path / "page.png").write_bytes(b"page")
    result = postscan_check("basket")

    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "desk: no defects found (2 processes; nothing was taken)",
        "door: no defects found (2 processes; nothing was taken)",
    ]
    assert (tmp_path / "page.png").exists()


@pytest.mark.parametrize(
    ("behaviour", "line"),
    [
        ("raise", "desk: ends by itself: it ended by itself: RuntimeError: the basket has a hole"),
        ("return", "desk: ends by itself: it ended by itself: Basket.run returned before it was stopped"),
        ("exit", "desk: ends by itself: it ended by itself: it said nothing"),
        ("deaf", "desk: does not stop in time: it was stopped, and it had not ended 7 s later: wait by token.wait"),
    ],
)
def test_a_defect_is_a_line_and_the_exit_code_1(
    postscan_check: Callable[..., Result], inlets: Callable[..., None], behaviour: str, line: str
) -> None:
    """Which inlet, what kind, and what was seen."""
    inlets(desk=f'behaviour = "{behaviour}"')
    result = postscan_check("basket")

    assert result.exit_code == 1
    assert result.stdout.startswith(line)
    assert len(result.stdout.splitlines()) == 1


def test_a_source_that_cannot_be_loaded_is_told_why(postscan_check: Callable[..., Result], site_packages: Path) -> None:
    """By the sentence for which it is quarantined."""
    documents.install(site_packages, "broken_module", "import no_such_thing", "broken", "postscan.sources")
    result = postscan_check("broken")

    assert result.exit_code == 1
    assert result.stdout == "import error: ModuleNotFoundError: No module named 'no_such_thing'\n"


def test_a_source_without_an_inlet_is_run_without_settings(
    postscan_check: Callable[..., Result], site_packages: Path
) -> None:
    """If that is enough for it."""
    code = BROKEN.replace("CODE", "token.wait(60)")
    documents.install(site_packages, "broken_module", code, "broken", "postscan.sources")
    result = postscan_check("broken", "--json")

    (report,) = json.loads(result.stdout)
    assert result.exit_code == 0
    assert report == {"inlet": "", "defects": [], "untried": "", "processes": 2, "origins": 0}


def test_what_could_not_be_tried_is_the_exit_code_2(postscan_check: Callable[..., Result]) -> None:
    """Its settings are missing, which is no defect."""
    result = postscan_check("basket")

    assert result.exit_code == 2
    assert "could not be tested: it did not begin: [sources.under-test]: " in result.stdout


def test_a_disabled_source_is_not_tried(postscan_check: Callable[..., Result]) -> None:
    """None of its code is imported."""
    result = postscan_check("basket", disabled=True)

    assert result.exit_code == 2
    assert "it is disabled; postscan plugin enable basket" in result.stdout


def test_the_settings_may_come_from_another_file(postscan_check: Callable[..., Result], tmp_path: Path) -> None:
    """One that the author has for trying it."""
    path = tmp_path / "try.toml"
    path.write_text(
        '[destinations.all]\nlabel = "All"\nprocess = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"\n'
        f'[sources.try]\nplugin = "basket"\nfolder = "{tmp_path}"\n'
    )
    result = postscan_check("basket", "--settings", path)

    assert result.stdout == "try: no defects found (2 processes; nothing was taken)\n"
