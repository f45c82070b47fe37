"""DSC-115 to DSC-135: what administrators hear when they have subscribed."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from acceptance.scanning import Scanner, good
from conformance.desk import (
    BOTH,
    DSC,
    Desk,
    Office,
    configuration_url,
    dsc,
    element_data,
    of_job,
    open_office,
    shape,
    texts,
)
from conformance.events import (
    ELEMENTS,
    END,
    STATUS,
    SUMMARY,
    Told,
    canonical,
    granted,
    only,
    subscribed,
    to_the_end,
    told,
    wish,
)
from listeners import Listener
from works import until

STATUS_PARTS = ["JobToken", "JobState", "JobStateReasons", "FilterStatuses", "ImagesReceived", "JobCreatedTime"]
END_PARTS = [
    *("JobToken", "PSP_Identifier", "PSP_DisplayName", "JobOriginatingUserName", "JobCompletedState"),
    *("JobCompletedStateReasons", "FilterCompletedStatuses", "ImagesReceived", "JobCompletedTime"),
]
ENDINGS = {
    "Completed": ["Creating", "Pending", "Started", "Processing", "Completed"],
    "Aborted": ["Creating", "Pending", "Started", "Processing", "Aborted"],
    "Canceled": ["Creating", "Pending", "Started", "Processing", "Terminating", "Canceled"],
    "given up": ["Creating", "Canceled"],
}
"""How a job can end, and the states that it goes through until then."""


# --- the repository --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Days:
    """What two subscribers heard within a few days, and a third one that wanted to hear of changes only.

    `configurations` and `states` are what the administrator was told upon a question: after each change of the
    filters, with jobs in hand, and without.
    """

    one: list[Told]
    other: list[Told]
    third: list[Told]
    configurations: list[ET.Element]
    states: list[ET.Element]

    def of(self, name: str) -> list[Told]:
        """Return the events with this name that the first of them has heard."""
        return [event for event in self.one if event.name == name]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Days]:
    """Two jobs at once; then a restart, one without the plugin acme, and one with it again; then a job of no work."""
    with (
        open_office(tmp_path_factory.mktemp("days")) as office,
        Listener() as one,
        Listener() as other,
        Listener() as third,
    ):
        for sink, more in ((one, ()), (other, ()), (third, (only(f"{DSC}/{ELEMENTS}"),))):
            granted(office.desk.device, wish(sink, *more))
        states = list(two_jobs_at_once(office))
        office = restarted(office)
        without = restarted(office, "acme")
        configurations = [answered(without.desk, BOTH[0])]
        again = restarted(without)
        configurations.append(answered(again.desk, BOTH[0]))
        last = lived(again.scanner, "given up")
        to_the_end(one, last), to_the_end(other, last)
        until(lambda: len(told(third)) >= 2)
        yield Days(told(one), told(other), told(third), configurations, states)
    assert office.server.tracebacks() == []


def two_jobs_at_once(office: Office) -> Iterator[ET.Element]:
    """Let one begin after the other, and end before it; yield the RepositoryStatus in between, and after them."""
    tokens = [office.scanner.start("sleep 60") for _ in range(2)]
    for token in tokens:
        office.server.works.await_trace(token, "sleep")
    good(office.desk.cancel(tokens[0]))
    yield answered(office.desk, BOTH[1])
    good(office.desk.cancel(tokens[1]))
    yield answered(office.desk, BOTH[1])


def restarted(office: Office, *disabled: str) -> Office:
    """Stop the server, and start the next one without these plugins; return the office in front of it."""
    office.server.stop()
    office.server.disable(*disabled)
    office.server.start()
    scanner = Scanner(office.server)
    scanner.device.tls = office.scanner.device.tls
    desk = Desk(replace(office.desk.device, url=configuration_url(office.server)))
    return replace(office, desk=desk, scanner=scanner)


def answered(desk: Desk, name: str) -> ET.Element:
    """Return an element of the repository, as a question for it is answered."""
    (data,) = element_data(desk.repository(name))
    (only_one,) = data
    return only_one


def inside(elements: Iterator[ET.Element] | ET.Element) -> list[str]:
    """Return elements in a form in which equal means equal."""
    return [canonical(one) for one in elements]


def foreign(heard: list[Told]) -> set[tuple[str, str]]:
    """Return what is not of the namespace of WS-DSC in events, each with what it stands in."""
    return {
        (parent.tag, child.tag)
        for one in heard
        for parent in one.event.iter()
        for child in parent
        if not child.tag.startswith(f"{{{DSC}}}")
    }


@pytest.mark.conformance("DSC-115")
def test_a_change_of_the_filters_is_told_to_all(days: Days) -> None:
    """When a plugin has gone, and when it has come back; a restart with the same ones is none."""
    for heard in (days.one, days.other, days.third):
        assert [one.action for one in heard if one.name == ELEMENTS] == [f"{DSC}/{ELEMENTS}"] * 2
    assert {one.name for one in days.third} == {ELEMENTS}


@pytest.mark.conformance("DSC-116", "DSC-117", "DSC-118")
def test_the_change_has_the_configuration_that_there_is_now(days: Days) -> None:
    """One ElementChanges with the RepositoryConfiguration in it: that which is answered to a question."""
    heard = days.of(ELEMENTS)
    without, again = ("".join(texts(one, "Filters", "Filter", "Dialect")) for one in days.configurations)

    assert [shape(one.event) for one in heard] == [["ElementChanges"]] * 2
    assert [shape(one.event[0]) for one in heard] == [["RepositoryConfiguration"]] * 2
    assert [canonical(one.event[0][0]) for one in heard] == [canonical(one) for one in days.configurations]
    assert ("acme" in without, "acme" in again) == (False, True)


@pytest.mark.conformance("DSC-119")
def test_a_change_has_no_element_of_our_own_beside_the_configuration(days: Days) -> None:
    """We have no other data that could change; within a Filter, there is the dialect that its name cannot spell."""
    assert foreign(days.of(ELEMENTS)) == {(dsc("Filter"), "{urn:postscan:2026}Dialect")}


@pytest.mark.conformance("DSC-120")
def test_a_change_of_the_status_is_told_to_all(days: Days) -> None:
    """When the first job comes in hand, and when the last has left; neither the second nor one without work counts."""
    for heard in (days.one, days.other):
        assert [(one.action, one.state) for one in heard if one.name == SUMMARY] == [
            (f"{DSC}/{SUMMARY}", "Processing"),
            (f"{DSC}/{SUMMARY}", "Idle"),
        ]


@pytest.mark.conformance("DSC-120")
def test_it_is_told_between_the_states_of_the_jobs_that_cause_it(days: Days) -> None:
    """Processing with the first Started, Idle with the last Canceled of two."""
    order = [one.state for one in days.one if one.name == SUMMARY or one.state in ("Started", "Canceled")]

    assert order[:2] == ["Started", "Processing"]
    assert order.index("Idle") == len(order) - 1 - order[::-1].index("Idle")
    assert order[: order.index("Idle")].count("Canceled") == 4  # of each of the two jobs: the status, and the end


@pytest.mark.conformance("DSC-121", "DSC-122", "DSC-123", "DSC-124")
def test_the_summary_is_what_the_status_is(days: Days) -> None:
    """One StatusSummary with the state and its reasons: those that are answered to a question."""
    heard = days.of(SUMMARY)

    assert [shape(one.event) for one in heard] == [["StatusSummary"]] * 2
    assert [shape(one.event[0]) for one in heard] == [["RepositoryState", "RepositoryStateReasons"]] * 2
    assert [inside(one.event[0]) for one in heard] == [inside(one) for one in days.states]
    assert [texts(one.event[0], "RepositoryStateReasons", "RepositoryStateReason") for one in heard] == [["None"]] * 2


@pytest.mark.conformance("DSC-125")
def test_the_summary_has_no_element_of_our_own(days: Days) -> None:
    """We have nothing to add."""
    assert days.of(SUMMARY)
    assert foreign(days.of(SUMMARY)) == set()


# --- jobs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sink(office: Office) -> Iterator[Listener]:
    """A sink that hears of everything."""
    with Listener() as sink, subscribed(office.desk.device, sink):
        yield sink


def lived(scanner: Scanner, ending: str, desk: Desk | None = None) -> str:
    """Let a job live and end in that way, canceled by an administrator at that desk; return its token."""
    if ending == "given up":
        token = scanner.create("copy", "copy")
        good(scanner.device.cancel(token))
        return token
    asked = {"Completed": "copy", "Aborted": "fail OutOfDiskSpace", "Canceled": "sleep 60"}[ending]
    token = scanner.start(asked, "copy")
    if desk is not None and ending == "Canceled":
        scanner.server.works.await_trace(token, "sleep")
        good(desk.cancel(token))
    scanner.ended(token)
    return token


def changes(heard: list[Told]) -> list[str]:
    """Return the states of the status events, each once where it follows itself."""
    return [state for state, _ in itertools.groupby(one.state for one in heard if one.name == STATUS)]


@pytest.mark.conformance("DSC-126", "DSC-131")
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_status_and_the_end_of_each_job_are_told_to_all(
    office: Office, desk: Desk, sink: Listener, ending: str
) -> None:
    """D23: of whomever the job is: every change of its state, and then its end, once."""
    with Listener() as other, subscribed(desk.device, other):
        for scanner in (office.scanner, office.named_device()):
            token = lived(scanner, ending, desk)
            for heard in (to_the_end(sink, token), to_the_end(other, token)):
                assert changes(heard) == ENDINGS[ending]
                assert [one.name for one in heard] == [STATUS] * (len(heard) - 1) + [END]
                assert {one.action for one in heard} == {f"{DSC}/{STATUS}", f"{DSC}/{END}"}
                assert heard[-1].state == ENDINGS[ending][-1]


@pytest.mark.conformance("DSC-126")
def test_a_change_of_a_filter_is_a_change_of_the_status(office: Office, sink: Listener) -> None:
    """While the state of the job stays the same; an image that arrives is none (ruling 23)."""
    heard = to_the_end(sink, lived(office.scanner, "Completed"))

    assert [one.filters for one in heard if one.state == "Creating"] == [["Pending", "Pending"]]
    assert [one.filters for one in heard if one.state == "Processing"] == [
        ["Processing", "Pending"],
        ["CompletedSuccessfully", "Pending"],
        ["CompletedSuccessfully", "Processing"],
        ["CompletedSuccessfully", "CompletedSuccessfully"],
    ]


@pytest.mark.conformance("DSC-127", "DSC-128", "DSC-129")
def test_a_status_event_has_the_whole_status_of_that_moment(office: Office, desk: Desk, sink: Listener) -> None:
    """One JobStatus: in Creating, before any image, and at the end that which is answered to a question."""
    token = office.scanner.create("copy")
    until(lambda: told(sink, token))
    at_first = canonical(of_job(desk, token))
    office.scanner.send(token, 1, 2)
    good(office.scanner.device.end(token))
    first, *between, last, _end = to_the_end(sink, token)

    assert [shape(one.event) for one in (first, *between, last)] == [["JobStatus"]] * (len(between) + 2)
    assert canonical(first.event[0]) == at_first
    assert canonical(last.event[0]) == canonical(of_job(desk, token))
    assert shape(last.event[0]) == [*STATUS_PARTS, "JobCompletedTime"]
    for one in between:
        assert shape(one.event[0]) == [part for part in STATUS_PARTS if part != "JobStateReasons"]
        assert one.texts("ImagesReceived") == ["2"]


@pytest.mark.conformance("DSC-132", "DSC-133", "DSC-134")
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_end_state_event_has_the_final_values(office: Office, desk: Desk, sink: Listener, ending: str) -> None:
    """All nine, in their order: those of the status and of the description that are answered to a question."""
    scanner = office.named_device()
    token = lived(scanner, ending, desk)
    (end,) = to_the_end(sink, token)[-1].event
    status, description = of_job(desk, token), of_job(desk, token, "JobDescription")
    wanted = {part.tag: part for part in (*status, *description)}
    renamed = {
        "JobCompletedState": "JobState",
        "JobCompletedStateReasons": "JobStateReasons",
        "FilterCompletedStatuses": "FilterStatuses",
    }

    assert shape(end) == END_PARTS
    for part in end:
        same = wanted[dsc(renamed.get(part.tag.rpartition("}")[2], part.tag.rpartition("}")[2]))]
        assert (part.text, inside(part)) == (same.text, inside(same))
    assert texts(end, "JobOriginatingUserName") == ["clerk@fabrikam.example"]
    assert texts(end, "ImagesReceived") == ["0" if ending == "given up" else "1"]


@pytest.mark.conformance("DSC-130", "DSC-135")
def test_events_of_jobs_have_no_element_of_our_own(office: Office, desk: Desk, sink: Listener) -> None:
    """We have nothing to add, however a job ends."""
    for ending in ENDINGS:
        heard = to_the_end(sink, lived(office.scanner, ending, desk))

        assert {one.name: shape(one.event) for one in heard} == {STATUS: ["JobStatus"], END: ["PostScanJobEndState"]}
        assert foreign(heard) == set()
