"""Every sample of the documents runs: as a plugin of a running engine, as a test, or as settings."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import importlib
import re
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import databases
import documents
import pytest
from conftest import ANNA
from documents import blocks
from plugin_names import unused
from works import SID, until

from postscan.core.engine import Engine
from postscan.core.filters import loader
from postscan.core.filters.cancellation import CancellationToken, Cancelled, CancelSource
from postscan.core.model.job import Job, JobToken
from postscan.core.model.states import FilterState, JobState
from postscan.core.registry.catalogue import PluginKind, PluginState
from postscan.core.service.accounts.passwords import is_usable
from postscan.core.settings import Settings
from postscan.plugins.filters import fileshare
from postscan.plugins.testing import run_filter
from postscan.soap.processes.folder import ProcessFolder

GUIDE = "docs/writing-a-filter.md"
SMALL, SLOW, TYPED, ONCE, TOOL = blocks(GUIDE, "python")
TESTS = blocks("docs/testing-your-filter.md", "python")
LOOP, CUT, ANNOUNCE = blocks("docs/cancelling-well.md", "python")
PACKAGE, SETTINGS = (tomllib.loads(block) for block in blocks(GUIDE, "toml"))
PROCESS, ASKED = blocks(GUIDE, "xml")
GUID = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"
PAGES = (b"the first page" * 100, b"the second page" * 100, b"the third page" * 100)


class Reader:
    """Follows the guide in a folder of its own."""

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

    def core(self, process: str = PROCESS) -> Engine:
        """Return an engine with the guide's settings and its scan process."""
        self.scans.mkdir()
        table: dict[str, Any] = SETTINGS | {
            "storage": SETTINGS["storage"] | {"data_dir": str(self._home / "data")},
            "filters": {"folder": SETTINGS["filters"]["folder"] | {"folder": str(self.scans)}},
            "plugins": {"disabled": unused("folder")},
        }
        settings = Settings.model_validate(table)
        processes = ProcessFolder(settings.processes_dir)
        processes.add(process.encode(), display_name="Folder", identifier=GUID)
        databases.migrated(settings.storage.url)
        return Engine(settings, processes)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A reader of the guide in an empty folder."""
    reader = Reader(tmp_path)
    yield reader
    reader.leave()


def send(core: Engine) -> JobToken:
    """Make a job of the guide's process, send the pages, end it."""
    process = ProcessFolder(core.settings.processes_dir).find(GUID)
    assert process is not None
    token = core.service.create(ANNA, SID, GUID, process.instructions)
    for number, page in enumerate(PAGES, start=1):
        with core.service.open_image(token, ANNA, number, "png") as image:
            image.write(page)
    core.service.end(token, ANNA)
    return token


def ended(core: Engine, token: JobToken) -> Job:
    """Wait until the job has ended, and return it."""
    until(lambda: core.service.job(token, ANNA).state.ended)
    return core.service.job(token, ANNA)


def test_the_guides_filter_copies_every_page(reader: Reader) -> None:
    """Installed, configured and run as in the guide."""
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
    assert SLOW.count("token.wait(1)") == 1
    nap = 120  # seconds, instead of 1, behind the first page: a busy machine needs some of them for the cancel itself
    code = SMALL.replace(loop, SLOW.replace("token.wait(1)", f"token.wait({nap} if document.id > 1 else 0)"))
    assert code.count("    title = ") == 1
    reader.install(code.replace("    title = ", f"    grace = {nap}.0\n    title = "))
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
    assert took < nap / 2  # the cancel ends the nap


SMALL_DELIVERS = 'job.deliver(document, Path(job.settings["folder"]))'
TYPED_DELIVERS = "job.deliver(document, Path(job.settings.folder), below=below)"


@pytest.mark.parametrize(
    ("filter", "sample"), [(SMALL, TESTS[0]), (SMALL, TESTS[1]), (TYPED, TESTS[2])], ids=["run", "job", "contract"]
)
def test_the_guides_tests_pass(reader: Reader, tmp_path: Path, filter: str, sample: str) -> None:
    """As pytest would run them."""
    reader.install(filter)

    only_test(sample)(tmp_path)


@pytest.mark.parametrize(
    ("filter", "line", "folder", "sample"),
    [
        (SMALL, SMALL_DELIVERS, 'job.settings["folder"]', TESTS[0]),
        (TYPED, TYPED_DELIVERS, "job.settings.folder", TESTS[2]),
    ],
    ids=["run", "contract"],
)
def test_the_guides_tests_notice_a_filter_that_leaves_half_a_page(
    reader: Reader, tmp_path: Path, filter: str, line: str, folder: str, sample: str
) -> None:
    """A test that cannot fail would be a bad example."""
    half = f'Path({folder}, f"{{document.id}}.png").write_bytes(b"half"); token.check()'
    assert line in filter
    reader.install(filter.replace(line, half))

    with pytest.raises(AssertionError):
        only_test(sample)(tmp_path)


def only_test(code: str) -> Callable[[Path], None]:
    """Return the one test of a sample."""
    space: dict[str, Any] = {}
    exec(compile(code, GUIDE, "exec"), space)
    (test,) = (value for name, value in space.items() if name.startswith("test_"))
    return test


