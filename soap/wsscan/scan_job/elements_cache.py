"""What a device offers, asked once and kept until it changes. Source: ws-scan.md sections 6 and 10."""

from __future__ import annotations

import threading
from typing import Final

from postscan.soap.wsscan.client import ScannerClient
from postscan.soap.wsscan.faults import BAD_ARGUMENTS, DeviceAway, DeviceFault, InvalidAnswer
from postscan.soap.wsscan.messages import elements
from postscan.soap.wsscan.messages.configuration import ScannerElements, WsdStatus
from postscan.soap.wsscan.messages.names import GET_SCANNER_ELEMENTS
from postscan.soap.wsscan.model import Scanner

SECONDS: Final = 5.0
"""Longest wait for an answer: a device waits for the job of its press meanwhile."""

_KEPT: Final = (elements.CONFIGURATION, elements.DEFAULT_TICKET)


class ElementsCache:
    """Configuration and default ticket of one device; several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: ScannerElements | None = None
        self._changes = 0

    def clear(self) -> None:
        """Forget what is kept: after a ScannerElementsChangeEvent, and after the device was away."""
        with self._lock:
            self._kept = None
            self._changes += 1

    def elements(self, client: ScannerClient, scanner: Scanner) -> ScannerElements:
        """Return what the device offers; nothing if it does not state it, which is then asked again the next time.

        Raises `CallAborted` and `Cancelled`.
        """
        with self._lock:
            if self._kept is not None:
                return self._kept
            changes = self._changes
        found = _asked(client, scanner)
        with self._lock:
            if found.configuration is not None and changes == self._changes:
                self._kept = found
        return found


def ask_status(client: ScannerClient, scanner: Scanner) -> WsdStatus:
    """Return the status of the device; an unknown one if it does not state it."""
    try:
        return _ask(client, scanner, (elements.STATUS,)).status or WsdStatus()
    except (DeviceFault, DeviceAway):
        return WsdStatus()


def _asked(client: ScannerClient, scanner: Scanner) -> ScannerElements:
    """Ask for both elements, and for the configuration alone if the device faults on the pair (an Epson)."""
    try:
        return _ask(client, scanner, _KEPT)
    except DeviceFault as fault:
        if not fault.named(BAD_ARGUMENTS):
            return ScannerElements()
    except InvalidAnswer:
        pass
    except DeviceAway:
        return ScannerElements()
    try:
        return _ask(client, scanner, (elements.CONFIGURATION,))
    except (DeviceFault, DeviceAway):
        return ScannerElements()


def _ask(client: ScannerClient, scanner: Scanner, names: tuple[str, ...]) -> ScannerElements:
    body = elements.write_get_elements(names)
    return elements.read_elements(client.call(scanner.service, GET_SCANNER_ELEMENTS, body, seconds=SECONDS))
