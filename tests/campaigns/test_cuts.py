"""A short run of the cuts, and what their verdicts see; the long one is `python -m campaigns cuts`."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from works import until

from campaigns.cuts import campaign, verdicts
from campaigns.cuts.campaign import WAYS, Plan
from campaigns.cuts.receiver import Receiver, StoredJob, receiving
from campaigns.cuts.scans import KINDS, Scan, cut_at, sha256
from campaigns.cuts.share import refusal
from campaigns.cuts.way import Sending, connect

pytestmark = pytest.mark.services

SCAN = Scan("PNG", 1)
OTHER = Scan("PNG", 2)
CUT = Sending("a cut file", SCAN)
WHOLE = Sending("a whole file", OTHER, OTHER.page(len(OTHER.content)), least=1)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A server with an inlet of each source."""
    for reason in filter(None, map(campaign.lacks, WAYS.values())):
        pytest.skip(reason)
    with receiving(tmp_path_factory.mktemp("cuts"), watches=True) as receiver:
        yield receiver


def test_a_file_that_is_cut_on_its_way_becomes_no_job_and_the_next_one_does(receiver: Receiver) -> None:
    """T-S2, T-S20, T-S34, T-S40, T-S50: two cuts of each kind on each way, and then a whole file; none is too slow."""
    found = campaign.cut_all(receiver, Plan(count=2, every=2 * len(KINDS), seed=1, most_seconds=math.inf))

    assert found.violations == []
    assert {name: (way.cuts, len(way.delivered)) for name, way in found.ways.items()} == dict.fromkeys(WAYS, (8, 1))


def test_what_is_left_of_a_file_is_seen(receiver: Receiver) -> None:
    """In the spool, in a work folder, and as a connection that the source has not closed."""
    storage = receiver.server.settings.storage
    receiver.begin_rest()
    spooled, working = storage.spool_dir / "no-job" / "1", storage.run_dir / "half"
    spooled.parent.mkdir()
    for file in (spooled, working):
        file.write_bytes(SCAN.content[:100])
    with connect(receiver.ports["mail"]):
        expected = ["in the spool: no-job/1", "in a work folder: run/half", "open in the source of mail: 1"]
        until(lambda: receiver.left(patience=0.0) == expected, "for the source to accept a connection")
    spooled.unlink()
    spooled.parent.rmdir()
    working.unlink()

    assert receiver.left() == []


def job(*pages: bytes, state: str = "Completed") -> StoredJob:
    """Return a job with these pages."""
    return StoredJob("T", state, tuple((sha256(page), len(page)) for page in pages))


def test_a_job_with_half_a_page_is_seen() -> None:
    """Whatever its state is, with the place of the cut; so are bytes that were not sent, a second page, and no page."""
    half, state = SCAN.content[:100], "Aborted"

    assert verdicts.half_pages([CUT, WHOLE], [job(OTHER.content)]) == []
    assert verdicts.half_pages([CUT, WHOLE], [job(half, state=state)]) == [
        "job T is Aborted with the first 100 bytes of a cut file"
    ]
    assert verdicts.half_pages([CUT], [job(SCAN.content)]) != []
    assert verdicts.half_pages([CUT], [job(b"other")]) == ["job T is Completed with 5 bytes that were never sent"]
    assert len(verdicts.half_pages([WHOLE], [job(OTHER.content, OTHER.content), job()])) == 2


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([job(OTHER.content)], []),
        ([], ["a whole file: it is 0 jobs"]),
        ([job(OTHER.content)] * 2, ["a whole file: it is 2 jobs"]),
        ([job(OTHER.content, state="Aborted")], ["a whole file: its job is Aborted"]),
    ],
)
def test_a_whole_file_that_is_not_one_job_is_seen(jobs: list[StoredJob], expected: list[str]) -> None:
    """One job, which is Completed."""
    assert verdicts.numbers([CUT, WHOLE], jobs) == expected


def test_a_part_that_is_whole_by_itself_may_be_a_job() -> None:
    """A PDF without its last line break: one job, where the end of the connection is the end of the file."""
    scan = Scan("PDF", 1)
    length = len(scan.content) - 1
    part = scan.content[:length]
    closed = Sending("closed", scan, scan.page(length), least=1)
    killed = Sending("killed", scan, scan.pages(length))

    assert scan.page(length) == {sha256(part)}
    assert scan.page(length - 1) == scan.pages(length - 1) == frozenset()
    assert [verdicts.numbers([one], [job(part)]) for one in (closed, killed)] == [[], []]
    assert [verdicts.numbers([one], []) for one in (closed, killed)] == [["closed: it is 0 jobs"], []]
    assert verdicts.half_pages([killed], [job(part)]) == []
    assert verdicts.half_pages([killed], [job(scan.content)]) != []


@pytest.mark.parametrize(
    "delivered",
    [{}, {sha256(OTHER.content): 2}, {sha256(OTHER.content): 1, sha256(SCAN.content[:100]): 1}],
    ids=["none", "twice", "half a page"],
)
def test_a_delivery_that_is_not_what_was_sent_is_seen(delivered: dict[str, int]) -> None:
    """Each page of a Completed job is on the share once."""
    jobs = [job(OTHER.content)]

    assert verdicts.deliveries(jobs, Counter({sha256(OTHER.content): 1})) == []
    assert len(verdicts.deliveries(jobs, delivered)) == 1


@pytest.mark.parametrize(("reply", "is_seen"), [("226 Stored.", True), ("451 The file is cut.", False), ("", False)])
def test_a_cut_file_that_is_acknowledged_is_seen(reply: str, is_seen: bool) -> None:
    """A client that is told so removes it."""
    assert bool(verdicts.acknowledged([Sending("a cut file", SCAN, reply=reply)])) is is_seen


def test_a_cut_file_that_is_not_among_the_refused_ones_is_seen(tmp_path: Path) -> None:
    """With its bytes, and with a text that says why."""
    broken = [refusal(CUT, tmp_path)]
    (tmp_path / SCAN.name).write_bytes(b"other")
    broken.append(refusal(CUT, tmp_path))
    (tmp_path / SCAN.name).write_bytes(SCAN.content[:100])
    (tmp_path / f"{SCAN.name}.txt").touch()

    assert list(map(len, broken)) == [1, 2]
    assert refusal(CUT, tmp_path) == []


def test_cuts_are_anywhere_and_often_near_the_begin_and_the_end() -> None:
    """Never behind the last byte; the same seed gives the same places."""
    places = [cut_at(random.Random(seed), 1000) for seed in range(400)]

    assert set(places) <= set(range(1000))
    assert {0, 999} <= set(places)
    assert any(100 < place < 900 for place in places)
    assert cut_at(random.Random(7), 1) == 0
    assert cut_at(random.Random(7), 1000) == places[7]


def test_a_way_that_this_machine_lacks_a_program_for_is_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It never counts as passed."""
    monkeypatch.setenv("PATH", "")

    assert campaign.run("--ways", "ftp-killed") == 2
    assert capsys.readouterr().out == "ftp-killed: NOT RUN: needs curl\n"
