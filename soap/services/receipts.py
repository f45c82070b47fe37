"""Receipts on the wire: the recorded facts of each filter run.

An extension in our own namespace, sent only in response to a GetPostScanJobElements that requests the QName
`{urn:postscan:2026}Receipts` (ruling 24).
"""

from __future__ import annotations

from collections.abc import Sequence

from postscan.core.model.job import FilterStep, Job
from postscan.core.model.records import Delivery
from postscan.soap.xml import namespaces
from postscan.soap.xml.writing import escape


def write(job: Job, deliveries: Sequence[Delivery]) -> str:
    """Write one Receipt for each filter, in the order of the instructions, with its outputs."""
    receipts = "".join(
        _receipt(step, [one for one in deliveries if one.position == step.position]) for step in job.steps
    )
    return f'<ps:Receipts xmlns:ps="{namespaces.PS}">{receipts}</ps:Receipts>'


def _receipt(step: FilterStep, deliveries: Sequence[Delivery]) -> str:
    receipt = step.receipt
    status = f"<ps:Run>{receipt.status}</ps:Run>" if receipt.status else ""
    stopped = "" if receipt.stopped_after is None else f"<ps:StoppedAfter>{receipt.stopped_after:.3f}</ps:StoppedAfter>"
    outputs = "".join(map(_output, deliveries))
    return (
        f"<ps:Receipt><ps:Dialect>{escape(step.dialect)}</ps:Dialect>{status}<ps:Checks>{receipt.checks}</ps:Checks>"
        f"<ps:LongestGap>{receipt.longest_gap:.3f}</ps:LongestGap>{stopped}{outputs}</ps:Receipt>"
    )


def _output(delivery: Delivery) -> str:
    """Write one output; `Visible` is false for a grant that the filter has not confirmed."""
    document = "" if delivery.document is None else f"<ps:DocumentId>{delivery.document}</ps:DocumentId>"
    return (
        f"<ps:Output>{document}<ps:Destination>{escape(delivery.destination)}</ps:Destination>"
        f"<ps:Name>{escape(delivery.name)}</ps:Name>"
        f"<ps:Visible>{'true' if delivery.published else 'false'}</ps:Visible></ps:Output>"
    )
