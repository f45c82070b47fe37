"""`postscan plugin new`: a package that is complete, and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from documents import ROOT
from typer.testing import CliRunner, Result

from postscan.cli.app import app


def written(folder: Path) -> list[str]:
    """Return the files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def new(*arguments: object) -> Result:
    """Call `postscan plugin new`."""
    return CliRunner().invoke(app, ["plugin", "new", *map(str, arguments)])


def test_a_new_package_has_everything_that_it_needs(tmp_path: Path) -> None:
    """What becomes of it is seen in tests/acceptance/test_new_plugin.py."""
    result = new("acme-letter", "--folder", tmp_path / "letter")

    assert result.exit_code == 0
    assert written(tmp_path / "letter") == [
        *(".gitignore", "Makefile", "README.md", "pyproject.toml", "src/acme_letter.py", "tests/test_acme_letter.py"),
        *("try/postscan.toml", "try/process.xml"),
    ]
    assert f"cd {tmp_path}/letter" in result.stdout


def test_a_new_source_has_everything_that_it_needs(tmp_path: Path) -> None:
    """What becomes of it is seen in tests/acceptance/test_new_source.py."""
    result = new("acme-letter", "--source", "--folder", tmp_path / "letter")

    assert result.exit_code == 0
    assert written(tmp_path / "letter") == [
        *(".gitignore", "Makefile", "README.md", "pyproject.toml", "src/acme_letter.py", "tests/test_acme_letter.py"),
        "try/postscan.toml",
    ]


def test_the_folder_is_named_after_the_package_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the current folder."""
    monkeypatch.chdir(tmp_path)
    new("acme-letter")

    assert [path.name for path in tmp_path.iterdir()] == ["acme-letter"]


@pytest.mark.parametrize(("option", "group"), [([], "postscan.filters"), (["--source"], "postscan.sources")])
def test_nothing_is_left_to_be_filled_in(tmp_path: Path, option: list[str], group: str) -> None:
    """Every word of the template has become one of the package's own."""
    new("acme-letter", *option, "--folder", tmp_path)
    texts = [(tmp_path / name).read_text() for name in written(tmp_path)]

    assert not any("{{" in text or "}}" in text for text in texts)
    package = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    assert package["project"]["entry-points"] == {group: {"acme-letter": "acme_letter"}}
    assert "license" not in package["project"]


@pytest.mark.parametrize("option", [[], ["--source"]])
@pytest.mark.parametrize("command", [["check"], ["format", "--diff"]])
def test_the_new_package_is_written_in_the_style_of_ours(tmp_path: Path, command: list[str], option: list[str]) -> None:
    """What authors begin with is what they go on with."""
    new("acme-letter", *option, "--folder", tmp_path)
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", ROOT / "pyproject.toml"]
    # Its tests are tests, as ours are: they may assert.
    finished = subprocess.run(
        [*ruff, *(["--ignore", "S101"] if command == ["check"] else []), tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("present", ["README.md", "src/acme_letter.py", "try/process.xml"])
def test_no_file_that_is_there_is_written_over(tmp_path: Path, present: str) -> None:
    """And then nothing else is written either."""
    (tmp_path / present).parent.mkdir(exist_ok=True)
    (tmp_path / present).write_text("mine")
    result = new("acme-letter", "--folder", tmp_path)

    assert result.exit_code == 1
    assert result.stderr == f"postscan: {tmp_path / present}: already exists, and would be overwritten\n"
    assert written(tmp_path) == [present]
    assert (tmp_path / present).read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", "Acme", "acme_letter", "-acme", "acme-", "a--b", "1st", "a.b", "../x", "a/b", "é", "lambda", "a" * 41]
)
def test_a_name_that_no_package_could_have_is_refused(tmp_path: Path, name: str) -> None:
    """A wrong command line: it says what a name may be."""
    result = new("--folder", tmp_path, "--", name)

    assert result.exit_code == 2
    assert "expected lower-case letters, digits and single hyphens" in " ".join(result.stderr.split())
    assert written(tmp_path) == []


@pytest.mark.parametrize("name", ["json", "pytest", "acme-filters"])
def test_a_name_that_another_module_has_is_refused(tmp_path: Path, name: str) -> None:
    """One of the two could not be imported."""
    result = new(name, "--folder", tmp_path)

    assert result.exit_code == 2
    assert f"Python already has a module {name.replace('-', '_')}: " in result.stderr
