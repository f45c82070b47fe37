"""DSC-007 to DSC-011, DSC-023 to DSC-033, DSC-042 and the server errors of each operation: how a request is refused."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databases
import pytest
from acceptance.scanning import good, refusal
from acceptance.server import Server
from conformance.desk import (
    BOTH,
    CLERK,
    DSC,
    OPERATIONS,
    UNKNOWN,
    Desk,
    Office,
    asked,
    comparable,
    configuration_url,
    fault,
    of_job,
    open_office,
    sample,
    texts,
)
from conformance.wire import changed, header
from conftest import AnyProcess
from device import SOAP, WSA, Device

from postscan.core import errors
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof
from postscan.core.model.states import JobState, Verb
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.core.settings import Settings
from postscan.soap.message import faults
from postscan.soap.message import request as message_request
from postscan.soap.services import operations

ELSEWHERE = "http://127.0.0.1:9/reply"
SUBCODES = {
    f"dsc:{name}"
    for name in (
        *("InvalidArgs", "OperationFailed", "ClientErrorCurrentUserNotScanAdmin", "ClientErrorJobTokenNotFound"),
        *("ServerErrorInternalError", "ServerErrorTemporaryError", "ServerErrorPostScanJobCanceled"),
    )
}
UNEXPECTED = "The service had an unexpected error"

# --- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DSC-002", "DSC-024")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_it_is_is_for_tls_to_say(office: Office, desk: Desk, operation: str, job: str) -> None:
    """The very same bytes are answered on one connection, and refused on another: with a SOAP fault, and no detail."""
    request = desk.request(operation, sample(operation, job))
    for shows in (None, office.user(CLERK), office.ca.issue("printer-7")):
        refused = refusal(office.desk_of(shows).device.post(request))
        assert (refused.status, refused.code, refused.subcode, refused.detail) == (
            *(400, "soap:Sender", "dsc:ClientErrorCurrentUserNotScanAdmin"),
            None,
        )

    assert good(desk.device.post(request))


@pytest.mark.conformance("DSC-024")
def test_whoever_may_not_ask_learns_nothing_of_operations_arguments_and_tokens(
    office: Office, desk: Desk, job: str
) -> None:
    """Ruling 9, T-O1: the same bytes for every operation, for one's own job, another's, an ended one and for none."""
    clerk = office.desk_of(office.user(CLERK))
    own, ended = office.named_device().create("copy"), office.scanner.create("copy")
    good(desk.cancel(ended))
    before = office.server.everything()
    said = {comparable(clerk.sample(operation)) for operation in OPERATIONS}
    said |= {comparable(clerk.cancel(token)) for token in (job, own, ended, UNKNOWN, "no GUID")}
    said |= {comparable(clerk.elements(token, *BOTH)) for token in (job, own, ended, UNKNOWN)}
    said |= {comparable(clerk.ask(operation, "<dsc:Nonsense/>")) for operation in OPERATIONS}

    assert len(said) == 1
    assert office.server.everything() == before


@pytest.mark.conformance("DSC-024")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_over_plain_http_nobody_may_ask(server: Server, operation: str) -> None:
    """There is no certificate there, and an address proves nothing."""
    desk = Desk(Device(configuration_url(server)))

    assert fault(desk.sample(operation)) == ("soap:Sender", "dsc:ClientErrorCurrentUserNotScanAdmin", None)


def test_at_the_address_of_devices_an_administrator_is_a_user_like_any_other(office: Office, desk: Desk) -> None:
    """T-O8: with the same certificate, on the same server, the job of a device is not there to be seen or cancelled."""
    job = office.scanner.create("copy")
    device = Device(office.server.url, tls=desk.device.tls)
    seen, canceled = device.elements(job).fault(), device.cancel(job).fault()

    assert seen
    assert canceled
    assert seen[1] == canceled[1] == "dsp:ClientErrorJobTokenNotFound"
    assert good(office.scanner.device.elements(job)).find("JobState") == "Creating"


# --- what a fault looks like -----------------------------------------------------------------------------------------


@pytest.mark.conformance("DSC-007")
def test_every_code_of_ours_is_one_of_the_protocol() -> None:
    """A subset, and none of our own: whatever goes wrong inside has one of its codes."""
    known = [getattr(errors, name) for name in dir(errors) if name[0].isupper()]
    raised = [
        errors.JobNotFound("t"),
        errors.WrongState(Verb.CANCEL, JobState.PENDING),
        errors.JobCanceled(Verb.RECEIVE, JobState.CANCELED),
        errors.InvalidArgument("JobToken"),
        *(kind("x") for kind in known if kind.__init__ is Exception.__init__),
        RuntimeError("x"),
    ]
    codes = {faults.of_configuration(faults.from_error(error)).subcode for error in raised}

    assert codes | {faults.not_scan_admin("x").subcode} == SUBCODES


@pytest.mark.conformance("DSC-008", "DSC-010", "DSC-011")
@pytest.mark.parametrize("operation", ["CancelPostScanJob", "GetPostScanJobElements"])
def test_a_fault_has_the_headers_of_a_fault(desk: Desk, operation: str) -> None:
    """To, Action, a MessageID of its own, and which message it answers."""
    answer = desk.sample(operation, message_id="urn:uuid:41d7be0a-9f5c-4c33-8e12-7ab60c95d2f8")
    again = desk.sample(operation)

    assert answer.fault()
    assert header(answer, "To") == f"{WSA}/role/anonymous"
    assert header(answer, "Action") == f"{WSA}/fault"
    assert header(answer, "RelatesTo") == "urn:uuid:41d7be0a-9f5c-4c33-8e12-7ab60c95d2f8"
    assert header(answer, "MessageID").startswith("urn:uuid:")
    assert header(answer, "MessageID") != header(again, "MessageID")


@pytest.mark.conformance("DSC-009")
def test_a_fault_goes_back_where_its_request_came_from(desk: Desk) -> None:
    """The deviation: the anonymous endpoint is the only one there is, and a request that names another is refused."""
    anonymous = f"<wsa:FaultTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:FaultTo>"
    asked_for = desk.sample("CancelPostScanJob", header=anonymous)
    fault_to = desk.sample("GetActiveJobs", header=anonymous.replace(f"{WSA}/role/anonymous", ELSEWHERE))
    reply_to = desk.device.post(changed(desk.request("GetActiveJobs"), f"{WSA}/role/anonymous", ELSEWHERE))

    assert fault(asked_for)[1] == "dsc:ClientErrorJobTokenNotFound"
    for answer, name in ((fault_to, "FaultTo"), (reply_to, "ReplyTo")):
        assert fault(answer) == ("soap:Sender", "wsa:InvalidMessageInformationHeader", (name, ELSEWHERE))


@pytest.mark.conformance("DSC-023")
def test_what_goes_wrong_is_told_by_a_fault(desk: Desk) -> None:
    """With a reason in English, and a status that fits the code."""
    answer = desk.cancel(UNKNOWN)
    text = ET.fromstring(answer.body).find(f".//{{{SOAP}}}Text")

    assert text is not None
    assert text.attrib == {"{http://www.w3.org/XML/1998/namespace}lang": "en"}
    assert answer.status == 400


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.conformance("DSC-026")
@pytest.mark.parametrize("uri", [f"{DSC}/CreatePostScanJob", f"{DSC}/GetActiveJobsResponse", "urn:x"])
def test_an_operation_that_there_is_not_is_named(desk: Desk, uri: str) -> None:
    """By its action; in the words of this service, without a full stop."""
    answer = desk.device.post(changed(desk.request("GetActiveJobs"), f"{DSC}/GetActiveJobs<", f"{uri}<"))

    assert fault(answer) == ("soap:Sender", "wsa:ActionNotSupported", ("Action", uri))
    assert refusal(answer).reason == "The [action] cannot be processed at the receiver"


@pytest.mark.conformance("DSC-027", "DSC-042")
@pytest.mark.parametrize(
    ("operation", "arguments", "detail"),
    [
        ("CancelPostScanJob", "", ("JobToken", "")),
        ("CancelPostScanJob", sample("CancelPostScanJob") * 2, ("JobToken", UNKNOWN)),
        ("GetActiveJobs", "<dsc:Order>newest</dsc:Order>", ("Order", "newest")),
        ("GetRepositoryElements", asked("7"), ("Name", "7")),
    ],
    ids=["too few", "too many", "unknown", "wrong type"],
)
def test_an_invalid_argument_is_named(desk: Desk, operation: str, arguments: str, detail: tuple[str, str]) -> None:
    """In an element of this service's namespace."""
    answer = desk.ask(operation, arguments)

    assert fault(answer) == ("soap:Sender", "dsc:InvalidArgs", detail)
    assert refusal(answer).reason == "At least one input argument is invalid"
    assert f"<dsc:{detail[0]}".encode() in answer.body


