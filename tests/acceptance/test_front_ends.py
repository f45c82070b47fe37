"""Two servers of one database and one spool: any of them answers any request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.scanning import Scanner, good
from acceptance.server import Server
from works import until

from postscan.core.model.states import JobState
from postscan.soap.metadata.endpoint_id import endpoint_id

pytestmark = pytest.mark.services


@pytest.fixture
def two(tmp_path: Path, postgres_url: str) -> Iterator[tuple[Server, Server]]:
    """Two running servers."""
    shared = [tmp_path / "spool", tmp_path / "processes"]
    for folder in shared:
        folder.mkdir()
    with contextlib.ExitStack() as stack:
        made = []
        for name in ("one", "two"):
            data = tmp_path / name / "data"
            data.mkdir(parents=True, mode=0o700)
            for folder in shared:
                (data / folder.name).symlink_to(folder)
            storage = {"data_dir": "data", "database": postgres_url}
            tables = {"storage": storage, "cluster": {"members": "several", "name": name}}
            server = Server(tmp_path / name, tables)
            stack.callback(server.close)
            server.start()
            made.append(server)
        yield made[0], made[1]


def test_each_request_of_a_job_may_reach_another_server(two: tuple[Server, Server]) -> None:
    """Create, images, end, state and cancel; the job is processed once, by one of them."""
    one, two_ = (Scanner(server) for server in two)
    token = one.create("copy")
    one.send(token, 1)
    two_.send(token, 2)
    good(two_.device.end(token))

    assert one.ended(token).state == "Completed"
    assert one.status(token) == two_.status(token)
    assert one.status(token).images == 2
    delivered = [path for server in two for path in server.out.rglob("*") if path.is_file()]
    assert len(delivered) >= 1

    running = two_.create("sleep 60")
    two_.send(running, 1)
    good(two_.device.end(running))
    one.await_state(running, "Processing")
    good(one.device.cancel(running))
    assert two_.ended(running).state == "Canceled"


def test_both_are_one_endpoint_and_the_other_one_leads_when_the_leader_is_killed(two: tuple[Server, Server]) -> None:
    """Its name is in the database; what happens afterwards is numbered by the one that is left."""
    names = {endpoint_id(server.settings.storage.data_dir) for server in two}
    first, second = two
    token = Scanner(second).create("copy")
    first.kill()
    Scanner(second).send(token, 1)
    good(Scanner(second).device.end(token))

    assert len(names) == 1
    store = second.works.core.store
    until(lambda: store.load(token).state is JobState.COMPLETED, "for the job")
    until(lambda: "work taken over" in second.log(), "for the other one to lead")
