"""The messages of WS-DSC, and the rows that answer them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import messages
import pytest
from conftest import ANNA, AnyProcess
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from schemas import assert_valid
from works import Works

from postscan import migrations
from postscan.core.assembly import Core
from postscan.core.errors import JobNotFound
from postscan.core.model import (
    Document,
    FilterInstructions,
    Instructions,
    Job,
    JobToken,
    Principal,
    Proof,
    ScanProcess,
    User,
)
from postscan.core.settings import Settings
from postscan.core.states import JobState
from postscan.soap import addressing, answer, configuration, faults, ns, operations, telling
from postscan.soap.arguments import ElementsRequest, TokenRequest
from postscan.soap.asking import RequestedName
from postscan.soap.faults import Fault
from postscan.soap.operations import CONFIGURATION, LARGEST, MOST_SUMMARIES

DSC = ns.DSC
TOKEN = messages.TOKEN
ADMIN = Principal("user:S-1-5-21-1-2-3-500", Proof.CERTIFICATE, admin=True, sid="S-1-5-21-1-2-3-500")
MORNING = datetime(2026, 5, 4, 7, 8, 9, 125_999, tzinfo=UTC)

ASKED = "<dsc:RequestedElements>{}</dsc:RequestedElements>"
BODIES = {
    "GetRepositoryElements": "<dsc:GetRepositoryElementsRequest>"
    + ASKED.format("<dsc:Name>dsc:RepositoryConfiguration</dsc:Name><dsc:Name>dsc:RepositoryStatus</dsc:Name>")
    + "</dsc:GetRepositoryElementsRequest>",
    "CancelPostScanJob": f"<dsc:CancelPostScanJobRequest><dsc:JobToken>{TOKEN}</dsc:JobToken>"
    "</dsc:CancelPostScanJobRequest>",
    "GetPostScanJobElements": f"<dsc:GetPostScanJobElementsRequest><dsc:JobToken>{TOKEN}</dsc:JobToken>"
    + ASKED.format("<dsc:Name>dsc:JobStatus</dsc:Name>")
    + "</dsc:GetPostScanJobElementsRequest>",
    "GetActiveJobs": "<dsc:GetActiveJobsRequest></dsc:GetActiveJobsRequest>",
    "GetJobHistory": "<dsc:GetJobHistoryRequest></dsc:GetJobHistoryRequest>",
}
TAKING_ARGUMENTS = ["GetRepositoryElements", "CancelPostScanJob", "GetPostScanJobElements"]


def message(action: str, body: str | None = None, message_id: str = messages.MESSAGE_ID) -> operations.Message:
    """Return a request to the configuration service as it was read, with the usual body or another."""
    blocks = messages.headers(f"{DSC}/{action}", message_id)
    data = messages.envelope(blocks, BODIES[action] if body is None else body)
    return operations.opened(data.replace(b"<soap:Envelope ", f'<soap:Envelope xmlns:dsc="{DSC}" '.encode()))


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


def written(body: str) -> etree._Element:
    """Return the one element in the body of a valid answer."""
    root = assert_valid(answer.write("urn:a", "urn:b", answer.new_message_id(), body))
    only: etree._Element = root[1][0]
    return only


def one(element: etree._Element, path: str) -> etree._Element:
    """Return the one element at a path with our prefixes."""
    (found,) = element.findall(path, ns.PREFIXES)
    return found


def texts(element: etree._Element, path: str) -> list[str]:
    """Return the texts of all elements at a path with our prefixes."""
    return [found.text or "" for found in element.findall(path, ns.PREFIXES)]


def names(*locals: str) -> tuple[RequestedName, ...]:
    """Return requested names of the service's own."""
    return tuple(RequestedName(f"dsc:{local}", DSC, local) for local in locals)


def job(token: str = TOKEN, name: str = "Notes <& more>") -> Job:
    """Return a new job with two filters."""
    filters = (FilterInstructions(ns.FILESHARE, b"<a/>"), FilterInstructions("urn:acme:stamp", b"<a/>"))
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

    assert caught.value.detail == (ns.dsc(f"{other}Request"), "")


