"""A plugin that was late when the server started is loaded later; its jobs wait for it, and nothing else does."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import documents
import pytest
from conftest import ANNA
from works import PATIENCE, SID, Works, until

from postscan.core.engine import Engine
from postscan.core.execution import late_plugins
from postscan.core.execution.late_plugins import LatePlugins
from postscan.core.filters.cancellation import CancelSource
from postscan.core.model.job import JobToken
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.core.model.states import JobState
from postscan.core.registry.catalogue import Catalogue, Plugin, PluginState

SLOW = """
import pathlib, time

with (pathlib.Path({folder!r}) / "loads").open("a") as loads:
    loads.write("x")
while not (go := pathlib.Path({folder!r}) / "go").exists():
    time.sleep(0.01)
exec(go.read_text())

from postscan.plugins import Filter, hookimpl

class Slow(Filter):
    dialect = "urn:test:slow"
    title = "Slow"
    def run(self, job, token):
        token.check()

@hookimpl
def postscan_filters():
    return [Slow()]
"""


class LateStart:
    """An engine whose only plugin cannot be loaded before `go`."""

    def __init__(self, core: Engine, folder: Path) -> None:
        self.core = core
        self.works = Works(core, ANNA)
        self._folder = folder

    def go(self, code: str = "") -> None:
        """Let the plugin be loaded from now on, after it has carried out *code*."""
        (self._folder / "new").write_text(code)
        (self._folder / "new").rename(self._folder / "go")

    @property
    def loads(self) -> int:
        """How often the plugin was imported."""
        return (self._folder / "loads").stat().st_size

    def start_job(self) -> JobToken:
        """Make a job of the plugin's filter, send an image and end it; return it when it is claimed."""
        asked = Instructions("Invoice", (FilterInstructions("urn:test:slow", b"<do/>"),))
        token = self.core.service.create(ANNA, SID, "P", asked)
        self.works.send(token)
        self.core.service.end(token, ANNA)
        until(lambda: self.works.job(token).state is not JobState.PENDING, "for the claim")
        return token

    def plugin(self) -> Plugin:
        """Return what the running engine knows of the plugin."""
        return next(one for one in self.core.filters._catalogue.plugins if one.name == "slow")


@pytest.fixture
def late(core: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LateStart]:
    """An engine whose plugin was late at the start, which tries again and again without long pauses."""
    for pause in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(late_plugins, pause, 0.05)
    site = tmp_path / "site"
    site.mkdir()
    documents.install(site, "slow_module", SLOW.format(folder=str(tmp_path)), "slow", "postscan.filters")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    plugins = core.settings.plugins
    disabled = (*plugins.disabled, "acme", "chain", "evil")
    core.settings = core.settings.model_copy(
        update={"plugins": plugins.model_copy(update={"disabled": disabled, "probe_seconds": 1.0})}
    )
    with core.running():
        yield LateStart(core, tmp_path)


def test_a_plugin_that_was_late_is_loaded_later_and_the_log_has_two_lines(
    late: LateStart, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it is tried in between. Its job waits, and runs once."""
    plugin = late.plugin()
    assert (plugin.state, plugin.late) == (PluginState.QUARANTINED, True)
    assert plugin.reason == "the probe took longer than 1 s; a running server tries again"
    token = late.start_job()
    until(lambda: late.loads >= 2, "for another try")
    late.go()

    job = late.works.ended(token)
    assert (job.state, job.steps[0].attempt) == (JobState.COMPLETED, 1)
    assert late.core.filters.dialects == ("urn:test:slow",)
    assert not late.core.filters.awaits
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == ["plugin ready"]


def test_a_job_that_waits_for_a_plugin_can_be_cancelled(late: LateStart, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, not when it would be looked at again; no filter of it has run."""
    monkeypatch.setattr("postscan.core.execution.scheduler._PAUSE", 10 * PATIENCE)
    token = late.start_job()

    late.core.service.cancel(token, ANNA)

    job = late.works.ended(token)
    assert (job.state, job.steps[0].attempt) == (JobState.CANCELED, 0)


def test_jobs_do_not_wait_for_ever(late: LateStart, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some tries they fail as with any plugin that cannot be used; the plugin is tried on all the same."""
    until(lambda: not late.core.filters.awaits, "for the last try that is waited for")
    job = late.works.ended(late.start_job())
    before = late.loads
    until(lambda: late.loads > before, "for another try")
    late.go()
    until(lambda: late.plugin().state is PluginState.READY, "for the plugin")

    assert job.state is JobState.ABORTED
    assert late.works.ended(late.start_job()).state is JobState.COMPLETED


def test_a_plugin_that_turns_out_to_be_broken_is_not_tried_again(
    late: LateStart, caplog: pytest.LogCaptureFixture
) -> None:
    """Time was the reason, and is no longer."""
    late.go("raise RuntimeError('no licence')")
    until(lambda: not trying(), "for the last try")

    plugin = late.plugin()
    assert (plugin.state, plugin.late) == (PluginState.QUARANTINED, False)
    assert plugin.reason == "RuntimeError: no licence"
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == ["plugin quarantined"]
    assert late.works.ended(late.start_job()).state is JobState.ABORTED


def test_a_plugin_that_is_broken_at_the_start_is_not_tried_again(core: Engine) -> None:
    """Its author has to mend it."""
    core.settings = core.settings.model_copy(update={"filters": {"acme": {"folders": "x"}}})

    with core.running() as catalogue:
        assert catalogue.late == ()
        assert not core.filters.awaits
        assert not trying()


def test_a_stop_of_the_server_ends_a_try() -> None:
    """Whose result is not used then."""
    begun = threading.Event()
    used: list[Catalogue] = []

    def again(catalogue: Catalogue, attach: Callable[[CancelSource | None], None]) -> Catalogue:
        with CancelSource() as source:
            attach(source)
            begun.set()
            ended = source.wait(PATIENCE)
            attach(None)
        return catalogue if ended else Catalogue(())

    def use(catalogue: Catalogue, *, awaits: bool) -> None:
        used.append(catalogue)

    late = LatePlugins(again, use)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_plugins, "FIRST_PAUSE", 0.0)
        late.start(Catalogue((Plugin("slow", "", "", PluginState.QUARANTINED, late=True),)))
        assert begun.wait(PATIENCE)
        late.stop()

    assert used == []


def trying() -> bool:
    """Return whether a thread of this process tries to load late plugins."""
    return any(thread.name == "postscan-late-plugins" for thread in threading.enumerate())
