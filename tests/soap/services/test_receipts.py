"""Receipts on the wire: for who asks by our own name, and valid by our own schema (ruling 24)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from schemas import assert_valid

from postscan.core.model.job import Job, Receipt, RunStatus
from postscan.core.model.records import Delivery
from postscan.soap.message import addressing
from postscan.soap.services import processing, receipts
from postscan.soap.services.requested_elements import RequestedName
from postscan.soap.xml import namespaces

HEADER = addressing.Header(namespaces.DSP + "/GetPostScanJobElements", "urn:uuid:1", "")
RECEIPTS = RequestedName("r:Receipts", namespaces.PS, "Receipts")
STATUS = RequestedName("dsp:JobStatus", namespaces.DSP, "JobStatus")


def answered(job: Job, *names: RequestedName, deliveries: list[Delivery] | None = None) -> str:
    """Return a whole valid answer as text."""
    body = processing.write_elements(job, names, receipts.write(job, deliveries or []))
    envelope = addressing.reply(HEADER, body)
    assert_valid(envelope)
    return envelope.decode()


def test_a_receipt_says_what_became_of_each_filter(job: Callable[..., Job]) -> None:
    """Promise 7: its fate, its looks at the token, how fast it stopped, and what it made visible."""
    made = job("urn:acme:copy", "urn:acme:sleep", "urn:acme:never")
    made.steps[0] = replace(made.steps[0], receipt=Receipt(RunStatus.COMPLETED, 4, 0.25))
    made.steps[1] = replace(made.steps[1], receipt=Receipt(RunStatus.STOPPED, 812, 0.002, 0.0071))
    made.steps[2] = replace(made.steps[2], receipt=Receipt(RunStatus.NOT_STARTED))
    outputs = [
        Delivery(0, 1, "\\\\files\\scans", "a & b.png", published=True),
        Delivery(0, None, "mail", "1", published=False),
    ]

    text = answered(made, RECEIPTS, STATUS, deliveries=outputs)

    assert '<dsp:ElementData xmlns:r="urn:postscan:2026" dsp:Name="r:Receipts" dsp:Valid="true">' in text
    assert [part.partition("<")[0] for part in text.split("<ps:Run>")[1:]] == ["completed", "stopped", "not-started"]
    assert (
        "<ps:Checks>812</ps:Checks><ps:LongestGap>0.002</ps:LongestGap><ps:StoppedAfter>0.007</ps:StoppedAfter>" in text
    )
    assert "<ps:DocumentId>1</ps:DocumentId><ps:Destination>\\\\files\\scans</ps:Destination>" in text
    assert "<ps:Name>a &amp; b.png</ps:Name><ps:Visible>true</ps:Visible>" in text
    assert "<ps:Destination>mail</ps:Destination><ps:Name>1</ps:Name><ps:Visible>false</ps:Visible>" in text


def test_who_does_not_ask_never_sees_our_namespace(job: Callable[..., Job]) -> None:
    """A device that knows only the protocol gets only the protocol."""
    assert namespaces.PS not in answered(job(), STATUS)


def test_another_name_of_our_namespace_is_not_known(job: Callable[..., Job]) -> None:
    """Valid is false, as for any unknown name (DSP-054)."""
    unknown = RequestedName("r:Cost", namespaces.PS, "Cost")

    assert 'dsp:Name="r:Cost" dsp:Valid="false"/>' in answered(job(), unknown)
