"""The rows of WS-DSC on a real engine: what an administrator sees and does, and what others hear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import databases
import messages
import pytest
from conftest import ANNA, AnyProcess
from inquiries import ADMIN, BODIES, TOKEN, message, texts
from lxml import etree
from schemas import assert_valid
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import JobNotFound
from postscan.core.model.states import JobState
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.core.settings import Settings
from postscan.soap.message import faults, request
from postscan.soap.message.faults import Fault
from postscan.soap.services import operations
from postscan.soap.services.operations import CONFIGURATION, LARGEST
from postscan.soap.xml import namespaces


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Works]:
    """An engine in which nothing runs, with room for many jobs of one device."""
    limits = {"open_jobs": 1000}
    made = Settings.model_validate(
        {"storage": {"data_dir": str(tmp_path)}, "limits": limits, "filters": {"acme": {"folder": str(tmp_path)}}}
    )
    databases.migrated(made.storage.url)
    core = Engine(made, AnyProcess())
    infos = tuple(FilterInfo(dialect, "", "", 1.0) for dialect in (namespaces.EMAIL, "urn:acme:copy"))
    catalogue = Catalogue((Plugin("test", "", "", PluginState.READY, filters=infos),))
    validator: Any = None  # the catalogue alone is read
    with core.filters.active(catalogue, validator):
        yield Works(core, ANNA)
    core.close()


def answered(idle: Works, asked: request.SoapRequest) -> etree._Element:
    """Return what an administrator gets as the body of a valid answer."""
    by = operations.administrator(asked, ADMIN)
    data = operations.respond(operations.read(asked, CONFIGURATION), idle.service, by)
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
    assert (done.tag, len(done)) == (namespaces.dsc("CancelPostScanJobResponse"), 0)
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
    with pytest.raises(JobNotFound) as caught:
        answered(idle, message("CancelPostScanJob", body, "urn:uuid:00000000-0000-4000-8000-000000000001"))
    fault = faults.of_configuration(faults.from_error(caught.value))

    assert etree.tostring(first) == etree.tostring(again)
    assert (fault.subcode, fault.detail) == ("dsc:ClientErrorJobTokenNotFound", (namespaces.dsc("JobToken"), token))


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
    again = operations.respond_from_cache(operations.read(asked, CONFIGURATION), idle.service, ADMIN)

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
        heard.append((told.code, told.subcode, told.reason, told.detail, told.status()))

    assert heard[0] == heard[1]
    assert heard[0][1] == "dsc:ClientErrorCurrentUserNotScanAdmin"
    assert heard[0][3:] == (None, 400)


def test_an_unknown_token_is_no_job(idle: Works) -> None:
    """DSC-066, DSC-077: and an administrator may look for as many as he likes."""
    for _ in range(idle.core.settings.limits.bad_tokens + 1):
        with pytest.raises(JobNotFound):
            answered(idle, message("GetPostScanJobElements"))
