"""What a person does at a device, in short words: scan, wait, look at what became of it."""

from __future__ import annotations

import itertools
import os
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

import messages
from acceptance.server import Server
from device import DSP, SOAP, Answer, Device
from schemas import assert_valid
from works import until

ENDED = ("Completed", "Canceled", "Aborted")
NEXT = {
    "Creating": {"Pending", "Canceled", "Aborted"},
    "Pending": {"Started", "Canceled"},
    "Started": {"Processing", "Terminating", "Aborted"},
    "Processing": {"Terminating", "Completed", "Aborted"},
    "Terminating": {"Canceled"},
}
"""Which state may follow which, written down again: ws-dsp.md section 8, with the honest Terminating."""

NO_SUCH_JOB = "A PostScan job identified by the specified JobToken argument could not be found."
INVALID = "At least one input argument is invalid."
NOT_NOW = "The service cannot perform the requested operation."
CANCELED = "The PostScan job has been canceled."
UNEXPECTED = "The service had an unexpected error."


@dataclass(frozen=True)
class Status:
    """A JobStatus: `filters` are the filters' states in order, `why` their reasons."""

    state: str
    reasons: tuple[str, ...]
    filters: tuple[str, ...]
    why: tuple[str, ...]
    images: int


@dataclass(frozen=True)
class Refusal:
    """A fault as it came; `detail` is the offending element's local name and what it holds."""

    status: int
    code: str
    subcode: str
    reason: str
    detail: tuple[str, str] | None
    relates_to: str


def instructions(*filters: str, root: str = "Invoice", go_on: str = "") -> str:
    r"""Write instructions: `"copy"`, `"sleep 5"` for filters of the plugin acme, `r"share \\nas\scans"` for shares.

    `"mail anna@fabrikam.example"` sends a mail, `"evil take-every-byte"` does harm.
    """
    proceed = f"<psp:ContinueOnError>{go_on}</psp:ContinueOnError>" if go_on else ""
    inside = "".join(map(_filter, filters))
    name = f"<psp:DocumentRootName>{root}</psp:DocumentRootName>"
    return f"{proceed}{name}<psp:FiltersToProcess>{inside}</psp:FiltersToProcess>"


def _filter(asked: str) -> str:
    name, _, argument = asked.partition(" ")
    dialect, config = f"urn:acme:{name}", f'<a:do xmlns:a="urn:acme">{escape(argument)}</a:do>'
    if name == "evil":
        dialect, config = f"urn:evil:{argument}", '<a:do xmlns:a="urn:evil"/>'
    if name == "share":
        dialect = messages.FILTER + "fileshare"
        shares = f"<f:FileShares><f:ShareUNC>{escape(argument)}</f:ShareUNC></f:FileShares>"
        config = f'<f:FileShareConfig xmlns:f="{dialect}">{shares}</f:FileShareConfig>'
    if name == "mail":
        dialect = messages.FILTER + "email"
        to = f"<m:SendToAddresses><m:EmailAddress>{escape(argument)}</m:EmailAddress></m:SendToAddresses>"
        config = f'<m:EmailConfig xmlns:m="{dialect}">{to}</m:EmailConfig>'
    inside = f"<psp:Dialect>{dialect}</psp:Dialect><psp:Instructions>{config}</psp:Instructions>"
    return f"<psp:Filter>{inside}</psp:Filter>"


class Scanner:
    """One device in front of one server."""

    def __init__(self, server: Server, address: str | None = None) -> None:
        self.server = server
        self.device = Device(server.url, source_address=address, timeout=60)

    def create(self, *filters: str, go_on: str = "") -> str:
        """Create a job of a stored process with these filters; return its token."""
        asked = instructions(*filters, go_on=go_on)
        answer = good(self.device.create(self.server.store(asked), asked))
        token = answer.find("JobToken")
        assert token
        return token

    def send(self, token: str, *numbers: int, size: int = 2000, format: str = "png") -> list[bytes]:
        """Send one random image for each number; return them."""
        images = [os.urandom(size) for _ in numbers or (1,)]
        for number, image in zip(numbers or (1,), images, strict=True):
            good(self.device.send_image(token, number, image, format))
        return images

    def start(self, *filters: str, go_on: str = "") -> str:
        """Scan one page: create, send, end; return the token."""
        token = self.create(*filters, go_on=go_on)
        self.send(token)
        good(self.device.end(token))
        return token

    def status(self, token: str) -> Status:
        """Ask how the job stands."""
        return status(good(self.device.elements(token)))

    def ended(self, token: str) -> Status:
        """Poll until the job has ended."""
        return self.polled(token)[-1]

    def polled(self, token: str) -> list[Status]:
        """Poll until the job has ended; return every answer."""
        seen: list[Status] = []

        def over() -> bool:
            seen.append(self.status(token))
            return seen[-1].state in ENDED

        until(over, f"for job {token} to end")
        return seen

    def await_state(self, token: str, state: str) -> None:
        """Poll until the job is in this state."""
        until(lambda: self.status(token).state == state, f"for job {token} to be {state}")


def good(answer: Answer) -> Answer:
    """Return an answer that is no fault and that our schemas allow."""
    assert (answer.status, answer.fault()) == (200, None), answer.body
    assert_valid(answer.body)
    return answer


def refusal(answer: Answer) -> Refusal:
    """Return the fault in an answer that our schemas allow, and that tells nothing of the inside of the server."""
    assert_silent(answer)
    assert_valid(answer.body)
    fault = answer.fault()
    assert fault, answer.body
    code, subcode, reason, _ = fault
    offending = ET.fromstring(answer.body).find(f".//{{{SOAP}}}Detail/*")
    detail = None if offending is None else (offending.tag.rpartition("}")[2], offending.text or "")
    return Refusal(answer.status, code, subcode, reason, detail, answer.find("RelatesTo") or "")


def assert_silent(answer: Answer) -> None:
    """Fail if an answer tells of paths, versions, libraries or lines of code (threats, fault and status rules)."""
    assert "server" not in answer.headers
    for word in (b"Traceback", b'File "', b"/tmp", b"/work", b"site-packages", b"postscan.", b"uvicorn", b"lxml"):
        assert word not in answer.body, answer.body


def assert_bare(answer: Answer, status: int) -> None:
    """Fail unless an answer is nothing but this status, and ends the connection (threats, fault and status rules)."""
    assert (answer.status, answer.body) == (status, b"")
    assert answer.headers["connection"] == "close"
    assert_silent(answer)


def status(answer: Answer) -> Status:
    """Read the JobStatus in an answer."""
    found = ET.fromstring(answer.body).find(f".//{{{DSP}}}JobStatus")
    assert found is not None

    def texts(path: str) -> tuple[str, ...]:
        return tuple(one.text or "" for one in found.iterfind(path, {"dsp": DSP}))

    return Status(
        state=texts("dsp:JobState")[0],
        reasons=texts("dsp:JobStateReasons/*"),
        filters=texts("dsp:FilterStatuses/*/dsp:FilterState"),
        why=texts("dsp:FilterStatuses/*/dsp:FilterStateReasons/*"),
        images=int(texts("dsp:ImagesReceived")[0]),
    )


def assert_legal(seen: Iterable[Status]) -> None:
    """Fail if one of the polled states does not lead to the next."""
    path = list(dict.fromkeys(one.state for one in seen))
    for before, after in itertools.pairwise(path):
        assert leads_to(before, after), path


def leads_to(before: str, after: str) -> bool:
    """Return whether *after* can come any time after *before*: a poll may miss what was between them."""
    return any(after == one or leads_to(one, after) for one in NEXT.get(before, ()))
