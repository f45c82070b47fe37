"""Every sample of the guide for authors of sources runs: as a source, as a test, or as settings."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import documents
import pytest
import source_server
from documents import blocks, page

from postscan.core.engine import Engine
from postscan.core.filters import loader
from postscan.core.filters.source.messages import ProofKind
from postscan.core.registry.catalogue import PluginState
from postscan.core.settings import Settings
from postscan.plugins import Source, testing
from postscan.plugins.testing import Origin, SourceRun, StoredScan, assert_source_contract
from postscan.plugins.testing.defects import SourceDefectKind

GUIDE = "docs/writing-a-source.md"
SOURCE, TEST, REAL = blocks(GUIDE, "python")
PACKAGE, SETTINGS = (tomllib.loads(block) for block in blocks(GUIDE, "toml"))
MODULE = "acme_pictures"


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[[str], Source]]:
    """Install code as the plugin that the guide's pyproject.toml describes, and return its source."""
    site = tmp_path / "site"
    site.mkdir()
    sys.path.append(str(site))

    def put(code: str) -> Source:
        ((name, module),) = PACKAGE["project"]["entry-points"]["postscan.sources"].items()
        assert PACKAGE["tool"]["setuptools"]["py-modules"] == [module] == [MODULE]
        documents.install(site, module, code, name, "postscan.sources")
        return loader.load_source(name)

    yield put
    sys.path.remove(str(site))
    sys.modules.pop(MODULE, None)


def only_test(code: str) -> Callable[[Path], None]:
    """Return the one test of a sample."""
    space: dict[str, Any] = {}
    exec(compile(code, GUIDE, "exec"), space)
    (test,) = (value for name, value in space.items() if name.startswith("test_"))
    return test


def test_the_guides_source_brings_each_picture(install: Callable[[str], Source], tmp_path: Path) -> None:
    """With the settings of the guide, but for the folder; the file is gone when the job is stored."""
    scans = tmp_path / "scans"
    scans.mkdir()
    settings = Settings.model_validate(SETTINGS).sources["front-desk"].table | {"folder": str(scans), "every": 0.02}
    with source_server.running(install(SOURCE), tmp_path, settings) as server:
        (scans / "page.part").write_bytes(b"a page")
        (scans / "page.part").rename(scans / "page.png")
        (job,) = server.wait_for_jobs(1)
        while (scans / "page.png").exists():
            server.wait_for(lambda: True)

    assert job.pages == [b"a page"]


def test_the_guides_settings_name_the_guides_plugin(
    install: Callable[[str], Source], core: Engine, settings: Settings
) -> None:
    """It is listed as ready, and takes what the settings say."""
    install(SOURCE)
    core.settings = Settings.model_validate(settings.model_dump(exclude={"sources", "destinations"}) | SETTINGS)
    (plugin,) = (
        one
        for one in core.catalogue().plugins
        if one.name == SETTINGS["sources"]["front-desk"]["plugin"] and one.source
    )

    assert plugin.state is PluginState.READY
    assert plugin.source is not None
    assert plugin.source.refused == {}


@pytest.mark.parametrize("sample", [TEST, REAL], ids=["contract", "run"])
def test_the_guides_tests_pass(install: Callable[[str], Source], tmp_path: Path, sample: str) -> None:
    """As pytest would run them."""
    install(SOURCE)
    scans = tmp_path / "scans"
    scans.mkdir()

    only_test(sample)(scans)


@pytest.mark.parametrize(
    ("line", "instead", "defect"),
    [
        (
            "with job.page() as page,",
            "path.rename(path := path.with_suffix('.x'))\n                with job.page() as page,",
            "acknowledges before",
        ),
        ("{found.st_size}", "{found.st_size}:{id(self)}-{__import__('time').time()}", "makes two jobs of one origin"),
        ("            return  # the file stays", "            pass  # the file stays", "acknowledges before"),
        ('path.rename(path.with_name(f"{path.name}.refused"))', "path.unlink()", "loses an origin"),
        (
            "while not token.wait(inlet.settings.every):",
            "while not __import__('time').sleep(inlet.settings.every):",
            "does not stop in time",
        ),
    ],
)
def test_the_guides_test_notices_a_source_that_breaks_a_rule(
    install: Callable[[str], Source],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    instead: str,
    defect: str,
) -> None:
    """A test that cannot fail would be a bad example. No defect is one of cuts, so there are few."""
    monkeypatch.setattr(testing, "assert_source_contract", partial(assert_source_contract, cuts=4))
    assert line in SOURCE
    install(SOURCE.replace(line, instead))

    with pytest.raises(AssertionError, match=defect):
        only_test(TEST)(tmp_path)


def test_the_guide_names_every_proof_and_every_defect() -> None:
    """And every call of an origin, and what a run has."""
    text = page(GUIDE)
    members = [name for name in vars(SourceRun) if not name.startswith("_")] + [*StoredScan.__dataclass_fields__]
    calls = [name for name, value in vars(Origin).items() if callable(value) and not name.startswith("_")]

    assert [proof for proof in get_args(ProofKind) if f"`{proof}`" not in text] == []
    assert [kind for kind in SourceDefectKind if kind.replace("run without", "`run` without") not in text] == []
    assert [name for name in members if not re.search(rf"`{name}\b", text)] == []
    assert [name for name in calls if not re.search(rf"^\| `{name}\(", text, re.MULTILINE)] == []
