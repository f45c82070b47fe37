"""Every sample of the documents runs: as a plugin of a running engine, as a test, or as settings."""

from __future__ import annotations

import gzip
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import documents
import pytest
from conftest import ANNA
from documents import blocks
from works import SID, until

from postscan import migrations
from postscan.core.assembly import Core
from postscan.core.model import Job, JobToken
from postscan.core.registry import PluginState
from postscan.core.settings import Settings
from postscan.core.states import FilterState, JobState
from postscan.plugins import fileshare
from postscan.soap.processes import ProcessFolder

GUIDE = "docs/writing-a-filter.md"
SMALL, SLOW, TEST, TOOL = blocks(GUIDE, "python")
PACKAGE, SETTINGS = (tomllib.loads(block) for block in blocks(GUIDE, "toml"))
(PROCESS,) = blocks(GUIDE, "xml")
GUID = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
PAGES = (b"the first page" * 100, b"the second page" * 100, b"the third page" * 100)


class Reader:
    """Somebody who does what the guide says, in a folder of their own."""

    def __init__(self, home: Path) -> None:
        self.scans = home / "scans"
        self._home = home

    def install(self, code: str) -> None:
        """Install this code as the plugin that the guide's pyproject.toml describes."""
        ((name, module),) = PACKAGE["project"]["entry-points"]["postscan.filters"].items()
        assert PACKAGE["tool"]["setuptools"]["py-modules"] == [module]
        site = self._home / "site"
        site.mkdir()
        sys.path.append(str(site))
        documents.install(site, module, code, name)

    def leave(self) -> None:
        """Remove the plugin again."""
        if str(self._home / "site") in sys.path:
            sys.path.remove(str(self._home / "site"))
        sys.modules.pop("acme_folder", None)

    def core(self, process: str = PROCESS) -> Core:
        """Return an engine with the guide's settings and its scan process."""
        self.scans.mkdir()
        table: dict[str, Any] = SETTINGS | {
            "storage": SETTINGS["storage"] | {"data_dir": str(self._home / "data")},
            "filters": {"folder": SETTINGS["filters"]["folder"] | {"folder": str(self.scans)}},
        }
        settings = Settings.model_validate(table)
        processes = ProcessFolder(settings.processes_dir)
        processes.add(process.encode(), display_name="Folder", identifier=GUID)
        migrations.upgrade(settings.storage.url)
        return Core(settings, processes)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody who reads the guide."""
    reader = Reader(tmp_path)
    yield reader
    reader.leave()


def send(core: Core) -> JobToken:
    """Make a job of the guide's process, send the pages, end it."""
    process = ProcessFolder(core.settings.processes_dir).find(GUID)
    assert process is not None
    token = core.service.create(ANNA, SID, GUID, process.instructions)
    for number, page in enumerate(PAGES, start=1):
        with core.service.receiving(token, ANNA, number, "png") as arrival:
            arrival.write(page)
    core.service.end(token, ANNA)
    return token


def ended(core: Core, token: JobToken) -> Job:
    """Wait until the job has ended, and return it."""
    until(lambda: core.service.job(token, ANNA).state.ended)
    return core.service.job(token, ANNA)


def test_the_guides_filter_copies_every_page(reader: Reader) -> None:
    """Installed, configured and run as the guide says."""
    reader.install(SMALL)
    core = reader.core()
    with core.running() as catalogue:
        ready = [plugin.name for plugin in catalogue.plugins if plugin.state is PluginState.READY]
        job = ended(core, send(core))
    core.close()

    assert "folder" in ready
    assert (job.state, job.steps[0].state) == (JobState.COMPLETED, FilterState.SUCCEEDED)
    assert sorted(path.read_bytes() for path in reader.scans.iterdir()) == sorted(PAGES)


def test_the_slow_one_is_cancelled_between_its_pages(reader: Reader) -> None:
    """What was delivered stays, and is whole."""
    fast = "        for document in job.documents:\n" + SMALL.partition("for document in job.documents:\n")[2]
    loop = fast.partition("\n\n\n")[0] + "\n"
    assert loop in SMALL
    reader.install(SMALL.replace(loop, SLOW))
    core = reader.core()
    with core.running():
        token = send(core)
        until(lambda: list(reader.scans.glob("*.png")))
        asked = time.monotonic()
        core.service.cancel(token, ANNA)
        job = ended(core, token)
        took = time.monotonic() - asked
    core.close()

    assert (job.state, job.steps[0].state) == (JobState.CANCELED, FilterState.CANCELED)
    assert [path.read_bytes() for path in reader.scans.iterdir()] == [PAGES[0]]
    assert took < 1  # shorter than the nap that it was in


def test_the_guides_test_passes(reader: Reader, tmp_path: Path) -> None:
    """As pytest would run it."""
    reader.install(SMALL)
    space: dict[str, Any] = {}
    exec(compile(TEST, GUIDE, "exec"), space)
    (test,) = (value for name, value in space.items() if name.startswith("test_"))

    test(tmp_path)


def test_the_guides_test_notices_a_filter_that_leaves_half_a_page(reader: Reader, tmp_path: Path) -> None:
    """A test that cannot fail would be a bad example."""
    half = 'Path(job.settings["folder"], f"{document.id}.png").write_bytes(b"half"); token.check()'
    reader.install(SMALL.replace('job.deliver(document, Path(job.settings["folder"]))', half))
    space: dict[str, Any] = {}
    exec(compile(TEST, GUIDE, "exec"), space)
    (test,) = (value for name, value in space.items() if name.startswith("test_"))

    with pytest.raises(AssertionError):
        test(tmp_path)


def test_the_filter_with_a_tool_packs_every_page(reader: Reader) -> None:
    """And gunzip gets the pages back."""
    reader.install(TOOL)
    core = reader.core(PROCESS.replace("urn:acme-folder", "urn:acme-pack"))
    with core.running():
        job = ended(core, send(core))
    core.close()

    assert (job.state, job.steps[0].state, job.steps[0].detail) == (JobState.COMPLETED, FilterState.SUCCEEDED, "")
    assert sorted(gzip.decompress(path.read_bytes()) for path in reader.scans.iterdir()) == sorted(PAGES)
    assert {path.suffixes[-1] for path in reader.scans.iterdir()} == {".gz"}


def test_the_filter_with_a_tool_refuses_settings_that_cannot_be_used(reader: Reader) -> None:
    """The catalogue says so before any job."""
    reader.install(TOOL)
    core = reader.core()
    core.settings = core.settings.model_copy(update={"filters": {"folder": {"folder": "scans"}}})
    (plugin,) = (one for one in core.catalogue().plugins if one.name == "folder")
    core.close()

    assert plugin.reason == "[filters.folder]: folder: 'scans' is not an absolute path"


def test_the_readmes_filter_is_the_guides() -> None:
    """One sample, shown twice."""
    assert blocks("README.md", "python") == [SMALL]


def test_the_examples_of_settings_can_be_used() -> None:
    """They are what administrators begin with."""
    first, secure = (Settings.model_validate(tomllib.loads(one)) for one in blocks("docs/administration.md", "toml"))
    shares = fileshare.Settings(**first.filters["fileshare"]).shares

    assert shares == {r"\\files\scans": "/srv/scans"}
    assert first.users[SID].name == "ann@fabrikam.example"
    assert secure.tls.on
