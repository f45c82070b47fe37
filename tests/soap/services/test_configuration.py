"""The messages of WS-DSC, but for the repository's own: see test_dialects."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import messages
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inquiries import ASKED, BODIES, DSC, TOKEN, message, names, one, texts, written
from lxml import etree

from postscan.core.model.job import Job, JobDocument, JobToken
from postscan.core.model.principal import Principal, Proof, User
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.soap.message import addressing, faults, request
from postscan.soap.message.faults import Fault
from postscan.soap.services import configuration, job_elements, operations
from postscan.soap.services.arguments import ElementsRequest, TokenRequest
from postscan.soap.services.operations import CONFIGURATION, LARGEST, MOST_SUMMARIES
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces

MORNING = datetime(2026, 5, 4, 7, 8, 9, 125_999, tzinfo=UTC)


def read(action: str, body: str | None = None) -> object:
    """Return what the reader of an operation makes of a body."""
    return operations.read(message(action, body), CONFIGURATION).request


def refused(action: str, old: str, new: str) -> tuple[str, str] | None:
    """Return the detail of the InvalidArgs that the good body gets when it is changed in one place."""
    assert old in BODIES[action]
    with pytest.raises(Fault) as caught:
        read(action, BODIES[action].replace(old, new, 1))
    fault = faults.of_configuration(caught.value)
    assert fault.subcode == "dsc:InvalidArgs"
    return fault.detail


def job(token: str = TOKEN, name: str = "Notes <& more>") -> Job:
    """Return a new job with two filters."""
    filters = (FilterInstructions(namespaces.FILESHARE, b"<a/>"), FilterInstructions("urn:acme:stamp", b"<a/>"))
    wanted = Instructions("Note", filters)
    process = ScanProcess(messages.PROCESS_ID, name, "scan7", wanted)
    user = User("S-1-1-0", "clerk@contoso.example")
    return Job.create(JobToken(token), Principal("device:1", Proof.ADDRESS), user, process, wanted, MORNING)


@pytest.fixture
def honolulu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock of the machine shows the time of Honolulu, ten hours behind UTC the whole year."""
    monkeypatch.setenv("TZ", "Pacific/Honolulu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# --- reading ---------------------------------------------------------------------------------------------------------


def test_each_request_is_read() -> None:
    """Names in the order of the request, a token, or nothing at all (DSC-050)."""
    assert read("GetRepositoryElements") == names("RepositoryConfiguration", "RepositoryStatus")
    assert read("CancelPostScanJob") == TokenRequest(TOKEN)
    assert read("GetPostScanJobElements") == ElementsRequest(TOKEN, names("JobStatus"))
    assert read("GetActiveJobs") is None
    assert read("GetJobHistory") is None


@pytest.mark.parametrize("action", BODIES)
@pytest.mark.parametrize("other", BODIES)
def test_a_body_belongs_to_its_action(action: str, other: str) -> None:
    """The body of another operation is refused, by its own name (DSC-042)."""
    if action == other:
        return
    with pytest.raises(Fault) as caught:
        read(action, BODIES[other])

    assert caught.value.detail == (namespaces.dsc(f"{other}Request"), "")


def test_the_history_may_be_asked_for_by_the_name_in_the_example() -> None:
    """Microsoft's example has another name than its schema (ws-dsc.md section 8, number 4)."""
    assert read("GetJobHistory", "<dsc:GetJobsHistoryRequest/>") is None
    with pytest.raises(Fault):
        read("GetActiveJobs", "<dsc:GetJobsHistoryRequest/>")


ARGUMENTS = [
    ("GetRepositoryElements", "RequestedElements"),
    ("CancelPostScanJob", "JobToken"),
    ("GetPostScanJobElements", "JobToken"),
    ("GetPostScanJobElements", "RequestedElements"),
]


@pytest.mark.parametrize(("action", "name"), ARGUMENTS)
def test_a_missing_or_repeated_argument_is_named(action: str, name: str) -> None:
    """Too few, and too many (DSC-027)."""
    start = BODIES[action].index(f"<dsc:{name}>")
    end = BODIES[action].index(f"</dsc:{name}>") + len(f"</dsc:{name}>")
    xml = BODIES[action][start:end]

    assert refused(action, xml, "") == (namespaces.dsc(name), "")
    detail = refused(action, xml, xml + xml)
    assert detail
    assert detail[0] == namespaces.dsc(name)


@pytest.mark.parametrize("action", BODIES)
def test_an_argument_that_there_is_not_is_named(action: str) -> None:
    """Also where there are no arguments at all (DSC-042, ws-dsc.md section 2.0, rule 2)."""
    assert refused(action, "Request>", "Request><dsc:Priority> 9 </dsc:Priority>") == (namespaces.dsc("Priority"), "9")


@pytest.mark.parametrize("action", BODIES)
def test_what_is_of_another_namespace_is_ignored(action: str) -> None:
    """Extensions are nobody's business (ruling 19; ws-dsc.md section 5.3)."""
    extended = BODIES[action].replace("Request>", 'Request a="1"><x:Priority xmlns:x="urn:x">9</x:Priority>', 1)

    assert read(action, extended) == read(action)


@pytest.mark.parametrize("action", ["GetRepositoryElements", "GetPostScanJobElements"])
@pytest.mark.parametrize("name", ["", "nope:JobStatus", "dsc:", "a b", "<dsc:Name/>"])
def test_a_name_that_is_none_is_refused(action: str, name: str) -> None:
    """The wrong type is an invalid argument (DSC-027)."""
    asked = "dsc:RepositoryStatus" if action == "GetRepositoryElements" else "dsc:JobStatus"
    detail = refused(action, asked, name)

    assert detail
    assert detail[0] == namespaces.dsc("Name")


def test_no_name_at_all_is_refused() -> None:
    """There is at least one (ws-dsc.md section 2.1)."""
    body = f"<dsc:GetRepositoryElementsRequest>{ASKED.format('')}</dsc:GetRepositoryElementsRequest>"
    with pytest.raises(Fault) as caught:
        read("GetRepositoryElements", body)

    assert caught.value.detail == (namespaces.dsc("Name"), "")


@pytest.mark.parametrize("token", ["", " ", "x" * 256, "<a/>"])
@pytest.mark.parametrize("action", ["CancelPostScanJob", "GetPostScanJobElements"])
def test_a_token_that_cannot_be_one_is_named(action: str, token: str) -> None:
    """Empty, too long, or with elements inside (DSC-027)."""
    detail = refused(action, TOKEN, token)

    assert detail
    assert detail[0] == namespaces.dsc("JobToken")


def test_a_message_of_the_other_service_is_unknown_here() -> None:
    """And one of this service there (DSC-026)."""
    mine = request.SoapRequest(addressing.Header(f"{DSC}/GetActiveJobs", "urn:m", ""), etree.Element("a"))
    theirs = request.SoapRequest(
        addressing.Header(f"{namespaces.DSP}/GetPostScanJobElements", "urn:m", ""), etree.Element("a")
    )
    for asked, port_type in ((mine, operations.PROCESSING), (theirs, CONFIGURATION)):
        with pytest.raises(Fault) as caught:
            operations.read(asked, port_type)

        assert caught.value.subcode == "wsa:ActionNotSupported"
        assert caught.value.detail == (namespaces.wsa("Action"), asked.header.action)


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_the_elements_of_a_job() -> None:
    """Status, description and documents, each in the order of its type."""
    told = job()
    told.receive(JobDocument(9, "png", 1, "00", "b"), MORNING)
    data = one(
        written(configuration.write_elements(told, names("JobStatus", "JobDescription", "Documents"))),
        "dsc:JobElements",
    )

    assert [[namespaces.split(str(leaf.tag))[1] for leaf in each[0]] for each in data] == [
        ["JobToken", "JobState", "FilterStatuses", "ImagesReceived", "JobCreatedTime"],
        ["PSP_Identifier", "PSP_DisplayName", "JobOriginatingUserName"],
        ["Document"],
    ]
    assert texts(data, ".//dsc:DocumentDescription/*") == ["9", "png"]


def test_receipts_are_for_who_asks_for_them_by_name() -> None:
    """As on the other service (ruling 24)."""
    receipts = f'<ps:Receipts xmlns:ps="{namespaces.PS}"/>'
    asked = (RequestedName("ps:Receipts", namespaces.PS, "Receipts"),)
    data = one(written(configuration.write_elements(job(), asked, receipts)), "dsc:JobElements/dsc:ElementData")

    assert (data.get(namespaces.dsc("Valid")), data[0].tag) == ("true", f"{{{namespaces.PS}}}Receipts")


@pytest.mark.usefixtures("honolulu")
def test_times_are_local_with_their_distance_from_utc() -> None:
    """Local as the protocol wants it, and nobody has to guess where that is (DSC-018)."""
    answered = written(configuration.write_elements(job(), names("JobStatus")))

    assert texts(answered, ".//dsc:JobCreatedTime") == ["2026-05-03T21:08:09.125-10:00"]


def test_no_active_job_is_an_empty_list() -> None:
    """And not no list (ws-dsc.md section 8, number 3; DSC-098)."""
    assert len(one(written(configuration.write_active([])), "dsc:ActiveJobs")) == 0


def test_every_active_job_has_its_summary() -> None:
    """With all eight elements, reasons where there are any (DSC-102)."""
    summaries = one(written(configuration.write_active([job("a"), job("b")])), "dsc:ActiveJobs")

    assert texts(summaries, "dsc:JobSummary/dsc:JobToken") == ["a", "b"]
    assert [namespaces.split(str(leaf.tag))[1] for leaf in summaries[0]] == [
        *("JobToken", "PSP_Identifier", "PSP_DisplayName", "JobOriginatingUserName"),
        *("JobState", "FilterStatuses", "ImagesReceived"),
    ]


def cancelled(number: int, name: str = "Notes") -> Job:
    """Return a job that has ended, and says which it is."""
    made = job(f"{number:036}", name)
    made.cancel(MORNING + timedelta(seconds=number))
    return made


@given(st.lists(st.integers(0, 255), max_size=60), st.integers(100, LARGEST))
def test_a_history_holds_as_many_as_there_is_room_for(lengths: list[int], room: int) -> None:
    """The newest, without a gap, and never more octets than that (DPW-043, DSC-114)."""
    jobs = [cancelled(number, "\u20ac" * length) for number, length in enumerate(lengths)]
    body = configuration.write_history(jobs, room)
    told = texts(written(body), ".//dsc:JobToken")
    frame = len(configuration.write_history([], 0))
    small = [made for made in jobs if len(job_elements.summary("dsc", made).encode()) + frame <= room]

    assert len(body.encode()) <= max(room, frame)
    assert told == [made.token for made in small][: len(told)]
    if len(told) < len(small):
        assert len(configuration.write_history(small[: len(told) + 1], LARGEST * 9).encode()) > room


def test_a_job_that_is_larger_than_all_room_hides_no_other() -> None:
    """A device of a lenient server could send thousands of filters."""
    first, giant, last = cancelled(3), cancelled(2), cancelled(1)
    giant.steps = giant.steps * 20
    room = len(configuration.write_history([first, last], LARGEST))
    told = texts(written(configuration.write_history([first, giant, last], room)), ".//dsc:JobToken")

    assert told == [first.token, last.token]


def test_more_ended_jobs_are_looked_at_than_any_envelope_has_room_for() -> None:
    """Or else the history would be shorter than it had to be."""
    smallest = job("t", "n")
    smallest.user = User("S-1-1-0", "u")
    smallest.steps = smallest.steps[:1]
    smallest.steps[0] = type(smallest.steps[0])(0, FilterInstructions("d", b"<a/>"))
    smallest.process_id = "i"

    assert len(job_elements.summary("dsc", smallest)) * MOST_SUMMARIES > LARGEST


# --- events ----------------------------------------------------------------------------------------------------------


def test_a_change_of_the_filters_tells_all_that_there_are_now() -> None:
    """As GetRepositoryElements would (DSC-116, DSC-118)."""
    event = written(configuration.write_elements_change((namespaces.FILESHARE, namespaces.EMAIL)))

    assert event.tag == namespaces.dsc("RepositoryElementsChangeEvent")
    assert texts(event, "dsc:ElementChanges/dsc:RepositoryConfiguration/dsc:Filters/dsc:Filter/dsc:Dialect") == [
        "ftr:email",
        "ftr:fileshare",
    ]


@pytest.mark.parametrize("state", ["Idle", "Processing"])
def test_a_change_of_the_status_tells_the_state(state: str) -> None:
    """With its reasons (DSC-121, DSC-123, DSC-124)."""
    event = written(configuration.write_status_summary(state))

    assert event.tag == namespaces.dsc("RepositoryStatusSummaryEvent")
    assert texts(event, "dsc:StatusSummary/dsc:RepositoryState") == [state]
    assert texts(event, "dsc:StatusSummary/dsc:RepositoryStateReasons/*") == ["None"]
