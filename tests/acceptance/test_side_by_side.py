"""A broken, an outdated and a disabled plugin beside good ones: the server starts, and the good ones work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import commands
import documents
import pytest
from acceptance.scanning import Scanner
from acceptance.server import Server, running

BROKEN = "import a_library_that_nobody_has\n"
OUTDATED = """
from postscan.plugins import Filter, hookimpl


class Old(Filter):
    dialect = "urn:old"
    title = "Old"
    api = 0

    def run(self, job, token):
        token.check()


@hookimpl
def postscan_filters():
    return [Old()]
"""
UNWANTED = """
import pathlib

(pathlib.Path(__file__).parent / "imported").touch()
"""


@dataclass
class House:
    """A server with three plugins that are no good, and their folder."""

    server: Server
    plugins: Path

    def listed(self) -> dict[str, str]:
        """Return what `postscan plugin list` says of each plugin, by name."""
        said = commands.run(["--config", str(self.server.home / "postscan.toml"), "plugin", "list"], check=True).stdout
        return {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if line[:1].isalpha()}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All of them installed before the server starts."""
    plugins = tmp_path_factory.mktemp("plugins")
    for name, code in (("broken", BROKEN), ("outdated", OUTDATED), ("unwanted", UNWANTED)):
        documents.install(plugins, f"{name}_plugin", code, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}:{plugins}")
        with running(tmp_path_factory.mktemp("server"), {"plugins": {"disabled": ["unwanted"]}}) as server:
            yield House(server, plugins)


def test_a_good_filter_works_beside_them(house: House) -> None:
    """The server has started, and a job goes through it."""
    scanner = Scanner(house.server)
    token = scanner.start("copy")

    assert scanner.ended(token).reasons == ("PostScanJobCompletedSuccessfully",)


def test_the_list_names_each_with_its_reason(house: House) -> None:
    """And the good ones are ready."""
    listed = house.listed()

    assert listed["broken"].startswith("1.0 broken_plugin quarantined: ModuleNotFoundError: No module named")
    assert listed["outdated"].startswith(
        "1.0 outdated_plugin quarantined: Old.api is 0; this postscan offers version 1"
    )
    assert listed["unwanted"] == "1.0 unwanted_plugin disabled"
    assert all(listed[good].split()[2] == "ready" for good in ("acme", "fileshare", "email"))


def test_of_the_disabled_one_no_line_is_run(house: House) -> None:
    """Neither by the server nor by the list; it would leave a file."""
    house.listed()

    assert not (house.plugins / "imported").exists()
