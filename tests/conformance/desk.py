"""An administrator's desk: requests to the configuration service over TLS, and what there is to see in answers."""

from __future__ import annotations

import contextlib
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import certificates
from acceptance.scanning import Refusal, Scanner, good, refusal
from acceptance.server import Server, Tables, running
from certificates import Authority, Credentials, sid_extension
from conformance.wire import content
from device import SOAP, WSA, Answer, Device
from lxml import etree
from plugin_names import unused

DSC = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/configuration"
PS = "urn:postscan:2026"
CHIEF = "S-1-5-21-1-2-3-500"
CLERK = "S-1-5-21-1-2-3-1001"
UNKNOWN = "0f4e8a36-5b1c-4d2e-9f70-a1b2c3d4e5f6"
BOTH = ("dsc:RepositoryConfiguration", "dsc:RepositoryStatus")
ALL = ("dsc:JobStatus", "dsc:JobDescription", "dsc:Documents")
OPERATIONS = ("GetRepositoryElements", "CancelPostScanJob", "GetPostScanJobElements", "GetActiveJobs", "GetJobHistory")


@dataclass(frozen=True)
class Desk:
    """A client of WS-DSC; `device` speaks HTTP for it, and shows its certificate."""

    device: Device

    def ask(self, operation: str, arguments: str = "", *, message_id: str = "", header: str = "") -> Answer:
        """Send the request of an operation with these arguments, as XML."""
        return self.device.post(self.request(operation, arguments, message_id=message_id, header=header))

    def request(self, operation: str, arguments: str = "", *, message_id: str = "", header: str = "") -> bytes:
        """Return that request, for whoever wants to spoil it."""
        return (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}" xmlns:dsc="{DSC}"><soap:Header>'
            f"<wsa:To>{self.device.url}</wsa:To><wsa:Action>{DSC}/{operation}</wsa:Action>"
            f"<wsa:MessageID>{message_id or f'urn:uuid:{uuid.uuid4()}'}</wsa:MessageID>"
            f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo>{header}</soap:Header>"
            f"<soap:Body><dsc:{operation}Request>{arguments}</dsc:{operation}Request></soap:Body></soap:Envelope>"
        ).encode()

    def sample(self, operation: str, token: str = UNKNOWN, **more: str) -> Answer:
        """Send a request of this operation in which nothing is wrong."""
        return self.ask(operation, sample(operation, token), **more)

    def repository(self, *names: str) -> Answer:
        """Ask for elements of the repository, as `dsc:RepositoryStatus`."""
        return self.ask("GetRepositoryElements", asked(*names))

    def cancel(self, token: str) -> Answer:
        """Cancel a job."""
        return self.sample("CancelPostScanJob", token)

    def elements(self, token: str, *names: str) -> Answer:
        """Ask for elements of a job, as `dsc:JobStatus`."""
        return self.ask("GetPostScanJobElements", named(token) + asked(*names))

    def active(self) -> Answer:
        """Ask for the jobs that have not ended."""
        return self.ask("GetActiveJobs")

    def history(self) -> Answer:
        """Ask for those that have."""
        return self.ask("GetJobHistory")


@dataclass(frozen=True)
class Office:
    """A server with TLS that knows an administrator; the administrator's desk, and a device in front of it."""

    server: Server
    ca: Authority
    desk: Desk
    scanner: Scanner

    def desk_of(self, shows: Credentials | None) -> Desk:
        """Return the desk of somebody with this certificate, or without any."""
        return Desk(Device(configuration_url(self.server), tls=certificates.client(self.server.home, self.ca, shows)))

    def user(self, sid: str) -> Credentials:
        """Issue a user's certificate."""
        return self.ca.issue("user", also=[sid_extension(sid)])

    def named_device(self) -> Scanner:
        """Return a device where the clerk shows a certificate."""
        scanner = Scanner(self.server)
        scanner.device.user = CLERK
        scanner.device.tls = certificates.client(self.server.home, self.ca, self.user(CLERK))
        return scanner


