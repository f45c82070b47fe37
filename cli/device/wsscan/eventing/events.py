"""The bodies of the scanner's events. Source: ws-scan.md sections 1, 5 and 8."""

from __future__ import annotations

import time

from lxml import etree

from postscan.cli.device.wsscan.description.status import (
    DeviceCondition,
    ScannerStatus,
    device_condition,
    reasons,
    state_of,
    written_time,
)
from postscan.cli.device.wsscan.jobs.job_elements import job_end_state, job_status
from postscan.cli.device.wsscan.jobs.job_list import DeviceJob
from postscan.cli.device.wsscan.protocol.soap import SoapWriter


def scan_available(w: SoapWriter, context: str, scan_identifier: str, input_source: str) -> etree._Element:
    """Return ScanAvailableEvent: a destination was chosen at the panel."""
    e = w.element
    return e(
        "wscn:ScanAvailableEvent",
        e("wscn:ClientContext", context),
        e("wscn:ScanIdentifier", scan_identifier),
        *([e("wscn:InputSource", input_source)] if input_source else []),
    )


def elements_change_event(w: SoapWriter, configuration: etree._Element) -> etree._Element:
    """Return ScannerElementsChangeEvent with a new ScannerConfiguration."""
    return w.element("wscn:ScannerElementsChangeEvent", w.element("wscn:ElementChanges", configuration))


def job_status_event(w: SoapWriter, job: DeviceJob) -> etree._Element:
    """Return JobStatusEvent."""
    return w.element("wscn:JobStatusEvent", job_status(w, job))


def job_end_state_event(w: SoapWriter, job: DeviceJob) -> etree._Element:
    """Return JobEndStateEvent."""
    return w.element("wscn:JobEndStateEvent", job_end_state(w, job))


def status_summary_event(w: SoapWriter, status: ScannerStatus, busy: bool) -> etree._Element:
    """Return ScannerStatusSummaryEvent."""
    e = w.element
    state = e("wscn:ScannerState", state_of(status, busy))
    return e("wscn:ScannerStatusSummaryEvent", e("wscn:StatusSummary", state, reasons(w, status)))


def condition_event(w: SoapWriter, condition: DeviceCondition) -> etree._Element:
    """Return ScannerStatusConditionEvent."""
    return w.element("wscn:ScannerStatusConditionEvent", device_condition(w, condition))


def condition_cleared_event(w: SoapWriter, condition: DeviceCondition) -> etree._Element:
    """Return ScannerStatusConditionClearedEvent."""
    e = w.element
    return e(
        "wscn:ScannerStatusConditionClearedEvent",
        e(
            "wscn:DeviceConditionCleared",
            e("wscn:ConditionId", str(condition.id)),
            e("wscn:ConditionClearTime", written_time(time.time())),
        ),
    )
