"""Names of WS-Scan: its namespace, actions of operations and events. Source: ws-scan.md section 1."""

from __future__ import annotations

from typing import Final

from postscan.soap.xml import namespaces

WSCN: Final = "http://schemas.microsoft.com/windows/2006/08/wdp/scan"
WSCN_2006_01: Final = "http://schemas.microsoft.com/windows/2006/01/wdp/scan"
"""The namespace of the published examples, which some devices send (T-1); it is read and never sent."""

CREATE_SCAN_JOB: Final = f"{WSCN}/CreateScanJob"
RETRIEVE_IMAGE: Final = f"{WSCN}/RetrieveImage"
CANCEL_JOB: Final = f"{WSCN}/CancelJob"
VALIDATE_SCAN_TICKET: Final = f"{WSCN}/ValidateScanTicket"
GET_SCANNER_ELEMENTS: Final = f"{WSCN}/GetScannerElements"
GET_JOB_ELEMENTS: Final = f"{WSCN}/GetJobElements"

SCAN_AVAILABLE: Final = f"{WSCN}/ScanAvailableEvent"
ELEMENTS_CHANGE: Final = f"{WSCN}/ScannerElementsChangeEvent"
STATUS_SUMMARY: Final = f"{WSCN}/ScannerStatusSummaryEvent"
JOB_STATUS: Final = f"{WSCN}/JobStatusEvent"
JOB_END_STATE: Final = f"{WSCN}/JobEndStateEvent"


def wscn(name: str) -> str:
    """Return the Clark name of *name* in the namespace of WS-Scan."""
    return f"{{{WSCN}}}{name}"


def canonical(uri: str) -> str:
    """Return a namespace or an action as it is sent: `http:`, and the scan namespace of 2006/08 (WSS-008)."""
    if uri.startswith(("https://schemas.", "https://www.w3.org/")):
        uri = "http" + uri.removeprefix("https")
    if uri == WSCN_2006_01 or uri.startswith(WSCN_2006_01 + "/"):
        return WSCN + uri.removeprefix(WSCN_2006_01)
    return namespaces.XOP if uri == namespaces.XOP_2003 else uri
