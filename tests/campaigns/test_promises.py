"""What the campaigns notice of a page that came through a source: that it is lost, halved, or two jobs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ANNA
from works import Works

from campaigns import promises
from campaigns.source_job import SourceJob
from postscan.core.engine import Engine
from postscan.core.settings import Settings


@pytest.fixture
def server(core: Engine, settings: Settings, tmp_path: Path) -> Any:
    """The data of a server with a watched folder; none runs."""
    (tmp_path / "share").mkdir()
    inlet = SimpleNamespace(plugin="folder", table={"folder": str(tmp_path)})
    return SimpleNamespace(
        works=Works(core, ANNA),
        settings=SimpleNamespace(storage=settings.storage, sources={"by-folder": inlet}),
        home=tmp_path,
        share=tmp_path / "share",
    )


@pytest.fixture
def page(server: Any) -> SourceJob:
    """A page that was acknowledged."""
    page = SourceJob(server, "by-folder")
    page.acknowledged = True
    return page


def create(page: SourceJob, *, half: bool = False) -> str:
    """Create a job that has the page, or a half of it, and that takes pages; return its token."""
    works = page.server.works
    token = works.create("copy")
    works.send(token, data=page.images[1][: 1000 if half else None])
    return token


def end(page: SourceJob, token: str) -> None:
    """Let a job wait for its filters."""
    page.server.works.service.end(token, ANNA)


def test_a_page_of_one_job_that_has_all_its_pages_is_kept(page: SourceJob) -> None:
    """Whether its filters have run or not."""
    end(page, create(page))

    assert promises.acknowledged(page) == []


@pytest.mark.parametrize("times", [0, 2])
def test_a_page_that_is_lost_or_two_jobs_is_noticed(page: SourceJob, times: int) -> None:
    """A job that has failed at its origin counts for none."""
    for _ in range(times):
        end(page, create(page))
    page.server.works.core.origins.fail(create(page), None, "its source ended")

    assert promises.acknowledged(page) == [f"{page.name} (by-folder) was acknowledged, and {times} jobs have it"]


def test_a_page_whose_job_still_takes_pages_is_noticed(page: SourceJob) -> None:
    """It was acknowledged before its end was stored."""
    token = create(page)

    assert promises.acknowledged(page) == [f"{page.name} (by-folder) was acknowledged, and its job {token} is Creating"]


def test_a_page_that_was_not_acknowledged_may_be_lost(page: SourceJob) -> None:
    """Its sender comes again."""
    page.acknowledged = False

    assert promises.acknowledged(page) == []


def test_a_page_that_is_not_delivered_is_noticed(page: SourceJob) -> None:
    """By the state of its job, and by the share."""
    end(page, create(page))

    assert promises.ended(page) == [
        f"the jobs of {page.name} (by-folder) are ['Pending']; expected one, Completed",
        f"{page.name} (by-folder) is 0 times on the share",
    ]


def test_half_a_page_is_noticed_in_a_job_that_has_failed(page: SourceJob) -> None:
    """An administrator may release it. A whole page may be there."""
    origins = page.server.works.core.origins
    origins.fail(create(page), None, "its source ended")
    half = create(page, half=True)
    origins.fail(half, None, "its source ended")

    assert promises.tidy(page.server, [page]) == [f"page 1 of {half}, which has failed, is not what was sent"]


def test_a_second_job_and_a_work_folder_that_is_left_are_noticed(page: SourceJob) -> None:
    """The page's own job is known by its token."""
    page.token = create(page)
    second = create(page)
    for number in (1, 2):
        (page.server.settings.storage.run_dir / f"source-by-folder-{number}").mkdir()

    left, twice = sorted(promises.tidy(page.server, [page]), reverse=True)
    assert left.startswith("the work folder of a source that has ended is left: source-by-folder-")
    assert twice == f"job {second} belongs to no device: what was repeated was stored twice"