def test_the_history_may_be_asked_for_by_the_name_in_the_example() -> None:
    """Microsoft's example has another name than its schema (WS-DSC digest, section 8, number 4)."""
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

    assert refused(action, xml, "") == (ns.dsc(name), "")
    detail = refused(action, xml, xml + xml)
    assert detail
    assert detail[0] == ns.dsc(name)


@pytest.mark.parametrize("action", BODIES)
def test_an_argument_that_there_is_not_is_named(action: str) -> None:
    """Also where there are no arguments at all (DSC-042, section 2.0, rule 2)."""
    assert refused(action, "Request>", "Request><dsc:Priority> 9 </dsc:Priority>") == (ns.dsc("Priority"), "9")


@pytest.mark.parametrize("action", BODIES)
def test_what_is_of_another_namespace_is_ignored(action: str) -> None:
    """Extensions are nobody's business (ruling 19; section 5.3)."""
    extended = BODIES[action].replace("Request>", 'Request a="1"><x:Priority xmlns:x="urn:x">9</x:Priority>', 1)

    assert read(action, extended) == read(action)


@pytest.mark.parametrize("action", ["GetRepositoryElements", "GetPostScanJobElements"])
@pytest.mark.parametrize("name", ["", "nope:JobStatus", "dsc:", "a b", "<dsc:Name/>"])
def test_a_name_that_is_none_is_refused(action: str, name: str) -> None:
    """The wrong type is an invalid argument (DSC-027)."""
    asked = "dsc:RepositoryStatus" if action == "GetRepositoryElements" else "dsc:JobStatus"
    detail = refused(action, asked, name)

    assert detail
    assert detail[0] == ns.dsc("Name")


def test_no_name_at_all_is_refused() -> None:
    """There is at least one (section 2.1)."""
    body = f"<dsc:GetRepositoryElementsRequest>{ASKED.format('')}</dsc:GetRepositoryElementsRequest>"
    with pytest.raises(Fault) as caught:
        read("GetRepositoryElements", body)

    assert caught.value.detail == (ns.dsc("Name"), "")


@pytest.mark.parametrize("token", ["", " ", "x" * 256, "<a/>"])
@pytest.mark.parametrize("action", ["CancelPostScanJob", "GetPostScanJobElements"])
def test_a_token_that_cannot_be_one_is_named(action: str, token: str) -> None:
    """Empty, too long, or with elements inside (DSC-027)."""
    detail = refused(action, TOKEN, token)

    assert detail
    assert detail[0] == ns.dsc("JobToken")


def test_a_message_of_the_other_service_is_unknown_here() -> None:
    """And one of this service there (DSC-026)."""
    mine = operations.Message(addressing.Header(f"{DSC}/GetActiveJobs", "urn:m", ""), etree.Element("a"))
    theirs = operations.Message(addressing.Header(f"{ns.DSP}/GetPostScanJobElements", "urn:m", ""), etree.Element("a"))
    for asked, port_type in ((mine, operations.PROCESSING), (theirs, CONFIGURATION)):
        with pytest.raises(Fault) as caught:
            operations.read(asked, port_type)

        assert caught.value.subcode == "wsa:ActionNotSupported"
        assert caught.value.detail == (ns.wsa("Action"), asked.header.action)


# --- the repository --------------------------------------------------------------------------------------------------

