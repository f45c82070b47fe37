"""The verbs of sources: a job for each origin, once, and what happens to it when its source fails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import databases
import pytest
from conftest import BORIS
from reads import longest
from sourced import ADMIN, ANNA, GUID, OWNER, Processes, Sources, with_sources

from postscan.core.errors import InvalidArgument, JobNotFound, OriginRefused, StoredProcessInvalid, Unavailable
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Proof, User, of_source
from postscan.core.model.records import REMEMBERED, OriginProof
from postscan.core.model.states import JobReason, JobState
from postscan.core.service.job_users import Claim
from postscan.core.service.origins import OpeningState
from postscan.core.settings import Settings
from postscan.core.store import jobs
from postscan.core.store.database import pages
from postscan.core.store.store import Store
from postscan.plugins.testing.runner import FakeClock

OPENED, TAKEN, IN_PROGRESS = OpeningState


@pytest.fixture
def sources(settings: Settings, migrated_url: str, clock: FakeClock) -> Iterator[Sources]:
    """Sources on each kind of database."""
    found = Sources(with_sources(settings, migrated_url), clock)
    yield found
    found.core.close()


def test_the_job_of_an_origin_has_what_the_settings_say(sources: Sources) -> None:
    """Its owner is the inlet and the subject; process and user are the destination's."""
    job = sources.job(sources.open())

    assert job.owner == Principal("source:mail:10.0.0.9", Proof.SOURCE)
    assert (job.user, job.process_id, job.state) == (User(ANNA, ANNA), GUID, JobState.CREATING)
    assert [step.dialect for step in job.steps] == ["urn:acme:copy"]


def test_where_it_came_from_is_recorded_and_audited(sources: Sources) -> None:
    """An administrator sees who chose what, and how that was proven."""
    token = sources.open()
    origin = sources.origins.of_job(token, ADMIN)
    (line,) = sources.core.service.audit(ADMIN, token)

    assert origin is not None
    assert (origin.inlet, origin.proof, origin.subject, origin.destination) == (
        "mail",
        OriginProof.DEVICE,
        "10.0.0.9",
        "invoices",
    )
    assert (line.who, line.proof, line.verb) == ("source:mail:10.0.0.9", "source", "create")
    assert line.detail == f"{ANNA} ({ANNA}), process {GUID}, destination invoices, device 10.0.0.9"
    assert sources.origins.of_job(token, OWNER) is None


def test_the_name_is_the_origins_where_the_process_allows_it(sources: Sources) -> None:
    """In one line, and no longer than the protocol's."""
    name = "a\nb" + "x" * 300
    assert sources.job(sources.open(name=name)).document_root == "Invoice"
    assert sources.processes.process
    sources.processes.process = replace(sources.processes.process, allow_name_change=True)

    job = sources.job(sources.open(name=name, key="2"))

    assert job.document_root == ("a?b" + "x" * 300)[:255]


def test_the_same_key_is_the_same_job(sources: Sources) -> None:
    """While it takes pages the second one has to wait; then it is taken, also after the job has ended."""
    token = sources.open()
    first = sources.origins.open(sources.offer)
    sources.send(token)
    sources.core.service.end(token, OWNER)
    second = sources.origins.open(sources.offer)
    sources.core.service.cancel(token, ADMIN)
    third = sources.origins.open(sources.offer)

    assert [first[:2], second[:2], third[:2]] == [(IN_PROGRESS, token), (TAKEN, token), (TAKEN, token)]
    assert len(sources.core.service.active_and_ended(ADMIN)) == 1


def test_a_key_that_is_taken_is_told_so_whatever_has_changed_since(sources: Sources) -> None:
    """The origin is a job already, and tidies up; else it would come again and again."""
    token = sources.open()
    sources.core.service.end(token, OWNER)
    sources.processes.process = None

    assert sources.origins.open(replace(sources.offer, destination="gone"))[:2] == (TAKEN, token)


def test_a_job_that_failed_frees_its_key_and_keeps_its_pages(sources: Sources) -> None:
    """T-S2: Aborted, no filter runs; the pages are for an administrator, who may release them."""
    token = sources.open()
    sources.send(token)

    assert sources.origins.fail(token, OWNER, "the connection was reset")
    assert not sources.origins.fail(token, OWNER, "the connection was reset")

    job = sources.job(token)
    assert (job.state, job.reasons) == (JobState.ABORTED, (JobReason.SEND_IMAGE_FAILED,))
    assert sources.core.spool.path(job.documents[0]).exists()
    assert sources.core.service.audit(ADMIN, token)[-1].detail == "the connection was reset"
    assert sources.open() != token
    assert sources.job(sources.core.service.release(token, ADMIN)).state is JobState.PENDING


