"""Every user, every operation, every state: nobody learns anything of a job that is somebody else's."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import certificates
import pytest
from acceptance.scanning import good, instructions
from acceptance.server import Server, running
from certificates import Authority, sid_extension
from device import Answer, Device

from postscan.core.model.job import Job
from postscan.core.model.states import JobReason

SIDS = [f"S-1-5-21-1-2-3-{number}" for number in (1001, 1002, 1003)]
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
MESSAGE_ID = "urn:uuid:0c1a7f52-1111-4222-8333-944455566677"
NOW = datetime.now(UTC)


@dataclass
class House:
    """A server whose only slot is taken, and three owners with a job in every state."""

    server: Server
    owners: list[Device]
    _refused: dict[tuple[int, str], tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    @cached_property
    def tokens(self) -> dict[str, list[str]]:
        """The jobs, one of each owner in each state."""
        return {state: [self._made(owner, state) for owner in self.owners] for state in STATES}

    def refused(self, asking: int, operation: str) -> tuple[int, dict[str, str], bytes]:
        """Return what an owner hears of a job that does not exist: the same every time, so it is asked once."""
        if (asking, operation) not in self._refused:
            unknown = str(uuid.uuid4())
            answer = OPERATIONS[operation](self.owners[asking], unknown)
            self._refused[asking, operation] = comparable(answer, unknown)
        return self._refused[asking, operation]

    def take_the_slot(self) -> None:
        """Run a job that takes longer than all tests, so that the others stay where they are put."""
        token = self._create(self.owners[0], "sleep 280")
        good(self.owners[0].send_image(token, 1, b"a page"))
        good(self.owners[0].end(token))
        self.server.works.await_trace(token, "sleep")

    def _create(self, owner: Device, *filters: str) -> str:
        asked = instructions(*filters)
        return good(owner.create(self.server.store(asked), asked)).find("JobToken") or ""

    def _made(self, owner: Device, state: str) -> str:
        token = self._create(owner, "copy")
        good(owner.send_image(token, 1, b"a page"))
        with self.server.works.core.store.change(token) as job:
            STATES[state](job)
        return token


def in_progress(job: Job) -> None:
    job.end(NOW)
    job.claim(NOW)


def processing(job: Job) -> None:
    in_progress(job)
    job.start(0, NOW)


def held(job: Job) -> None:
    job.end(NOW)
    job.hold(NOW)


def terminating(job: Job) -> None:
    processing(job)
    job.cancel(NOW)


def completed(job: Job) -> None:
    processing(job)
    job.finish(NOW)


STATES: dict[str, Callable[[Job], object]] = {
    "Creating": lambda job: None,
    "Pending": lambda job: job.end(NOW),
    "Pending-Held": held,
    "Started": in_progress,
    "Processing": processing,
    "Terminating": terminating,
    "Completed": completed,
    "Canceled": lambda job: job.cancel(NOW),
    "Aborted": lambda job: job.fail(JobReason.PROCESSING_FAILED, NOW),
}


def inline(device: Device, token: str) -> Answer:
    """Send an image as base64."""
    content = f"<dsp:JobToken>{token}</dsp:JobToken><dsp:DocumentDescription><dsp:DocumentId>2</dsp:DocumentId>"
    content += "<dsp:Format>png</dsp:Format></dsp:DocumentDescription><dsp:ImageData>aGVsbG8=</dsp:ImageData>"
    return device.post(device.envelope("SendImage", content, message_id=MESSAGE_ID))


OPERATIONS: dict[str, Callable[[Device, str], Answer]] = {
    "SendImage": lambda device, token: device.send_image(token, 2, b"another page", message_id=MESSAGE_ID),
    "SendImage with base64": inline,
    "EndPostScanJob": lambda device, token: device.end(token, message_id=MESSAGE_ID),
    "CancelPostScanJob": lambda device, token: device.cancel(token, message_id=MESSAGE_ID),
    "GetPostScanJobElements": lambda device, token: device.elements(token, message_id=MESSAGE_ID),
}


def strong(folder: Path, ca: Authority) -> list[dict[str, object]]:
    """Return what makes each of three users, known by certificates."""
    shown = (ca.issue("user", also=[sid_extension(sid)]) for sid in SIDS)
    return [{"user": sid, "tls": certificates.client(folder, ca, one)} for sid, one in zip(SIDS, shown, strict=True)]


def weak(folder: Path, ca: Authority) -> list[dict[str, object]]:
    """Return what makes each of three devices, known by their addresses, in front of which the same user stands."""
    tls = certificates.client(folder, ca)
    return [{"user": SIDS[0], "tls": tls, "source_address": address} for address in ADDRESSES]


@pytest.fixture(scope="module", params=[strong, weak], ids=["strong", "weak"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server in strong and in weak mode."""
    folder, ca = tmp_path_factory.mktemp("house"), Authority()
    tables = {
        "tls": certificates.server_table(folder, ca, mode="client" if request.param is strong else "server"),
        "running": {"slots": 1, "term_seconds": 0.3},
        **{f'users."{sid}"': {"name": f"user{sid[-4:]}@fabrikam.example"} for sid in SIDS},
    }
    with running(folder, tables) as server:
        made = House(server, [Device(server.url, **more) for more in request.param(folder, ca)])
        made.take_the_slot()
        yield made
    assert "Traceback" not in server.log()


def comparable(answer: Answer, token: str) -> tuple[int, dict[str, str], bytes]:
    """Return all of an answer but its own MessageID, its date, and the token itself."""
    body, found = re.subn(rb"(<wsa:MessageID>)[^<]*", rb"\1", answer.body)
    assert found == 1
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status, headers, body.replace(token.encode(), b"TOKEN")


@pytest.mark.parametrize("state", STATES)
def test_every_owner_sees_the_own_job(house: House, state: str) -> None:
    """Or else the matrix below would prove nothing: the jobs are there, and in these states."""
    seen = [
        good(owner.elements(token)).find("JobState")
        for owner, token in zip(house.owners, house.tokens[state], strict=True)
    ]

    assert seen == [state] * 3


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("state", STATES)
def test_a_foreign_job_is_an_unknown_one(house: House, state: str, operation: str) -> None:
    """D2, I13, T-O1: byte for byte, for each owner and each stranger; and nothing happens to the job."""
    tokens, before = house.tokens[state], house.server.everything()
    answers = []
    for mine, stranger in itertools.permutations(range(3), 2):
        foreign = OPERATIONS[operation](house.owners[stranger], tokens[mine])
        answers.append((comparable(foreign, tokens[mine]), house.refused(stranger, operation), foreign.fault()))
    after = house.server.everything()

    assert len(answers) == 6
    for foreign_answer, unknown_answer, fault in answers:
        assert foreign_answer == unknown_answer
        assert fault
        assert fault[1] == "dsp:ClientErrorJobTokenNotFound"
    assert after == before
