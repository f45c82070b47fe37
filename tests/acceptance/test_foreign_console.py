"""An administrator's console that is not ours: zeep, driven by the WSDL of the configuration service, over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import zeep
from acceptance.test_foreign_client import Addressed
from certificates import sid_extension
from conformance.desk import CHIEF, CLERK, DSC, Office, configuration_url, open_office
from lxml import etree
from zeep.transports import Transport


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A server with TLS and an administrator."""
    with open_office(tmp_path_factory.mktemp("console")) as office:
        yield office


def console(office: Office, folder: Path, user: str) -> zeep.Client:
    """Return a client that read nothing but the WSDL, and shows the certificate of this user."""
    session = requests.Session()
    session.trust_env = False  # some machines name the CAs to believe in their environment
    session.verify = str(office.ca.write(folder, "ca.pem"))
    session.cert = str(office.ca.issue("console", also=[sid_extension(user)]).write(folder, "console.pem"))
    address = f"{configuration_url(office.server)}?wsdl"
    return zeep.Client(address, transport=Transport(session=session), plugins=[Addressed()])


@pytest.fixture
def chief(office: Office, tmp_path: Path) -> zeep.Client:
    """The administrator's console."""
    return console(office, tmp_path, CHIEF)


def elements(client: zeep.Client, operation: str, *names: str, **more: Any) -> dict[str, Any]:
    """Return what an operation says of the elements with these names."""
    wanted = {"Name": [etree.QName(DSC, name) for name in names]}
    answer = getattr(client.service, operation)(RequestedElements=wanted, **more)
    return {name: data[name] for name, data in zip(names, answer["ElementData"], strict=True)}


def text(element: Any) -> str:
    """Return the text of an element that may have attributes of strangers."""
    return str(element["_value_1"])


def test_it_sees_the_repository_and_the_filters_of_third_parties(chief: zeep.Client) -> None:
    """GetRepositoryElements: by qualified names, which zeep resolves."""
    found = elements(chief, "GetRepositoryElements", "RepositoryConfiguration", "RepositoryStatus")
    dialects = [str(one["Dialect"]) for one in found["RepositoryConfiguration"]["Filters"]["Filter"]]

    assert text(found["RepositoryStatus"]["RepositoryState"]) == "Idle"
    assert any("fileshare" in one for one in dialects)
    assert any("acme" in one for one in dialects)


def test_it_sees_a_job_from_the_list_of_the_active_to_the_history(office: Office, chief: zeep.Client) -> None:
    """GetActiveJobs, GetPostScanJobElements, CancelPostScanJob, GetJobHistory: a job of somebody else's."""
    token = office.scanner.start("sleep 60")

    assert token in [text(job["JobToken"]) for job in chief.service.GetActiveJobs()["JobSummary"]]
    chief.service.CancelPostScanJob(JobToken=token)
    office.scanner.ended(token)
    seen = elements(chief, "GetPostScanJobElements", "JobStatus", "JobDescription", JobToken=token)
    assert text(seen["JobStatus"]["JobState"]) == "Canceled"
    assert text(seen["JobDescription"]["PSP_DisplayName"]) == "Test process"
    (ended,) = [job for job in chief.service.GetJobHistory()["JobSummary"] if text(job["JobToken"]) == token]
    assert [text(one) for one in ended["JobStateReasons"]["JobStateReason"]] == ["PostScanJobCanceled"]


def test_whoever_is_no_administrator_gets_a_fault(office: Office, tmp_path: Path) -> None:
    """T-O1: with the subcode by which the WSDL names it."""
    with pytest.raises(zeep.exceptions.Fault) as caught:
        console(office, tmp_path, CLERK).service.GetActiveJobs()

    names = [etree.QName(code).localname for code in caught.value.subcodes]
    assert names == ["ClientErrorCurrentUserNotScanAdmin"]