@pytest.mark.conformance("DSC-042")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_no_message_of_the_operation_is_an_invalid_argument(desk: Desk, operation: str) -> None:
    """Another operation's body, none at all, and what is no XML."""
    other = "GetJobHistory" if operation == "GetActiveJobs" else "GetActiveJobs"
    request = desk.request(operation, sample(operation))
    wrong = changed(desk.request(other), f"{DSC}/{other}<", f"{DSC}/{operation}<")
    start = request.index(b"<soap:Body>") + len(b"<soap:Body>")
    empty = request[:start] + request[request.index(b"</soap:Body>") :]
    for bad, detail in ((wrong, (f"{other}Request", "")), (empty, None), (request[:-5], None)):
        assert fault(desk.device.post(bad)) == ("soap:Sender", "dsc:InvalidArgs", detail)


@pytest.mark.conformance("DSC-028")
def test_a_state_that_prevents_the_operation_is_a_fault_of_the_receiver() -> None:
    """No operation here runs into one; an error of that kind would be told in these words."""
    told = faults.of_configuration(faults.from_error(errors.WrongState(Verb.CANCEL, JobState.PENDING)))

    assert (told.code, told.subcode, told.detail) == ("Receiver", "dsc:OperationFailed", None)
    assert told.reason == "Scan repository service cannot perform the requested operation"