@contextlib.contextmanager
def open_office(home: Path, settings: Tables | None = None) -> Iterator[Office]:
    """Run a server while the body runs; a client may show a certificate, and the chief administers."""
    ca = Authority()
    tables: dict[str, Any] = {
        "tls": certificates.server_table(home, ca, mode="server"),
        "identity": {"administrators": [CHIEF]},
        "running": {"term_seconds": 0.3, "cancel_answer_seconds": 20.0},
        "events": {"deadline_seconds": 60.0},
        "plugins": {"disabled": unused("fileshare", "email")},
        f'users."{CLERK}"': {"name": "clerk@fabrikam.example"},
        **(settings or {}),
    }
    chief = ca.issue("chief", also=[sid_extension(CHIEF)])
    with running(home, tables) as server:
        scanner = Scanner(server)
        scanner.device.tls = certificates.client(home, ca)
        desk = Desk(Device(configuration_url(server), tls=certificates.client(home, ca, chief)))
        yield Office(server, ca, desk, scanner)


def configuration_url(server: Server) -> str:
    """Return the address of the configuration service."""
    return server.url.removesuffix(server.settings.server.path) + server.settings.server.configuration_path


def asked(*names: str) -> str:
    """Return RequestedElements with these names."""
    listed = "".join(f"<dsc:Name>{name}</dsc:Name>" for name in names)
    return f"<dsc:RequestedElements>{listed}</dsc:RequestedElements>"


def named(token: str) -> str:
    """Return a JobToken."""
    return f"<dsc:JobToken>{escape(token)}</dsc:JobToken>"


def sample(operation: str, token: str = UNKNOWN) -> str:
    """Return good arguments of an operation."""
    return {
        "GetRepositoryElements": asked(*BOTH),
        "CancelPostScanJob": named(token),
        "GetPostScanJobElements": named(token) + asked(*ALL),
    }.get(operation, "")


def reprefixed(request: bytes, ours: str, theirs: str) -> bytes:
    """Return a request in which a prefix is another one, where it is declared and where it is used."""
    return re.sub(rf"\b{ours}(?=[:=])".encode(), theirs.encode(), request)


# --- answers -------------------------------------------------------------------------------------------------------


def dsc(name: str) -> str:
    """Return the Clark name of an element or attribute of WS-DSC."""
    return f"{{{DSC}}}{name}"


def local(element: ET.Element) -> str:
    """Return the local name of an element."""
    return element.tag.rpartition("}")[2]


def shape(element: ET.Element) -> list[str]:
    """Return the local names of an element's children."""
    return [local(child) for child in element]


def element_data(answer: Answer) -> list[ET.Element]:
    """Return the ElementData of a good answer, in order."""
    (holder,) = content(good(answer))
    return holder.findall(dsc("ElementData"))


def texts(element: ET.Element, *path: str) -> list[str]:
    """Return the texts at a path of elements of WS-DSC."""
    return [one.text or "" for one in element.iterfind("/".join(map(dsc, path)))]


def summaries(answer: Answer) -> dict[str, ET.Element]:
    """Return the JobSummary elements of a good answer by token, in order."""
    (holder,) = content(good(answer))
    return {texts(one, "JobToken")[0]: one for one in holder.iterfind(dsc("JobSummary"))}


def of_job(desk: Desk, token: str, name: str = "JobStatus") -> ET.Element:
    """Return one element of a job."""
    (data,) = element_data(desk.elements(token, f"dsc:{name}"))
    (only,) = data
    return only


def state_of(desk: Desk, token: str) -> tuple[str, list[str]]:
    """Return the state of a job and its reasons."""
    status = of_job(desk, token)
    return texts(status, "JobState")[0], texts(status, "JobStateReasons", "JobStateReason")


def dialects(desk: Desk) -> list[str]:
    """Return the dialects of the repository's filters, read as an administrator's program has to."""
    found = []
    for one in etree.fromstring(good(desk.repository(BOTH[0])).body).iter(dsc("Filter")):
        qualified, exact = one[0], one.findtext(f"{{{PS}}}Dialect")
        prefix, _, name = (qualified.text or "").partition(":")
        found.append(exact or f"{qualified.nsmap[prefix]}/{name}")
    return found


def fault(answer: Answer) -> tuple[str, str, tuple[str, str] | None]:
    """Return code, subcode and detail of a fault that is valid and tells nothing of the inside."""
    refused: Refusal = refusal(answer)
    return refused.code, refused.subcode, refused.detail


def comparable(answer: Answer, *tokens: str) -> tuple[int, bytes]:
    """Return an answer without what is new in each: its MessageID, what it relates to, and these tokens."""
    body = re.sub(rb"(<wsa:(MessageID|RelatesTo)>)[^<]*", rb"\1", answer.body)
    for token in tokens:
        body = body.replace(token.encode(), b"TOKEN")
    return answer.status, body
