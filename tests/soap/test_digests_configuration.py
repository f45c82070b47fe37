"""The example messages of WS-DSC, there and back.

What is asked gives the values that stand in it; what we answer is the example's answer, element for element. The times
of our files have a zone, which those of the digest have not: we never leave it to be guessed.
"""

from __future__ import annotations

from example_jobs import OTHER_TOKEN, another_job
from example_messages import example, header, same
from lxml import etree
from schemas import assert_valid

from postscan.core.model.states import FilterState, JobReason, JobState
from postscan.soap.message import addressing, envelope
from postscan.soap.services import configuration, requested_elements
from postscan.soap.xml import namespaces


def body(name: str) -> etree._Element:
    """Return what stands in the body of an example."""
    return envelope.read(example(name)).body


def answered(content: str, name: str) -> bytes:
    """Return an answer with this content to the message that the answer in an example relates to."""
    action = header(name, "Action").removesuffix("Response")
    return addressing.reply(addressing.Header(action, header(name, "RelatesTo"), ""), content)


def test_the_repository_is_asked_for_and_told_with_its_filters_by_name() -> None:
    """ws-dsc.md section 2.1; our list is sorted, the example's is not, and no order was published."""
    names = configuration.read_repository_elements(body("dsc-2.1-GetRepositoryElements"))
    written = answered(
        configuration.write_repository_elements(names, [namespaces.FILESHARE, namespaces.EMAIL], "Idle"),
        "dsc-2.1-GetRepositoryElementsResponse",
    )
    turned = assert_valid(written)
    filters = turned.find(".//dsc:Filters", {"dsc": namespaces.DSC})
    assert filters is not None
    filters.append(filters[0])

    assert [(one.text, one.namespace, one.local) for one in names] == [
        ("dsc:RepositoryConfiguration", namespaces.DSC, "RepositoryConfiguration"),
        ("dsc:RepositoryStatus", namespaces.DSC, "RepositoryStatus"),
    ]
    assert same(etree.tostring(turned), "dsc-2.1-GetRepositoryElementsResponse")


def test_a_cancel_says_which_job() -> None:
    """ws-dsc.md section 2.2."""
    assert configuration.read_cancel(body("dsc-2.2-CancelPostScanJob")).token == OTHER_TOKEN
    assert same(
        answered(configuration.CANCEL_RESPONSE, "dsc-2.2-CancelPostScanJobResponse"),
        "dsc-2.2-CancelPostScanJobResponse",
    )


def test_a_job_is_told_element_by_element() -> None:
    """ws-dsc.md section 2.3; its one document stands in the example for the three that were received."""
    names = [
        requested_elements.RequestedName(f"dsc:{one}", namespaces.DSC, one)
        for one in ("JobStatus", "JobDescription", "Documents")
    ]
    seen = another_job(namespaces.FILESHARE, FilterState.PROCESSING, JobState.PROCESSING)
    written = assert_valid(
        answered(configuration.write_elements(seen, names), "dsc-2.3-GetPostScanJobElementsResponse")
    )
    documents = written.findall(".//dsc:Document", {"dsc": namespaces.DSC})
    for further in documents[1:]:
        further.getparent().remove(further)

    assert len(documents) == 3
    assert same(etree.tostring(written), "dsc-2.3-GetPostScanJobElementsResponse")


def test_no_active_jobs_are_an_empty_list() -> None:
    """ws-dsc.md sections 1.9 and 2.4: the list is there."""
    configuration.read_active(body("dsc-1.9-GetActiveJobs"))
    written = answered(configuration.write_active([]), "dsc-2.4-GetActiveJobsResponse")

    assert same(written, "dsc-2.4-GetActiveJobsResponse")


def test_the_history_tells_how_a_job_has_ended() -> None:
    """ws-dsc.md section 2.5."""
    canceled = another_job(namespaces.EMAIL, FilterState.CANCELED, JobState.CANCELED, JobReason.CANCELED, images=2)
    written = answered(configuration.write_history([canceled], 30_000), "dsc-2.5-GetJobHistoryResponse")

    assert same(written, "dsc-2.5-GetJobHistoryResponse")
