"""Images that arrive at another server: End waits for them, their jobs are not silent, and their bytes count."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import ANNA, AnyProcess
from works import SID, instructions

from postscan.core.cluster import arriving_images
from postscan.core.engine import Engine
from postscan.core.errors import SpoolFull, Unavailable
from postscan.core.model.states import JobState
from postscan.core.service import jobs as service_jobs
from postscan.core.settings import Settings
from postscan.core.settings.cluster import ClusterSettings
from postscan.core.store.cluster.tables import ARRIVING
from postscan.plugins.testing.runner import FakeClock

MIB = 1 << 20
Servers = tuple[Engine, Engine]


@pytest.fixture
def servers(settings: Settings, postgres_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[Servers]:
    """Two servers of one database; they run no jobs."""
    with contextlib.ExitStack() as stack:
        made = []
        for name in ("one", "two"):
            storage = settings.storage.model_copy(update={"data_dir": tmp_path / name, "database": postgres_url})
            limits = settings.limits.model_copy(update={"caller_bytes": 40 * MIB})
            several = ClusterSettings(members="several")
            of_one = settings.model_copy(update={"storage": storage, "limits": limits, "cluster": several})
            made.append(stack.enter_context(contextlib.closing(Engine(of_one, AnyProcess(), clock))))
        yield made[0], made[1]


@pytest.fixture
def create(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Create a job at the first server, whose filter nobody looks at."""
    monkeypatch.setattr(servers[0].filters, "check", lambda _sent: None)
    return lambda: servers[0].service.create(ANNA, SID, "P", instructions("copy"))


def test_the_end_at_one_server_waits_for_the_image_at_another(servers: Servers, create: Callable[[], str]) -> None:
    """Else the job would run without its last page."""
    one, two = servers
    token = create()
    image = one.service.open_image(token, ANNA, 1, "png")
    image.write(b"\x89PNG")
    steps = two.service.end_steps(token, ANNA)

    assert next(steps).seconds == service_jobs.ELSEWHERE_SECONDS
    assert steps.send(False).seconds == service_jobs.ELSEWHERE_SECONDS
    image.commit()
    with pytest.raises(StopIteration):
        steps.send(False)

    job = two.store.load(token)
    assert (job.state, job.images_received) == (JobState.PENDING, 1)


def test_the_end_waits_no_longer_than_for_an_image_of_its_own_server(
    servers: Servers, create: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`server.idle_seconds`; the client may repeat it."""
    one, two = servers
    token = create()
    with one.service.open_image(token, ANNA, 1, "png") as image:
        steps = two.service.end_steps(token, ANNA)
        next(steps)
        now = service_jobs.time.monotonic() + two.settings.server.idle_seconds + 1
        with monkeypatch.context() as patched, pytest.raises(Unavailable, match="to another server"):
            patched.setattr(service_jobs.time, "monotonic", lambda: now)
            steps.send(False)
        image.write(b"\x89PNG")


def test_a_server_that_is_gone_keeps_no_end_waiting(servers: Servers, create: Callable[[], str]) -> None:
    """Its row is not renewed; what it renews late is there again."""
    one, two = servers
    token = create()
    with one.service.open_image(token, ANNA, 1, "png") as image:
        with one.store.writing() as db:
            db.execute(sa.update(ARRIVING).values(until=sa.func.clock_timestamp()))

        assert two.arriving.elsewhere([token]) == set()
        assert isinstance(one.arriving, arriving_images.SharedArrivingImages)
        one.arriving.renew()
        assert two.arriving.elsewhere([token]) == {token}
        assert one.arriving.elsewhere([token]) == set()
        image.write(b"\x89PNG")
    assert two.arriving.elsewhere([token]) == set()


def test_a_row_that_the_database_has_lost_is_written_again(servers: Servers, create: Callable[[], str]) -> None:
    """PostgreSQL empties the table when it recovers from a crash."""
    one, two = servers
    token = create()
    with one.service.open_image(token, ANNA, 1, "png") as image:
        with one.store.writing() as db:
            db.execute(sa.delete(ARRIVING))
        assert isinstance(one.arriving, arriving_images.SharedArrivingImages)
        one.arriving.renew()
        assert two.arriving.elsewhere([token]) == {token}
        image.write(b"\x89PNG")


def test_a_job_is_not_silent_while_an_image_arrives_elsewhere(
    servers: Servers, create: Callable[[], str], clock: FakeClock
) -> None:
    """D4: the leader looks for silent devices, whichever server hears them."""
    one, two = servers
    token, silent = create(), create()
    with one.service.open_image(token, ANNA, 1, "png") as image:
        clock.advance(two.settings.limits.silence_seconds + 1)
        list(two.sweeper.expire())
        image.write(b"\x89PNG")

    assert two.store.load(token).state is JobState.CREATING
    assert two.store.load(silent).state is JobState.ABORTED


def test_the_share_of_a_caller_is_that_of_all_servers_together(servers: Servers, create: Callable[[], str]) -> None:
    """Of 40 MiB: an image beyond 16 MiB reserves 32, so that a second one of that size at another server is refused."""
    one, two = servers
    tokens = [create(), create()]
    with one.service.open_image(tokens[0], ANNA, 1, "png") as first:
        first.write(bytes(17 * MIB))
        second = two.service.open_image(tokens[1], ANNA, 1, "png")
        second.write(bytes(MIB))
        with pytest.raises(SpoolFull, match="would be more than"):
            for _ in range(17):
                second.write(bytes(MIB))
        second.abort()
    with two.service.open_image(tokens[1], ANNA, 2, "png") as third:
        third.write(bytes(2 * MIB))


def test_small_images_reserve_nothing_at_other_servers(servers: Servers, create: Callable[[], str]) -> None:
    """Many pages at once do not take a step of the share each."""
    one, two = servers
    with contextlib.ExitStack() as stack:
        for number in range(4):
            image = stack.enter_context(one.service.open_image(create(), ANNA, number + 1, "png"))
            image.write(bytes(MIB))
        assert two.arriving.reserved_elsewhere(ANNA.name) == 0