@contextlib.contextmanager
def data_of(server: Server) -> Iterator[sqlite3.Connection]:
    """Lend the database of a server behind its back."""
    path = server.settings.storage.data_dir / "postscan.sqlite"
    with contextlib.closing(sqlite3.connect(path, 20)) as database, database:
        yield database


@pytest.mark.conformance("DSC-029", "DSC-045", "DSC-064", "DSC-075", "DSC-095", "DSC-105")
def test_a_temporary_error_is_one(tmp_path: Path) -> None:
    """Here: the jobs cannot be read. The unmodified request is answered when they can be again."""
    with open_office(tmp_path) as office:
        job = office.scanner.create("copy")
        requests = {name: office.desk.request(name, sample(name, job)) for name in OPERATIONS}
        with data_of(office.server) as database:
            database.execute("alter table job rename to gone")
        refused = {name: refusal(office.desk.device.post(request)) for name, request in requests.items()}
        with data_of(office.server) as database:
            database.execute("alter table gone rename to job")
        answered = {name: office.desk.device.post(request).fault() for name, request in requests.items()}

    assert {(one.status, one.code, one.subcode, one.reason, one.detail) for one in refused.values()} == {
        (500, "soap:Receiver", "dsc:ServerErrorTemporaryError", UNEXPECTED, None)
    }
    assert answered == dict.fromkeys(OPERATIONS)


@pytest.mark.conformance("DSC-032", "DSC-065", "DSC-076", "DSC-096", "DSC-106")
def test_what_nobody_foresaw_is_an_internal_error_each_time(tmp_path: Path) -> None:
    """Here: jobs whose owners were proven in a way that there is not. What went wrong is told to the log alone."""
    with open_office(tmp_path) as office:
        job, ended = office.scanner.create("copy"), office.scanner.create("copy")
        good(office.scanner.device.cancel(ended))
        with data_of(office.server) as database:
            database.execute("update job set owner_proof = 'hearsay'")
        asking = [name for name in OPERATIONS if name != "GetRepositoryElements"]
        refused = [refusal(office.desk.sample(name, job)) for name in asking * 2]
        log = office.server.log()

    assert {(one.status, one.code, one.subcode, one.reason, one.detail) for one in refused} == {
        (500, "soap:Receiver", "dsc:ServerErrorInternalError", UNEXPECTED, None)
    }
    assert re.search("internal error .*'hearsay' is not a valid Proof", log)


@pytest.mark.conformance("DSC-046")
def test_what_nobody_foresaw_about_the_filters_is_an_internal_error(tmp_path: Path) -> None:
    """Here: a dialect that is no text. The wire cannot cause it, so the row of the operation is asked."""
    settings = Settings.model_validate({"storage": {"data_dir": str(tmp_path)}})
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    dialect: Any = None
    plugin = Plugin("test", "", "", PluginState.READY, filters=(FilterInfo(dialect, "", "", 1.0),))
    validator: Any = None
    request = Desk(Device("http://127.0.0.1/")).request("GetRepositoryElements", asked(*BOTH))
    call = operations.read(message_request.parse_request(request), operations.CONFIGURATION)
    with core.filters.active(Catalogue((plugin,)), validator), pytest.raises(AttributeError) as caught:
        operations.respond(call, core.service, Principal("user:chief", Proof.CERTIFICATE, admin=True))
    core.close()
    told = faults.of_configuration(faults.from_error(caught.value))

    assert (told.code, told.subcode, told.detail) == ("Receiver", "dsc:ServerErrorInternalError", None)


@pytest.mark.conformance("DSC-031")
def test_what_has_a_word_of_its_own_is_told_with_it(office: Office, desk: Desk) -> None:
    """A disk that is full is neither an unknown nor a temporary error; nor is a job that there is not."""
    token = office.scanner.start("fail FileShareOutOfDiskSpace")
    office.scanner.ended(token)
    status = of_job(desk, token)

    assert texts(status, "FilterStatuses", "FilterStatus", "FilterStateReasons", "FilterStateReason") == [
        "FileShareOutOfDiskSpace"
    ]
    assert fault(desk.cancel(token))[1] == "dsc:ClientErrorJobTokenNotFound"


@pytest.mark.conformance("DSC-033")
@pytest.mark.parametrize("operation", ["CancelPostScanJob", "GetPostScanJobElements"])
@pytest.mark.parametrize("token", [UNKNOWN, "{Job 7}", "<&>"])
def test_a_token_that_no_job_has_is_repeated(desk: Desk, operation: str, token: str) -> None:
    """As it was sent, in an element of this service's namespace."""
    answer = desk.sample(operation, token)

    assert fault(answer) == ("soap:Sender", "dsc:ClientErrorJobTokenNotFound", ("JobToken", token))
    assert b"<soap:Detail><dsc:JobToken>" in answer.body
    assert refusal(answer).reason == (
        "A PostScan job identified by the specified dsc:JobToken argument could not be found."
    )
