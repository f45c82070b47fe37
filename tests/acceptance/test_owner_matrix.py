"""Every user and every operation over HTTP: the answer about a foreign job is that about an unknown one.

Every state of the job is in `tests/core/service/test_jobs.py`.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import certificates
import pytest
import works
from acceptance.scanning import good, instructions
from acceptance.server import Server, running
from certificates import Authority, sid_extension
from device import Answer, Device
from job_states import NOW, STATES

from postscan.core.model.job import Job, JobToken
from postscan.core.model.principal import User, of_source
from postscan.core.model.process import ScanProcess

SIDS = [f"S-1-5-21-1-2-3-{number}" for number in (1001, 1002, 1003)]
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
MESSAGE_ID = "urn:uuid:0c1a7f52-1111-4222-8333-944455566677"


@dataclass
class House:
    """A server whose only slot is taken, and three owners with jobs."""

    server: Server
    owners: list[Device]
    _jobs: dict[str, list[str]] = field(default_factory=dict)
    _refused: dict[tuple[int, str], tuple[int, dict[str, str], bytes]] = field(default_factory=dict)

    def jobs(self, state: str) -> list[str]:
        """Return jobs in a state, one of each owner."""
        if state not in self._jobs:
            self._jobs[state] = [self._made(owner, state) for owner in self.owners]
        return self._jobs[state]

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

    def of_a_source(self, state: str) -> str:
        """Return a job in a state that a source made for the first user."""
        asked = works.instructions("copy")
        process = ScanProcess(str(uuid.uuid4()), "Invoices", "", asked)
        token, user = JobToken(str(uuid.uuid4())), User(SIDS[0], "user1001@fabrikam.example")
        job = Job.create(token, of_source("mail", "10.0.0.9"), user, process, asked, NOW)
        job.deadline = 1e12
        store = self.server.works.core.store
        store.insert(job)
        with store.change(token) as stored:
            STATES[state](stored)
        return token

    def _create(self, owner: Device, *filters: str) -> str:
        asked = instructions(*filters)
        return good(owner.create(self.server.store(asked), asked)).find("JobToken") or ""

    def _made(self, owner: Device, state: str) -> str:
        token = self._create(owner, "copy")
        good(owner.send_image(token, 1, b"a page"))
        with self.server.works.core.store.change(token) as job:
            STATES[state](job)
        return token


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


STATE_OF = {
    "SendImage": "Creating",
    "SendImage with base64": "Creating",
    "EndPostScanJob": "Creating",
    "CancelPostScanJob": "Processing",
    "GetPostScanJobElements": "Completed",
}
"""A state in which the operation has an effect or an answer for the owner."""


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
    assert server.tracebacks() == []


def comparable(answer: Answer, token: str) -> tuple[int, dict[str, str], bytes]:
    """Return all of an answer but its own MessageID, its date, and the token itself."""
    body, found = re.subn(rb"(<wsa:MessageID>)[^<]*", rb"\1", answer.body)
    assert found == 1
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status, headers, body.replace(token.encode(), b"TOKEN")


@pytest.mark.parametrize("state", sorted(set(STATE_OF.values())))
def test_every_owner_sees_the_own_job(house: House, state: str) -> None:
    """Without it the test below would show nothing: the jobs are there, and in these states."""
    seen = [
        good(owner.elements(token)).find("JobState")
        for owner, token in zip(house.owners, house.jobs(state), strict=True)
    ]

    assert seen == [state] * 3


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_foreign_job_is_an_unknown_one(house: House, operation: str) -> None:
    """D2, I13, T-O1: byte for byte, for each owner and each stranger; and nothing happens to the job."""
    tokens, before = house.jobs(STATE_OF[operation]), house.server.everything()
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


def test_a_job_of_a_source_is_unknown_but_to_the_user_whose_certificate_is_shown(house: House) -> None:
    """D25, T-S1: that user sees and cancels it; sends it nothing, and does not end it. Nobody else does anything.

    In weak mode all three devices claim to stand in front of that user, and none shows a certificate.
    """
    strong = house.owners[0].user != house.owners[1].user
    allowed = {(0, "CancelPostScanJob"), (0, "GetPostScanJobElements")} if strong else set()
    heard = {}
    for operation, asking in itertools.product(OPERATIONS, range(3)):
        if (asking, operation) not in allowed:
            token = house.of_a_source(STATE_OF[operation])
            answer = OPERATIONS[operation](house.owners[asking], token)
            heard[asking, operation] = comparable(answer, token), house.refused(asking, operation)
            assert house.server.works.core.store.load(token).state == STATE_OF[operation]

    assert len(heard) == 15 - len(allowed)
    assert [who for who, (foreign, unknown) in heard.items() if foreign != unknown] == []
    if strong:
        token = house.of_a_source("Creating")
        assert good(house.owners[0].elements(token)).find("JobState") == "Creating"
        good(house.owners[0].cancel(token))
        assert good(house.owners[0].elements(token)).find("JobState") == "Canceled"
