"""What the documents and the Makefile install: pinned versions with their hashes, and nothing else."""

from __future__ import annotations

import re
import shlex
import tomllib

import pytest
from documents import ROOT, blocks


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return version and hashes by name of package."""
    name, found = "", dict[str, tuple[str, set[str]]]()
    for line in (ROOT / lock).read_text().splitlines():
        if line.startswith("    --hash="):
            found[name][1].add(line.strip().rstrip(" \\"))
        else:
            name, _, version = line.partition(" ")[0].partition("==")
            found[name] = (version, set())
    return {name: (version, frozenset(hashes)) for name, (version, hashes) in found.items()}


def test_what_servers_install_is_a_part_of_what_is_tested() -> None:
    """Each package of the server's lock has a hash, and is in the lock of the tests: the same version and files."""
    tested, served = pins("requirements.lock"), pins("requirements-server.lock")

    assert {name: tested.get(name) for name in served} == served
    assert all(hashes for _, hashes in served.values())
    assert {"lxml", "uvicorn", "psycopg", "pikepdf", "setuptools"} <= set(served)
    assert {"pytest", "mypy", "scikit-image"}.isdisjoint(served)


@pytest.mark.parametrize("page", ["README.md", "docs/administration.md", "docs/first-scan.md"])
def test_the_documents_install_the_lock_of_the_server(page: str) -> None:
    """By hashes; what is installed without is the checkout itself, alone.

    The lock is complete. Without `--no-deps` pip refuses it: it compares a name with an extra to one without.
    """
    commands = [line for code in blocks(page, "console") for line in code.splitlines() if "pip install" in line]

    assert [shlex.split(line)[3:] for line in commands] == [
        ["--no-deps", "--require-hashes", "--requirement", "requirements-server.lock"],
        ["--no-deps", "--no-build-isolation", "."],
    ]


def test_make_installs_nothing_without_a_hash() -> None:
    """uv, which installs all the others, as well."""
    recipe = [line for line in (ROOT / "Makefile").read_text().splitlines() if re.search(r"pip (install|sync)", line)]

    assert len(recipe) == 3
    assert [line for line in recipe if "--require-hashes" not in line and "--no-deps" not in line] == []


def test_the_lock_has_the_hashes_of_uv() -> None:
    """The Makefile takes its lines from there."""
    version, hashes = pins("requirements.lock")["uv"]

    assert re.fullmatch(r"[0-9.]+", version)
    assert hashes


def test_the_newest_heading_of_the_changelog_is_the_version() -> None:
    """Or what was not released yet, above it."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert next(name for name in headings if name != "Unreleased") == version
    assert "Unreleased" not in headings[1:]
