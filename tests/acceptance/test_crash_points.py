"""A server that is killed between two calls keeps its word: the short form of `python -m campaigns crash`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.server import running

from campaigns import source_job, tracing
from campaigns.crash_points import SETTINGS, SOURCE, Point, Sweep, Tally, server_for

pytestmark = pytest.mark.skipif(not tracing.available(), reason=tracing.NOT_HERE)

REMOVAL = {"by-folder": "unlinkat", "by-ftp": "unlink", "by-mail": "unlinkat", "by-web": "unlink"}
"""The call by which a source removes its file when the job is stored: the last one before it acknowledges the page."""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """A server that is killed again and again, always on the same data."""
    with running(tmp_path_factory.mktemp("mortal"), SETTINGS) as server:
        yield Sweep(server, Tally())


@pytest.mark.parametrize(
    "point",
    [
        Point("delivered", "requests", "fdatasync", 1),  # the commit of Create
        Point("delivered", "loop", "write", 1),  # the answer to Create is on its way
        Point("delivered", "requests", "fsync", 2),  # the image is written
        Point("delivered", "requests", "rename", 1),
        Point("delivered", "requests", "fsync", 3),  # it has its name
        Point("delivered", "requests", "fdatasync", 3),  # its row is on its way
        Point("delivered", "scheduler", "fdatasync", 1),  # the claim
        Point("delivered", "pipeline", "fdatasync", 3),  # a commit while the filter runs
        Point("delivered", "pipeline", "fdatasync", 7),
        Point("withdrawn", "requests", "unlink", 1),  # between the cancel and the end of its images
        Point("stopped", "requests", "fdatasync", 4),  # the commit of the cancel
    ],
    ids=str,
)
def test_a_server_that_is_killed_in_a_job_keeps_its_word(sweep: Sweep, point: Point) -> None:
    """F-R1, F-R23, I1, I4, I11, I20: what was told is there, nothing is half there, and the job ends as it should."""
    assert sweep.reach(point)
    assert sweep.tally.violations == []


@pytest.fixture(scope="module", params=source_job.PLUGINS)
def inlet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Sweep]]:
    """A kind of job that comes through a source, and a server with an inlet for it; one kind after the other."""
    with server_for(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield request.param, Sweep(server, Tally())


def test_a_server_that_is_killed_before_its_source_knows_keeps_a_page_once(inlet: tuple[str, Sweep]) -> None:
    """F-R1, F-R32, T-S3, T-S5, I4, I20: the job is stored, the third reply is not sent, and the page comes again."""
    kind, sweep = inlet

    assert sweep.reach(Point(kind, tracing.INTAKE, "sendto", 3))
    assert sweep.tally.violations == []


def test_a_source_that_is_killed_before_it_acknowledges_brings_a_page_once(inlet: tuple[str, Sweep]) -> None:
    """F-R32, T-S3, T-S5, I4, I20: the job is stored, the source is about to remove its file, and the page comes again.

    The file of a watched folder is the page itself, and is put back under its name.
    """
    kind, sweep = inlet

    assert sweep.reach(Point(kind, SOURCE, REMOVAL[kind], 1))
    assert sweep.tally.violations == []
