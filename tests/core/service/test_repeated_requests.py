"""The same request, sent again: one effect, one answer (D14, I25, I26, F-R20)."""

from __future__ import annotations

import threading

import pytest
from conftest import ANNA, BORIS, AnyProcess
from works import SID, Works, instructions

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound, RequestReused
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal
from postscan.core.model.records import RequestKey
from postscan.core.model.states import JobState

ID = "urn:uuid:0b7c2f14-5f0e-4a5d-8e0b-2f6a9c1d3e01"


@pytest.fixture
def idle(core: Engine) -> Works:
    """An engine in which nothing runs."""
    return Works(core, ANNA)


def create(works: Works, digest: str = "same", by: Principal = ANNA, id: str = ID) -> JobToken:
    """Ask for a job under a name."""
    return works.service.create(by, SID, "P", instructions("copy"), RequestKey(id, digest))


def test_a_create_that_comes_again_makes_no_second_job(idle: Works) -> None:
    """The device whose answer was lost gets the same token."""
    assert create(idle) == create(idle)
    assert len(idle.service.active(ANNA)) == 1


def test_the_answer_is_remembered_across_a_restart(idle: Works) -> None:
    """Effect and answer are stored in one transaction."""
    token = create(idle)

    again = Engine(idle.core.settings, AnyProcess())
    assert create(Works(again, ANNA)) == token
    again.close()


def test_the_same_name_for_something_else_is_refused(idle: Works) -> None:
    """I26: no effect; also across verbs."""
    token = create(idle)

    with pytest.raises(RequestReused):
        create(idle, digest="other")
    with pytest.raises(RequestReused):
        idle.service.end(token, ANNA, RequestKey(ID, "same"))
    assert len(idle.service.active(ANNA)) == 1
    assert idle.job(token).state is JobState.CREATING


def test_equal_names_of_two_callers_have_nothing_to_do_with_each_other(idle: Works) -> None:
    """I26, second half."""
    assert create(idle) != create(idle, by=BORIS)


def test_twins_at_the_same_time_make_one_job(idle: Works) -> None:
    """F-R20, concurrent twins: the loser of the race gets the winner's answer."""
    tokens: list[JobToken] = []
    barrier = threading.Barrier(4)

    def ask(id: str) -> None:
        barrier.wait()
        tokens.append(create(idle, id=id))

    for round in range(5):
        threads = [threading.Thread(target=ask, args=(f"{ID[:-1]}{round}",)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(tokens) == 20
    assert len(set(tokens)) == 5
    assert len(idle.service.active(ANNA)) == 5


def send(works: Works, token: str, data: bytes, digest: str = "image 1") -> None:
    """Send an image under a name."""
    with works.service.open_image(token, ANNA, 1, "png", RequestKey(ID, digest)) as sink:
        sink.write(data)


def test_an_image_that_comes_again_after_the_end_is_acknowledged_again(idle: Works) -> None:
    """The answer to a stored image stays true, whatever happened to the job since; nothing is stored twice."""
    token = idle.create("copy")
    send(idle, token, b"page")
    idle.service.end(token, ANNA)

    send(idle, token, b"page")

    assert idle.job(token).images_received == 1


def test_an_image_under_a_used_name_with_other_bytes_is_refused(idle: Works) -> None:
    """The bytes are part of the request."""
    token = idle.create("copy")
    send(idle, token, b"page")

    with pytest.raises(RequestReused):
        send(idle, token, b"other")
    with pytest.raises(RequestReused):
        send(idle, token, b"page", digest="image 2")
    assert idle.job(token).images_received == 1


def test_a_broken_image_leaves_no_answer_behind(idle: Works) -> None:
    """I3: the identical retry has the effect that the first try should have had."""
    token = idle.create("copy")
    with (
        pytest.raises(ConnectionError),
        idle.service.open_image(token, ANNA, 1, "png", RequestKey(ID, "image 1")) as sink,
    ):
        sink.write(b"pa")
        raise ConnectionError

    send(idle, token, b"page")

    assert idle.job(token).documents[0].size == 4


def test_a_cancel_that_comes_again_is_answered_again_although_the_job_has_ended(idle: Works) -> None:
    """Without the name, a second cancel finds no job (DSP-049)."""
    token = idle.create("copy")
    request = RequestKey(ID, "cancel")
    idle.service.cancel(token, ANNA, request)

    assert idle.service.cancel(token, ANNA, request).state is JobState.CANCELED
    with pytest.raises(JobNotFound):
        idle.service.cancel(token, ANNA)
    with pytest.raises(JobNotFound):
        idle.service.cancel(token, ANNA, RequestKey(ID[:-1] + "2", "cancel"))


def test_an_end_that_comes_again_after_the_job_has_ended_is_answered_again(works: Works) -> None:
    """O-12 with a name."""
    token = works.create("copy")
    works.send(token)
    works.service.end(token, ANNA, RequestKey(ID, "end"))
    works.ended(token)

    works.service.end(token, ANNA, RequestKey(ID, "end"))

    assert works.job(token).state is JobState.COMPLETED