def test_a_job_that_has_all_its_pages_cannot_fail(sources: Sources) -> None:
    """Its origin may have been acknowledged: it runs, and its key stays taken."""
    token = sources.open()
    sources.core.service.end(token, OWNER)

    assert not sources.origins.fail(token, None, "its source ended")
    assert sources.job(token).state is JobState.PENDING
    assert sources.origins.open(sources.offer).state is TAKEN


def test_only_its_owner_fails_a_job(sources: Sources) -> None:
    """A source knows the tokens of its own jobs; the server checks it all the same."""
    token = sources.open()

    with pytest.raises(JobNotFound):
        sources.origins.fail(token, of_source("ftp", "10.0.0.9"), "")
    assert sources.job(token).state is JobState.CREATING


def test_a_new_server_fails_the_jobs_that_no_source_sends_pages_of_any_more(sources: Sources) -> None:
    """F-R: the sources have ended with the old one. The same origins come again, and are jobs once."""
    token = sources.open()
    ended = sources.open(key="2")
    sources.core.service.end(ended, OWNER)

    sources.origins.fail_left()

    assert (sources.job(token).state, sources.job(ended).state) == (JobState.ABORTED, JobState.PENDING)
    assert sources.origins.open(sources.offer).state is OPENED


def cost_of_a_start(settings: Settings, home: Path, number: int) -> int:
    """Return the instructions of the longest transaction of a start that fails so many jobs, beside more of devices."""
    storage = settings.storage.model_copy(update={"data_dir": home})
    found = with_sources(settings.model_copy(update={"storage": storage}))
    databases.migrated(found.storage.url)
    sources = Sources(found)
    tokens = [
        sources.open(key=f"{place}", claim=Claim(OriginProof.DEVICE, f"10.0.{place}.9", "")) for place in range(number)
    ]
    of_a_device = sources.job(tokens[0])
    with sources.core.store.writing() as db:
        for place in range(10 * number):
            jobs.insert(db, replace(of_a_device, token=JobToken(f"device {place}"), owner=BORIS))
    cost = longest(sources.origins.fail_left)

    assert {sources.job(token).state for token in tokens} == {JobState.ABORTED}
    assert sources.job("device 0").state is JobState.CREATING
    sources.core.close()
    return cost