@pytest.mark.parametrize(("asked", "folders"), [("user", 1), ("nothing", 0)])
def test_the_filter_with_instructions_sorts_as_it_is_asked(reader: Reader, asked: str, folders: int) -> None:
    """Its instructions come from the scan process, its settings from the administrator."""
    reader.install(TYPED)
    core = reader.core(PROCESS.replace("<psp:Instructions/>", ASKED.replace(">user<", f">{asked}<")))
    with core.running():
        job = ended(core, send(core))
    core.close()

    assert (job.state, job.steps[0].state, job.steps[0].detail) == (JobState.COMPLETED, FilterState.SUCCEEDED, "")
    assert sorted(path.read_bytes() for path in reader.scans.rglob("*.png")) == sorted(PAGES)
    assert len([path for path in reader.scans.iterdir() if path.is_dir()]) == folders


def test_the_filter_with_settings_refuses_those_that_cannot_be_used(reader: Reader) -> None:
    """The catalogue has the reason before any job."""
    reader.install(TYPED)
    core = reader.core()
    core.settings = core.settings.model_copy(update={"filters": {"folder": {"folder": "scans"}}})
    folders = [one for one in core.catalogue().plugins if one.name == "folder"]
    (plugin,) = (one for one in folders if one.kind is PluginKind.FILTERS)
    core.close()

    assert plugin.reason == "[filters.folder]: folder: 'scans' is not an absolute path"


def test_the_filter_that_changes_the_pages_lets_equal_ones_go_on_once(reader: Reader, tmp_path: Path) -> None:
    """The first of them."""
    reader.install(ONCE)
    pages = [tmp_path / f"{number}.png" for number in range(3)]
    for page, content in zip(pages, (b"one", b"two", b"one"), strict=True):
        page.write_bytes(content)
    module = importlib.import_module("acme_folder")
    result = run_filter(module.Once(), pages)

    assert [(one.id, one.content) for one in result.documents or []] == [(1, b"one"), (2, b"two")]


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


def test_a_slow_loop_and_a_silent_peer_are_left_at_once(tmp_path: Path) -> None:
    """The two small functions of the page on cancelling."""
    space: dict[str, Any] = {}
    for code in (LOOP, CUT):
        exec(compile(code, "docs/cancelling-well.md", "exec"), space)
    with CancelSource() as source, socket.create_server(("127.0.0.1", 0)) as silent:
        token = CancellationToken.open(source.page)
        assert space["rotated"]([[1, 2], [3, 4]], token) == [[4, 3], [2, 1]]
        threading.Timer(0.2, source.cancel, ["enough"]).start()
        with pytest.raises(Cancelled):
            space["exchanged"](silent.getsockname(), b"are you there?", token)
        with pytest.raises(Cancelled):
            space["rotated"]([[1, 2], [3, 4]], token)


def test_the_filter_that_announces_posts_each_page_once_under_its_key(reader: Reader, tmp_path: Path) -> None:
    """And fails for a host that does not answer."""
    reader.install(ANNOUNCE)
    module = importlib.import_module("acme_folder")
    page = tmp_path / "page.png"
    page.write_bytes(b"page")
    heard: list[tuple[str | None, bytes]] = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append((self.headers["Idempotency-Key"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        result = run_filter(module.Announce(), [page, page], settings={"url": url})
        server.shutdown()
    silent = run_filter(module.Announce(), [page], settings={"url": url})

    digest = hashlib.sha256(b"page").hexdigest().encode()
    assert heard == [(name, digest) for _, _, name in result.published]
    assert len(heard) == 2
    assert (silent.outcome, silent.published) == (FilterState.ERRORS, [])


def test_the_tables_of_the_shipped_filters_can_be_used(tmp_path: Path) -> None:
    """As they stand, but for the files that they name."""
    seen = []
    for block in blocks("docs/filters.md", "toml"):
        table = tomllib.loads(block.replace("/etc/postscan/", f"{tmp_path}/"))["filters"]
        for name in re.findall(rf'"{tmp_path}/(\S+)"', block.replace("/etc/postscan/", f"{tmp_path}/")):
            (tmp_path / name).write_text("a line\n")
        for name, values in table.items():
            loader.settings_for(name, *loader.load(name), values)
            seen.append(name)

    assert seen == ["fileshare", "email", "sharepoint", "webhook"]


def test_the_readmes_filter_is_the_guides() -> None:
    """One sample, shown twice."""
    assert blocks("README.md", "python") == [SMALL]


def test_the_examples_of_settings_can_be_used() -> None:
    """They are what administrators begin with. Each of these tables is in one of them."""
    tables = [tomllib.loads(one) for one in blocks("docs/administration.md", "toml")]
    settings = [Settings.model_validate(table) for table in tables]

    def the(name: str) -> Settings:
        return next(one for one, table in zip(settings, tables, strict=True) if name in table)

    shares = fileshare.Settings(**the("filters").filters["fileshare"]).shares
    assert shares == {r"\\files\scans": "/srv/scans"}
    assert the("filters").users[SID].name == "ann@fabrikam.example"
    assert the("tls").tls.on
    assert (the("job_mail").job_mail.host, the("job_mail").users[SID].job_mail) == ("mail.fabrikam.example", True)
    assert is_usable(the("accounts").accounts["front-desk"].hash)
    assert the("sources").sources["front-desk"].destinations == ("invoices-ann",)
    assert the("monitoring").monitoring.port == 5364
    assert the("cluster").cluster.members == "several"
    assert the("spool").spool.is_object_store