CUT = {
    ns.FILESHARE: ("http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter", "fileshare"),
    "https://acme.example/filters/stamp-2": ("https://acme.example/filters", "stamp-2"),
    "urn:acme/stamp": ("urn:acme", "stamp"),
    "http://acme:8080/stamp": ("http://acme:8080", "stamp"),
    "http://acme": ("http:/", "acme"),
    f"{ns.DSC}/x": (ns.DSC, "x"),
}
UNCUT = {
    "urn:acme:stamp": "urn_x003A_acme_x003A_stamp",
    "urn:acme/stamp/": "urn_x003A_acme_x002F_stamp_x002F_",
    "urn:acme/2": "urn_x003A_acme_x002F_2",
    "urn:acme/a:b": "urn_x003A_acme_x002F_a_x003A_b",
    "/stamp": "_x002F_stamp",
    "stamp": "stamp",
    "2": "_x0032_",
    "_x003A_": "_x005F_x003A_",
    "a b/c": "a_x0020_b_x002F_c",
    f"{ns.PS}/stamp": "urn_x003A_postscan_x003A_2026_x002F_stamp",
    f"{ns.XML}/lang": None,
    "http://www.w3.org/2000/xmlns//a": None,
    "urn:ä/stamp": None,
    "acme/stamp": None,
    "://acme/stamp": None,
    "http://acme:port/stamp": None,
    "http://acme:80:90/stamp": None,
    "http:///a/stamp": None,
    "urn:a%zz/stamp": None,
    "urn:a#b/stamp": None,
    "urn:\ud800/stamp": None,
    "urn:acme/größe": "urn_x003A_acme_x002F_gr_x00F6__x00DF_e",
    "\U0001f5a8": "_x1F5A8_",
    " ": "_x0020_",
    "": "_x_",
}


@pytest.mark.parametrize("dialect", CUT)
def test_a_dialect_is_cut_at_its_last_slash(dialect: str) -> None:
    """Namespace, slash and local name are the dialect again (section 2.1)."""
    assert configuration.qualified(dialect) == CUT[dialect]
    assert "/".join(CUT[dialect]) == dialect


@pytest.mark.parametrize("dialect", UNCUT)
def test_a_dialect_that_cannot_be_cut_gets_a_name_of_ours(dialect: str) -> None:
    """Colons, slashes at the end, and namespaces that no prefix may be bound to."""
    namespace, local = configuration.qualified(dialect)

    assert namespace == ns.PS
    assert UNCUT[dialect] in (local, None)


DIALECTS = (
    st.text(st.sampled_from("a2_x03AF:/.é \ud800"), max_size=12)
    | st.text(st.sampled_from("ab1:/@-.%#?&[]$"), max_size=12).map(lambda text: f"http:{text}/stamp")
    | st.text(st.characters(), max_size=20)
)


@given(st.sets(DIALECTS, max_size=8))
@example({"urn:acme:stamp", f"{ns.PS}/urn_x003A_acme_x003A_stamp", "urn_x003A_acme_x003A_stamp"})
@example({"_x003A_", ":", "_x005F_x003A_", "_x005F_:"})
@example({"urn:\ud800/a"})
def test_no_two_dialects_have_one_name(dialects: set[str]) -> None:
    """An administrator's program tells filters apart by the qualified name alone."""
    assert len({configuration.qualified(dialect) for dialect in dialects}) == len(dialects)


@given(st.sets(DIALECTS, max_size=4))
def test_whatever_a_filter_is_called_the_answer_is_valid(dialects: set[str]) -> None:
    """A dialect is a plugin's own text (T-X11); the name in the answer resolves to what was meant."""
    answered = written(configuration.write_repository_elements(names("RepositoryConfiguration"), dialects, "Idle"))
    resolved = []
    for element in answered.iterfind(".//dsc:Filter/dsc:Dialect", ns.PREFIXES):
        prefix, _, local = (element.text or "").partition(":")
        resolved.append((element.nsmap[prefix], local))

    assert resolved == [configuration.qualified(dialect) for dialect in sorted(dialects)]


