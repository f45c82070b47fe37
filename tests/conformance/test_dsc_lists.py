"""DSC-094 to DSC-114: GetActiveJobs and GetJobHistory."""

from __future__ import annotations

from pathlib import Path

import pytest
from acceptance.scanning import good
from conformance.desk import Desk, Office, dsc, fault, open_office, shape, state_of, summaries, texts
from conformance.wire import content, header

LISTS = {"GetActiveJobs": "ActiveJobs", "GetJobHistory": "JobHistory"}
LARGEST = 32_767


@pytest.mark.conformance("DSC-094", "DSC-097", "DSC-098", "DSC-104", "DSC-107", "DSC-108")
@pytest.mark.parametrize("operation", LISTS)
def test_the_response_has_one_list(desk: Desk, operation: str) -> None:
    """Also when there is nothing to list; what is of another namespace in the request is ignored."""
    for arguments in ("", '<x:All xmlns:x="urn:x"/>'):
        answer = good(desk.ask(operation, arguments))

        assert header(answer, "Action").endswith(f"/configuration/{operation}Response")
        assert content(answer).tag == dsc(f"{operation}Response")
        assert shape(content(answer)) == [LISTS[operation]]


@pytest.mark.conformance("DSC-094", "DSC-104")
@pytest.mark.parametrize("operation", LISTS)
def test_an_argument_that_there_is_not_gets_a_fault(desk: Desk, operation: str) -> None:
    """For these take none."""
    assert fault(desk.ask(operation, "<dsc:Limit>5</dsc:Limit>")) == (
        *("soap:Sender", "dsc:InvalidArgs"),
        ("Limit", "5"),
    )


@pytest.mark.conformance("DSC-098")
def test_without_jobs_the_lists_are_empty(tmp_path: Path) -> None:
    """An empty ActiveJobs, and not none, as one example has it."""
    with open_office(tmp_path) as office:
        found = [summaries(answer) for answer in (office.desk.active(), office.desk.history())]

    assert found == [{}, {}]


@pytest.mark.conformance("DSC-099")
def test_every_job_that_has_not_ended_is_active(office: Office, desk: Desk) -> None:
    """From Creating on, of every device; one that has ended is in the other list."""
    running = office.scanner.start("sleep 60")
    office.server.works.await_trace(running, "sleep")
    made, named, canceled = (
        office.scanner.create("copy"),
        office.named_device().create("copy"),
        office.scanner.create("copy"),
    )
    good(office.scanner.device.cancel(canceled))
    active = summaries(desk.active())
    good(desk.cancel(running))

    assert {token: texts(active[token], "JobState") for token in (running, made, named)} == {
        running: ["Processing"],
        made: ["Creating"],
        named: ["Creating"],
    }
    assert canceled not in active
    assert list(summaries(desk.active())) == [one.token for one in office.server.works.core.store.open_jobs()]


FACTS = ("JobToken", "PSP_Identifier", "PSP_DisplayName", "JobOriginatingUserName", "JobState")


@pytest.mark.conformance("DSC-100", "DSC-101", "DSC-102", "DSC-103", "DSC-110", "DSC-111", "DSC-112", "DSC-113")
@pytest.mark.parametrize("ended", [False, True], ids=["active", "history"])
def test_a_summary_has_all_data_of_its_job(office: Office, desk: Desk, ended: bool) -> None:
    """The same that the job says of itself, in the order of its type, and nothing of our own."""
    scanner = office.named_device()
    token = scanner.create("copy", "warn")
    scanner.send(token, 1, 2)
    if ended:
        good(scanner.device.end(token))
        scanner.ended(token)
    one = summaries(desk.history() if ended else desk.active())[token]
    told = office.server.works.core.store.load(token)
    reasons = ["JobStateReasons"] if ended else []

    assert shape(one) == [*FACTS, *reasons, "FilterStatuses", "ImagesReceived"]
    assert [texts(one, name) for name in FACTS] == [
        [token],
        [told.process_id],
        ["Test process"],
        ["clerk@fabrikam.example"],
        ["Completed" if ended else "Creating"],
    ]
    assert texts(one, "JobStateReasons", "JobStateReason") == (["PostScanJobCompletedWithWarnings"] if ended else [])
    assert texts(one, "FilterStatuses", "FilterStatus", "Dialect") == ["urn:acme:copy", "urn:acme:warn"]
    assert texts(one, "FilterStatuses", "FilterStatus", "FilterState") == (
        ["CompletedSuccessfully", "CompletedWithWarnings"] if ended else ["Pending", "Pending"]
    )
    assert texts(one, "ImagesReceived") == ["2"]


@pytest.mark.conformance("DSC-109")
def test_every_final_state_is_history(office: Office, desk: Desk) -> None:
    """Whoever ended the job, and why ever."""
    done, lost, canceled = office.scanner.start("copy"), office.scanner.start("nobody"), office.scanner.create("copy")
    good(desk.cancel(canceled))
    for token in (done, lost):
        office.scanner.ended(token)
    history = summaries(desk.history())

    assert {token: texts(history[token], "JobState") for token in (done, lost, canceled)} == {
        done: ["Completed"],
        lost: ["Aborted"],
        canceled: ["Canceled"],
    }


@pytest.mark.conformance("DSC-109", "DSC-114")
def test_a_history_is_of_the_newest_jobs_that_an_envelope_holds(tmp_path: Path) -> None:
    """The deviation: the server remembers more, and tells of each when it is asked for it by its token."""
    with open_office(tmp_path, {"processes": {"lenient": True}}) as office:
        service, device = office.server.works.service, office.server.works.by
        tokens = [office.server.works.create("copy") for _ in range(70)]
        for token in tokens:
            service.cancel(token, device)
        answer = good(office.desk.history())
        told = list(summaries(answer))
        ended = {token: office.server.works.core.store.load(token).completed for token in tokens}
        first = state_of(office.desk, tokens[0])
        next_one = len(answer.body) // len(told)

    newest = sorted(tokens, key=lambda token: (ended[token], token), reverse=True)  # several may end in a millisecond
    assert told == newest[: len(told)]
    assert LARGEST - next_one < len(answer.body) <= LARGEST
    assert first == ("Canceled", ["PostScanJobCanceled"])