def test_no_transaction_of_a_start_is_longer_where_there_are_more_open_jobs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decision 66: they are looked for some at a time, and each is failed in a transaction of its own."""
    monkeypatch.setattr(pages, "PART", 5)
    few = cost_of_a_start(settings, tmp_path / "few", 4)
    many = cost_of_a_start(settings, tmp_path / "many", 40)

    assert few > 0
    assert many <= 1.2 * few


def test_a_silent_origin_loses_its_job_after_the_time_of_its_inlet(sources: Sources, clock: FakeClock) -> None:
    """Every page and every `extend` starts it anew; that of devices is another one."""
    token = sources.open()
    clock.advance(29)
    sources.send(token)
    clock.advance(29)
    sources.origins.extend("mail", token)
    clock.advance(29)
    list(sources.core.sweeper.expire())
    assert sources.job(token).state is JobState.CREATING

    clock.advance(2)
    list(sources.core.sweeper.expire())

    assert sources.job(token).reasons == (JobReason.TIMED_OUT,)
    assert sources.origins.open(sources.offer).state is OPENED


def test_origins_are_forgotten_with_what_retention_removes(sources: Sources, clock: FakeClock) -> None:
    """Thirty days after, and not while the job is kept."""
    token = sources.open()
    sources.core.service.cancel(token, ADMIN)
    clock.advance(REMEMBERED + 1)
    sources.core.retention.sweep()
    assert sources.origins.of_job(token, ADMIN)

    delete_jobs(sources.core.store)
    clock.advance(REMEMBERED)
    sources.core.retention.sweep()

    assert sources.origins.of_job(token, ADMIN) is None


def delete_jobs(store: Store) -> None:
    """Delete all ended jobs."""
    while store.drop_jobs(float("inf"), 0):
        pass


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"destination": "invoices"}, "there is no such destination"),
        ({"claim": Claim(OriginProof.DEVICE, "", "")}, "the sender has no name"),
        ({"claim": Claim(OriginProof.DEVICE, "x" * 401, "")}, "the name of the sender has more than 255"),
        ({"claim": Claim(OriginProof.DEVICE, "a\nb", "")}, "control characters"),
        ({"claim": Claim(OriginProof.PASSWORD, "x", "x" * 256)}, "the name of the sender has more than 255"),
        ({"claim": Claim(OriginProof.PASSWORD, "boris", "boris")}, "this account is not accepted here"),
    ],
)
def test_what_no_job_is_made_of_is_refused(sources: Sources, changed: dict[str, object], sentence: str) -> None:
    """Without a job, and without its key being taken."""
    with pytest.raises(OriginRefused, match=sentence):
        sources.origins.open(replace(sources.offer, **changed))

    assert sources.core.service.active(ADMIN) == []
    assert sources.open()


def forbidden(processes: Processes) -> None:
    """Let the process be for other users."""
    assert processes.process
    processes.process = replace(processes.process, users=frozenset({"boss@fabrikam.example"}))


def removed(processes: Processes) -> None:
    """Let there be no process."""
    processes.process = None


@pytest.mark.parametrize("change", [forbidden, removed])
def test_a_destination_without_a_process_is_logged_once_and_refused(
    sources: Sources, change: Callable[[Processes], None], caplog: pytest.LogCaptureFixture
) -> None:
    """An administrator has to mend it; the origin learns no more than that."""
    change(sources.processes)

    for _ in range(3):
        with pytest.raises(OriginRefused, match=r"^this destination cannot be used$"):
            sources.origins.open(sources.offer)

    assert caplog.messages == ["destination cannot be used"]
    lines = sources.core.service.audit(ADMIN)
    assert [(line.verb, line.outcome, line.who) for line in lines] == [
        ("create", "refused", "source:mail:10.0.0.9")
    ] * 3
    assert "destination invoices: " in lines[0].detail


def test_a_process_that_cannot_be_read_is_a_fault_of_the_server(sources: Sources) -> None:
    """The origin may come again when it is mended."""
    sources.processes.broken = "invoices.xml: no XML"

    with pytest.raises(StoredProcessInvalid):
        sources.origins.open(sources.offer)


def test_one_sender_has_so_many_open_jobs(sources: Sources) -> None:
    """Those that wait for filters count: back-pressure ends at the origin."""
    most = sources.settings.limits.open_jobs
    for number in range(most):
        sources.core.service.end(sources.open(key=f"{number}"), OWNER)

    with pytest.raises(Unavailable, match=f"{most} open jobs"):
        sources.origins.open(sources.offer)
    other = Claim(OriginProof.DEVICE, "10.0.0.10", "")
    assert sources.open(claim=other)


def test_a_source_learns_the_state_of_jobs_of_its_inlet(sources: Sources) -> None:
    """And of no other."""
    token = sources.open()

    assert sources.origins.state("mail", token).state is JobState.CREATING
    sources.origins.told("mail", token, "stopped")
    for inlet, job in (("ftp", token), ("mail", "unknown")):
        with pytest.raises(OriginRefused, match="there is no such job"):
            sources.origins.state(inlet, job)
        with pytest.raises(OriginRefused, match="there is no such job"):
            sources.origins.told(inlet, job, "away")
    origin = sources.origins.of_job(token, ADMIN)
    assert origin is not None
    assert origin.told == "stopped"


def test_a_page_is_examined_before_it_is_the_jobs(sources: Sources) -> None:
    """T-S2: what is refused then leaves nothing; the format is what the examination says."""
    token = sources.open()
    seen = []

    def refuse(path: Path) -> str:
        seen.append(path.read_bytes())
        raise InvalidArgument("ImageData", "", "a whole image")

    def accept(path: Path) -> str:
        return "jfif"

    with (
        pytest.raises(InvalidArgument),
        sources.core.service.open_image(token, OWNER, 1, "", examine=refuse) as image,
    ):
        image.write(b"half")
    assert (seen, sources.job(token).documents, list(sources.core.spool.files())) == ([b"half"], [], [])

    with sources.core.service.open_image(token, OWNER, 1, "", examine=accept) as image:
        image.write(b"whole")
    (document,) = sources.job(token).documents
    assert (document.id, document.format) == (1, "jfif")
    assert document.sha256 == hashlib.sha256(b"whole").hexdigest()