def test_each_usable_filter_is_listed_in_a_stable_order() -> None:
    """With its dialect as a QName, an empty FilterConfig, and the exact dialect only where the name is not enough."""
    filters = (ns.SHAREPOINT, "urn:acme:stamp", ns.EMAIL)
    bodies = {
        configuration.write_repository_elements(names("RepositoryConfiguration"), order, "Idle")
        for order in (filters, filters[::-1])
    }
    answered = written(bodies.pop())

    assert bodies == set()
    assert texts(answered, ".//dsc:Filter/dsc:Dialect") == [
        "ftr:email",
        "ftr:sharepoint",
        "ps:urn_x003A_acme_x003A_stamp",
    ]
    assert [[ns.split(str(child.tag))[1] for child in each] for each in answered.iter(ns.dsc("Filter"))] == [
        ["Dialect", "FilterConfig"],
        ["Dialect", "FilterConfig"],
        ["Dialect", "FilterConfig", "Dialect"],
    ]
    assert [exact.text for exact in answered.iter(f"{{{ns.PS}}}Dialect")] == ["urn:acme:stamp"]
    assert {config.tag: len(config) for config in answered.iter(ns.dsc("FilterConfig"))} == {ns.dsc("FilterConfig"): 0}


def test_without_filters_there_is_no_list_of_them() -> None:
    """A list has at least one (section 4.2, FiltersType)."""
    answered = written(configuration.write_repository_elements(names("RepositoryConfiguration"), (), "Idle"))

    assert len(one(answered, ".//dsc:RepositoryConfiguration")) == 0


@pytest.mark.parametrize("state", ["Idle", "Processing"])
def test_the_status_of_the_repository(state: str) -> None:
    """Its state, and the one reason that there is (section 4.6)."""
    answered = written(configuration.write_repository_elements(names("RepositoryStatus"), (), state))
    status = one(answered, ".//dsc:RepositoryStatus")

    assert texts(status, "dsc:RepositoryState") == [state]
    assert texts(status, "dsc:RepositoryStateReasons/dsc:RepositoryStateReason") == ["None"]


def test_names_are_answered_in_order_known_or_not() -> None:
    """The job's elements are unknown here, and so is what has the right name in the wrong namespace (DSC-055)."""
    asked = (*names("RepositoryStatus", "JobStatus"), RequestedName("a:RepositoryStatus", "urn:a", "RepositoryStatus"))
    data = one(written(configuration.write_repository_elements(asked, (), "Idle")), "dsc:RepositoryElements")

    assert [(each.get(ns.dsc("Name")), each.get(ns.dsc("Valid")), len(each)) for each in data] == [
        ("dsc:RepositoryStatus", "true", 1),
        ("dsc:JobStatus", "false", 0),
        ("a:RepositoryStatus", "false", 0),
    ]
    assert data[2].nsmap["a"] == "urn:a"


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_the_elements_of_a_job() -> None:
    """Status, description and documents, each in the order of its type."""
    told = job()
    told.receive(Document(9, "png", 1, "00", "b"), MORNING)
    data = one(
        written(configuration.write_elements(told, names("JobStatus", "JobDescription", "Documents"))),
        "dsc:JobElements",
    )

    assert [[ns.split(str(leaf.tag))[1] for leaf in each[0]] for each in data] == [
        ["JobToken", "JobState", "FilterStatuses", "ImagesReceived", "JobCreatedTime"],
        ["PSP_Identifier", "PSP_DisplayName", "JobOriginatingUserName"],
        ["Document"],
    ]
    assert texts(data, ".//dsc:DocumentDescription/*") == ["9", "png"]


def test_receipts_are_for_who_asks_for_them_by_name() -> None:
    """As on the other service (ruling 24)."""
    receipts = f'<ps:Receipts xmlns:ps="{ns.PS}"/>'
    asked = (RequestedName("ps:Receipts", ns.PS, "Receipts"),)
    data = one(written(configuration.write_elements(job(), asked, receipts)), "dsc:JobElements/dsc:ElementData")

    assert (data.get(ns.dsc("Valid")), data[0].tag) == ("true", f"{{{ns.PS}}}Receipts")


@pytest.mark.usefixtures("honolulu")
def test_times_are_local_with_their_distance_from_utc() -> None:
    """Local as the protocol wants it, and nobody has to guess where that is (DSC-018)."""
    answered = written(configuration.write_elements(job(), names("JobStatus")))

    assert texts(answered, ".//dsc:JobCreatedTime") == ["2026-05-03T21:08:09.125-10:00"]


def test_no_active_job_is_an_empty_list() -> None:
    """And not no list (section 8, number 3; DSC-098)."""
    assert len(one(written(configuration.write_active([])), "dsc:ActiveJobs")) == 0


