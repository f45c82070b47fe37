"""A server that is killed between two calls keeps its word: the short form of `python -m campaigns crash`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from acceptance.server import running

from campaigns import tracing
from campaigns.crash_points import SETTINGS, Point, Sweep, Tally

pytestmark = pytest.mark.skipif(not tracing.available(), reason=tracing.NOT_HERE)


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
