"""A client of eSCL of a few lines, for tests of the simulated scanner; it shares nothing with it or with the source."""

from __future__ import annotations

import http.client
import io
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from lxml import etree
from PIL import Image

PWG: Final = "http://www.pwg.org/schemas/2010/12/sm"
SCAN: Final = "http://schemas.hp.com/imaging/escl/2011/05/03"
SPACES: Final = {"pwg": PWG, "scan": SCAN}

SETTINGS: Final = (
    f'<scan:ScanSettings xmlns:scan="{SCAN}" xmlns:pwg="{PWG}"><pwg:Version>2.0</pwg:Version>'
    "<pwg:InputSource>{source}</pwg:InputSource><scan:ColorMode>RGB24</scan:ColorMode>"
    "<pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat><scan:XResolution>{dots}</scan:XResolution>"
    "<scan:YResolution>{dots}</scan:YResolution>{duplex}</scan:ScanSettings>"
)


def jpeg_page(number: int, width: int = 120, height: int = 160) -> bytes:
    """Make a page that differs from all others, at 300 dots per inch."""
    noise = random.Random(number).randbytes(width * height * 3)
    data = io.BytesIO()
    Image.frombytes("RGB", (width, height), noise).save(data, "JPEG", quality=80, dpi=(300, 300))
    return data.getvalue()


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until the condition holds; fail after *seconds*."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@dataclass(frozen=True)
class EsclAnswer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    data: bytes

    def texts(self, path: str) -> list[str]:
        """Return the texts of the elements of an XPath with the prefixes `pwg` and `scan`."""
        found: Any = etree.fromstring(self.data).xpath(path, namespaces=SPACES)
        return [one.text or "" for one in found]


class EsclTestClient:
    """Calls below one URL, each on a connection of its own."""

    def __init__(self, url: str, seconds: float = 20.0) -> None:
        self.url = url
        self.seconds = seconds
        self.parts = urlsplit(url)

    def connection(self) -> http.client.HTTPConnection:
        """Open a connection; certificates are not verified."""
        host, port = self.parts.hostname or "", self.parts.port
        if self.parts.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return http.client.HTTPSConnection(host, port, timeout=self.seconds, context=context)
        return http.client.HTTPConnection(host, port, timeout=self.seconds)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> EsclAnswer:
        """Call a path below the URL, or an absolute path; raise what `http.client` raises."""
        connection = self.connection()
        try:
            target = path if path.startswith("/") else f"{self.parts.path}/{path}"
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return EsclAnswer(answer.status, names, answer.read())
        finally:
            connection.close()

    def post(self, source: str = "Feeder", *, duplex: bool = False, dots: int = 300, **headers: str) -> EsclAnswer:
        """POST ScanJobs."""
        sides = f"<scan:Duplex>{str(duplex).lower()}</scan:Duplex>" if source == "Feeder" else ""
        return self.call(
            "POST", "ScanJobs", SETTINGS.format(source=source, dots=dots, duplex=sides).encode(), **headers
        )

    def job(self, source: str = "Feeder", *, duplex: bool = False, dots: int = 300) -> str:
        """Create a job; return its path."""
        answer = self.post(source, duplex=duplex, dots=dots)
        assert answer.status == 201, answer
        return urlsplit(answer.headers["location"]).path

    def next(self, job: str) -> EsclAnswer:
        """GET NextDocument."""
        return self.call("GET", f"{job}/NextDocument")

    def pages(self, job: str, at_most: int = 100) -> tuple[list[bytes], int]:
        """Fetch pages until an answer is not 200; return them and that status."""
        pages: list[bytes] = []
        while (answer := self.next(job)).status == 200 and len(pages) < at_most:
            pages.append(answer.data)
        return pages, answer.status

    def status(self) -> EsclAnswer:
        """GET ScannerStatus."""
        return self.call("GET", "ScannerStatus")

    def job_state(self, job: str) -> tuple[str, str]:
        """Return state and reason of the job in ScannerStatus."""
        answer = self.status()
        info = f"//scan:JobInfo[pwg:JobUri='{job}']"
        (state,) = answer.texts(f"{info}/pwg:JobState")
        (reason,) = answer.texts(f"{info}//pwg:JobStateReason")
        return state, reason