def test_every_active_job_has_its_summary() -> None:
    """With all eight elements, reasons where there are any (DSC-102)."""
    summaries = one(written(configuration.write_active([job("a"), job("b")])), "dsc:ActiveJobs")

    assert texts(summaries, "dsc:JobSummary/dsc:JobToken") == ["a", "b"]
    assert [ns.split(str(leaf.tag))[1] for leaf in summaries[0]] == [
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
    small = [made for made in jobs if len(telling.summary("dsc", made).encode()) + 100 <= room]

    assert len(body.encode()) <= max(room, len(configuration.write_history([], 0)))
    assert told[: len(small)] == [made.token for made in small][: len(told)]
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

    assert len(telling.summary("dsc", smallest)) * MOST_SUMMARIES > LARGEST


# --- events ----------------------------------------------------------------------------------------------------------


def test_a_change_of_the_filters_tells_all_that_there_are_now() -> None:
    """As GetRepositoryElements would (DSC-116, DSC-118)."""
    event = written(configuration.write_elements_change((ns.FILESHARE, ns.EMAIL)))

    assert event.tag == ns.dsc("RepositoryElementsChangeEvent")
    assert texts(event, "dsc:ElementChanges/dsc:RepositoryConfiguration/dsc:Filters/dsc:Filter/dsc:Dialect") == [
        "ftr:email",
        "ftr:fileshare",
    ]


@pytest.mark.parametrize("state", ["Idle", "Processing"])
def test_a_change_of_the_status_tells_the_state(state: str) -> None:
    """With its reasons (DSC-121, DSC-123, DSC-124)."""
    event = written(configuration.write_status_summary(state))

    assert event.tag == ns.dsc("RepositoryStatusSummaryEvent")
    assert texts(event, "dsc:StatusSummary/dsc:RepositoryState") == [state]
    assert texts(event, "dsc:StatusSummary/dsc:RepositoryStateReasons/*") == ["None"]


# --- the rows --------------------------------------------------------------------------------------------------------


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Works]:
    """An engine in which nothing runs, with room for many jobs of one device."""
    limits = {"open_jobs": 1000}
    made = Settings.model_validate(
        {"storage": {"data_dir": str(tmp_path)}, "limits": limits, "filters": {"acme": {"folder": str(tmp_path)}}}
    )
    migrations.upgrade(made.storage.url)
    core = Core(made, AnyProcess())
    core.service.dialects = (ns.EMAIL, "urn:acme:copy")
    yield Works(core, ANNA)
    core.close()


def answered(idle: Works, asked: operations.Message) -> etree._Element:
    """Return what an administrator gets as the body of a valid answer."""
    by = operations.administrator(asked, ADMIN)
    data = operations.answer(operations.read(asked, CONFIGURATION), idle.service, by)
    assert len(data) <= LARGEST
    root = assert_valid(data)
    assert texts(root, "soap:Header/wsa:Action") == [f"{asked.header.action}Response"]
    only: etree._Element = root[1][0]
    return only


def test_an_administrator_sees_the_filters_and_the_state(idle: Works) -> None:
    """DSC-058, DSC-059."""
    seen = answered(idle, message("GetRepositoryElements"))

    assert texts(seen, ".//dsc:Filter/dsc:Dialect") == ["ftr:email", "ps:urn_x003A_acme_x003A_copy"]
    assert texts(seen, ".//dsc:RepositoryState") == ["Idle"]


def test_an_administrator_sees_and_cancels_the_job_of_a_device(idle: Works) -> None:
    """D3: it ends Canceled, and the audit trail says who did it, and how that was proven."""
    token = idle.create("copy")
    body = BODIES["CancelPostScanJob"].replace(TOKEN, token)
    listed = texts(answered(idle, message("GetActiveJobs")), ".//dsc:JobToken")
    done = answered(idle, message("CancelPostScanJob", body))
    (line,) = [line for line in idle.service.audit(ADMIN, token) if line.verb == "cancel"]

    assert listed == [token]
    assert (done.tag, len(done)) == (ns.dsc("CancelPostScanJobResponse"), 0)
    assert idle.job(token).state is JobState.CANCELED
    assert (line.who, line.proof, line.outcome) == (ADMIN.name, "certificate", "done")
    assert texts(answered(idle, message("GetActiveJobs")), ".//dsc:JobToken") == []
    assert texts(answered(idle, message("GetJobHistory")), ".//dsc:JobState") == ["Canceled"]


