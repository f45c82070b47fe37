"""Requests of eSCL over one connection: each repeated while the device is not ready, as far as is allowed.

Source: escl.md sections 2 and 6; ESCL-013, ESCL-023, ESCL-024, ESCL-026.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from postscan.plugins.sources.escl.device.quirks import DeviceQuirk
from postscan.plugins.sources.escl.device.scanner import EsclScanner
from postscan.plugins.sources.escl.errors import DeviceBusy, DeviceRefused, ScanBrokenOff
from postscan.plugins.sources.escl.http.client import DeviceAnswer
from postscan.plugins.sources.escl.messages import capabilities, status, xml
from postscan.plugins.sources.escl.messages.capabilities import EsclCapabilities
from postscan.plugins.sources.escl.messages.status import DeviceStatus

TRIES: Final = 10
"""How often a request is sent to a device that is not ready, but for NextDocument."""

LONGEST_PAUSE: Final = 30.0
"""Seconds of Retry-After that are waited at most; a device may ask for years."""

_PAUSE: Final = 1.0
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_MOST_REDIRECTS: Final = 3
_LONGEST_PATH: Final = 1024
_PATH: Final = re.compile(r"/[!-~]*")


class EsclSession:
    """One connection to a scanner, in a block; `stop`, from another thread, ends what waits. Raises `ScannerError`s."""

    def __init__(self, scanner: EsclScanner) -> None:
        self.scanner = scanner
        self.stopped = threading.Event()
        self.client = scanner.client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.__exit__(kind, error, trace)

    def stop(self) -> None:
        """End the request that waits, and refuse all later ones."""
        self.stopped.set()
        self.client.abort()

    def wait(self, seconds: float) -> None:
        """Wait; raise `ScanBrokenOff` as soon as it is stopped."""
        if self.stopped.wait(seconds):
            raise ScanBrokenOff("the scan was broken off")

    def capabilities(self) -> EsclCapabilities:
        """Return the capabilities; read them unless they are fresh. Raises `DeviceRefused` for eSCL 1.x."""
        known = self.scanner.capabilities
        if known is not None and self.scanner.is_fresh:
            return known
        before = self.scanner.quirks
        for _ in range(_MOST_REDIRECTS):
            answer = self._get("ScannerCapabilities")
            if answer.status not in _REDIRECTS:
                break
            self.scanner.redirected(answer.headers.get("location", ""))
            self._connect_again()
        found = capabilities.read(_body(answer, "ScannerCapabilities"))
        self.scanner.server = answer.headers.get("server", "")[:255]
        self.scanner.learn(found)
        if self.scanner.quirks != before:
            self._connect_again()  # with another Host field
        if DeviceQuirk.HANGS_OVER_HTTP in self.scanner.quirks and self.scanner.address.scheme == "http":
            self.scanner.report(f"{self.scanner.model} is known to hang over http; give its https address")
        return found

    def status(self) -> DeviceStatus:
        """Return the status."""
        return status.read(_body(self._get("ScannerStatus"), "ScannerStatus"))

    def create_job(self, document: bytes) -> str:
        """Send ScanSettings and return the path of the new job (ESCL-023). Raises `DeviceRefused` or `DeviceBusy`."""
        path = f"{self.scanner.address.root}/ScanJobs"
        answer = self._repeated("POST", path, document, needs_body=False)
        if answer.status != 201:
            raise DeviceRefused(_why_no_job(answer.status))
        return job_path(answer.headers.get("location", ""), path)

    def delete_job(self, path: str, seconds: float | None = None) -> int:
        """Send DELETE once and return the status."""
        return self.client.request("DELETE", path, needs_body=False, seconds=seconds).status

    def _get(self, resource: str) -> DeviceAnswer:
        return self._repeated("GET", f"{self.scanner.address.root}/{resource}")

    def _repeated(self, method: str, path: str, content: bytes = b"", *, needs_body: bool = True) -> DeviceAnswer:
        """Send a request until it is not answered with 503; raise `DeviceBusy` after the last time."""
        for _ in range(TRIES - 1):
            answer = self.client.request(method, path, content, needs_body=needs_body)
            if answer.status != 503:
                return answer
            self.wait(retry_after(answer.headers))
        answer = self.client.request(method, path, content, needs_body=needs_body)
        if answer.status != 503:
            return answer
        raise DeviceBusy(f"the device is busy: it answered {method} {path} with 503 {TRIES} times")

    def _connect_again(self) -> None:
        self.client.__exit__(None, None, None)
        self.client = self.scanner.client()
        if self.stopped.is_set():
            self.client.abort()


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of Retry-After, at most `LONGEST_PAUSE`; 1 if there are none."""
    text = headers.get("retry-after", "").strip()
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        return _PAUSE
    return min(max(float(text), 0.1), LONGEST_PAUSE)


def job_path(location: str, posted: str) -> str:
    """Return the path of a job, from the Location of the answer to a POST to the path *posted*; raise `DeviceRefused`.

    Scheme, host and port are left out, whatever they are: the device is called where it was found.
    """
    path = status.path_of(location.strip())
    if path and not path.startswith("/"):
        path = f"{posted.rpartition('/')[0]}/{path}"
    if not _PATH.fullmatch(path) or len(path) > _LONGEST_PATH or path == "/":
        raise DeviceRefused(f"the device made a job and did not say where: Location is {location[:120]!r}")
    return path


def _body(answer: DeviceAnswer, what: str) -> bytes:
    if answer.status == 200:
        return answer.body
    if answer.status in (401, 403):
        raise DeviceRefused(
            f"the device does not allow {what} ({answer.status}): give user and password, "
            "and allow scans from a computer in the web page of the device"
        )
    raise DeviceRefused(f"the device answered {what} with {answer.status}: {xml.quoted(answer.body)}")


def _why_no_job(found: int) -> str:
    match found:
        case 401 | 403:
            return f"the device does not allow a scan ({found}): see whether its web page allows scans from a computer"
        case 400:
            return "the device did not understand the settings of the scan (400)"
        case 409:
            return "the device cannot scan with these settings now (409)"
    return f"the device did not begin the scan: it answered ScanJobs with {found}"
