"""A scan server of a few lines that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SOAP = "http://www.w3.org/2003/05/soap-envelope"
DSP = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
TOKEN = "5d2c1b8e-0f47-4c9d-a6b3-e18472f0c935"


@dataclass
class Request:
    """What the server was asked: the operation, and everything else as it came."""

    operation: str
    message_id: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """What the server answers: per operation a list of (status, envelope), the last one again and again."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))

    def answer(self, operation: str, content: str = "", status: int = 200) -> None:
        """Add an answer; *content* is the XML inside soap:Body."""
        envelope = (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:dsp="{DSP}"><soap:Body>{content}</soap:Body></soap:Envelope>'
        )
        self.answers[operation].append((status, envelope.encode()))

    def accept(self, *states: str) -> None:
        """Answer as a server that has no objections; the job is in one of *states* after the other."""
        self.answer("CreatePostScanJob", f"<dsp:R><dsp:JobToken>{TOKEN}</dsp:JobToken></dsp:R>")
        for operation in ("SendImage", "EndPostScanJob", "CancelPostScanJob"):
            self.answer(operation, f"<dsp:{operation}Response/>")
        for state in states or ("Completed",):
            self.answer("GetPostScanJobElements", status(state))

    def fault(self, operation: str, subcode: str, code: str = "soap:Sender", http: int = 400, detail: str = "") -> None:
        """Answer with a fault."""
        self.answer(
            operation,
            f"<soap:Fault><soap:Code><soap:Value>{code}</soap:Value><soap:Subcode><soap:Value>{subcode}</soap:Value>"
            f"</soap:Subcode></soap:Code><soap:Reason><soap:Text xml:lang='en'>Because.</soap:Text></soap:Reason>"
            f"{f'<soap:Detail>{detail}</soap:Detail>' if detail else ''}</soap:Fault>",
            http,
        )

    def operations(self) -> list[str]:
        """Return what was asked, the queries left out."""
        return [one.operation for one in self.requests if one.operation != "GetPostScanJobElements"]


def status(state: str, filters: tuple[tuple[str, str], ...] = (("urn:example:one", "Processing"),)) -> str:
    """Return the answer to GetPostScanJobElements for a job in *state*."""
    each = "".join(
        f"<dsp:FilterStatus><dsp:Dialect>{dialect}</dsp:Dialect><dsp:FilterState>{filter_state}</dsp:FilterState>"
        "</dsp:FilterStatus>"
        for dialect, filter_state in filters
    )
    return (
        f"<dsp:R><dsp:JobElements><dsp:ElementData><dsp:JobStatus><dsp:JobToken>{TOKEN}</dsp:JobToken>"
        f"<dsp:JobState>{state}</dsp:JobState><dsp:FilterStatuses>{each}</dsp:FilterStatuses>"
        "<dsp:ImagesReceived>1</dsp:ImagesReceived></dsp:JobStatus></dsp:ElementData></dsp:JobElements></dsp:R>"
    )


@contextlib.contextmanager
def listening() -> Iterator[Script]:
    """Lend a server on a loopback port, and its script."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])) if "Content-Length" in self.headers else b""
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = self._chunks()
            operation = re.search(rb"<wsa:Action>[^<]*/(\w+)</wsa:Action>", body)[1].decode()
            message_id = re.search(rb"<wsa:MessageID>([^<]*)</wsa:MessageID>", body)[1].decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            script.requests.append(Request(operation, message_id, headers, body))
            answers = script.answers[operation]
            code, envelope = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(code)
            self.send_header("Content-Type", "application/soap+xml")
            self.send_header("Content-Length", str(len(envelope)))
            self.end_headers()
            self.wfile.write(envelope)

        def _chunks(self) -> bytes:
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    script.url = f"http://127.0.0.1:{http.server_address[1]}/service"
    yield script
    http.shutdown()
    http.server_close()
    thread.join()