def test_a_cancel_that_comes_again_gets_the_same_answer_and_a_new_one_finds_no_job(idle: Works) -> None:
    """D14, and ruling 1: what has ended is not there to be cancelled."""
    token = idle.create("copy")
    body = BODIES["CancelPostScanJob"].replace(TOKEN, token)
    first = answered(idle, message("CancelPostScanJob", body))
    again = answered(idle, message("CancelPostScanJob", body))
    with pytest.raises(Fault) as caught:
        answered(idle, message("CancelPostScanJob", body, "urn:uuid:00000000-0000-4000-8000-000000000001"))
    fault = faults.of_configuration(caught.value)

    assert etree.tostring(first) == etree.tostring(again)
    assert (fault.subcode, fault.detail) == ("dsc:ClientErrorJobTokenNotFound", (ns.dsc("JobToken"), token))
    assert fault.relates_to == "urn:uuid:00000000-0000-4000-8000-000000000001"


def test_a_history_makes_no_envelope_too_large_whatever_it_relates_to(idle: Works) -> None:
    """DPW-043: the request's MessageID comes back in the answer, however long."""
    for _ in range(70):
        idle.service.cancel(idle.create("copy"), ANNA)
    newest = [ended.token for ended in idle.service.history(ADMIN, 100)]

    for message_id in (messages.MESSAGE_ID, "\u20ac" * 2048, "&amp;" * 2048):
        told = texts(answered(idle, message("GetJobHistory", message_id=message_id)), ".//dsc:JobToken")
        assert 0 < len(told) < 70
        assert told == newest[: len(told)]


def test_an_ended_job_is_told_of_while_it_is_remembered(idle: Works) -> None:
    """That is how the outcome of a cancel is learned (DSC-072); and it needs no look at the database a second time."""
    token = idle.create("copy")
    idle.service.cancel(token, ANNA)
    asked = message("GetPostScanJobElements", BODIES["GetPostScanJobElements"].replace(TOKEN, token))
    first = answered(idle, asked)
    again = operations.glance(operations.read(asked, CONFIGURATION), idle.service, ADMIN)

    assert texts(first, ".//dsc:JobState") == ["Canceled"]
    assert again is not None
    assert etree.tostring(assert_valid(again)[1][0]) == etree.tostring(first)


@pytest.mark.parametrize("action", BODIES)
def test_whoever_is_no_administrator_hears_the_same_of_every_operation(action: str) -> None:
    """Ruling 9: before an argument is looked at, so a broken body gets the same as a good one."""
    faulty = "<dsc:Nonsense/>"
    heard = []
    for body in (None, faulty):
        with pytest.raises(Fault) as caught:
            operations.administrator(message(action, body), None)
        told = faults.of_configuration(caught.value)
        heard.append((told.code, told.subcode, told.reason, told.detail, told.relates_to, told.status()))

    assert heard[0] == heard[1]
    assert heard[0][1] == "dsc:ClientErrorCurrentUserNotScanAdmin"
    assert heard[0][3:] == (None, messages.MESSAGE_ID, 400)


def test_an_unknown_token_is_no_job(idle: Works) -> None:
    """DSC-066, DSC-077: and an administrator may look for as many as he likes."""
    for _ in range(idle.core.settings.limits.bad_tokens + 1):
        with pytest.raises(Fault) as caught:
            answered(idle, message("GetPostScanJobElements"))

    assert isinstance(caught.value.__cause__, JobNotFound)
    assert faults.of_configuration(caught.value).__cause__ is caught.value.__cause__
