"""A scripted eSCL device on loopback: it does what a test says for each request, and else what a scanner does.

    with EsclDevice([page]) as device:
        device.on("NextDocument", lambda exchange: exchange.answer(503))

It has none of the code of `postscan device --escl`, and none of the source. Every request is kept with its time.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SCAN = "http://schemas.hp.com/imaging/escl/2011/05/03"
PWG = "http://www.pwg.org/schemas/2010/12/sm"
UUID = "4509a320-00a0-008f-00b6-002507510eca"

PROFILE = """<s:SettingProfiles><s:SettingProfile>
<s:ColorModes><s:ColorMode>BlackAndWhite1</s:ColorMode><s:ColorMode>Grayscale8</s:ColorMode><s:ColorMode>RGB24</s:ColorMode></s:ColorModes>
<s:DocumentFormats><p:DocumentFormat>image/jpeg</p:DocumentFormat><p:DocumentFormat>application/pdf</p:DocumentFormat>
<s:DocumentFormatExt>image/jpeg</s:DocumentFormatExt><s:DocumentFormatExt>application/pdf</s:DocumentFormatExt></s:DocumentFormats>
<s:SupportedResolutions><s:DiscreteResolutions>%s</s:DiscreteResolutions></s:SupportedResolutions>
</s:SettingProfile></s:SettingProfiles>
<s:SupportedIntents><s:Intent>Document</s:Intent><s:Intent>Photo</s:Intent></s:SupportedIntents>"""


def input_caps(name: str, resolutions: tuple[int, ...] = (150, 300, 600)) -> str:
    """Return one input of the capabilities: letter wide, 14 inches long."""
    sizes = "".join(f"<s:{n}>{v}</s:{n}>" for n, v in
                    (("MinWidth", 16), ("MaxWidth", 2550), ("MinHeight", 16), ("MaxHeight", 4200)))  # fmt: skip
    discrete = "".join(
        f"<s:DiscreteResolution><s:XResolution>{one}</s:XResolution><s:YResolution>{one}</s:YResolution>"
        "</s:DiscreteResolution>"
        for one in resolutions
    )
    return f"<s:{name}>{sizes}{PROFILE % discrete}</s:{name}>"


def capabilities(model: str = "Acme Scan 1", version: str = "2.63", uuid: str = UUID, more: str = "") -> bytes:
    """Return capabilities with a platen and a feeder for both sides, under prefixes that no device has."""
    inputs = f"<s:Platen>{input_caps('PlatenInputCaps')}</s:Platen>"
    inputs += f"<s:Adf>{input_caps('AdfSimplexInputCaps')}{input_caps('AdfDuplexInputCaps')}</s:Adf>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:ScannerCapabilities xmlns:s="{SCAN}" xmlns:p="{PWG}">'
        f"<p:Version>{version}</p:Version><p:MakeAndModel>{model}</p:MakeAndModel><s:UUID>{uuid}</s:UUID>"
        f"{inputs}{more}</s:ScannerCapabilities>"
    ).encode()


@dataclass
class EsclRequest:
    """A request as it came: when, on `time.monotonic()`; the port of the connection tells connections apart."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int


@dataclass
class DeviceJob:
    """A job of the device."""

    number: int
    left: deque[bytes]
    settings: bytes
    state: str = "Processing"
    reasons: tuple[str, ...] = ("JobScanning",)
    sent: int = 0
    deleted: bool = False


@dataclass
class Exchange:
    """One request and the way to answer it."""

    device: EsclDevice
    request: EsclRequest
    handler: BaseHTTPRequestHandler

    def answer(self, status: int, body: bytes = b"", kind: str = "text/xml", **headers: str) -> None:
        """Answer with a length; *headers* have _ for -."""
        handler = self.handler
        handler.send_response(status)
        fields = {"Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in (fields | {n.replace("_", "-"): v for n, v in headers.items()}).items():
            if value:
                handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def cut(self, *, reset: bool = False) -> None:
        """Close the connection; with *reset* as a crash does."""
        self.handler.close_connection = True
        if reset:
            self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            if not reset:
                self.handler.connection.shutdown(socket.SHUT_RDWR)
            self.handler.connection.close()


Script = Callable[[Exchange], object]


@dataclass
class EsclDevice:
    """The device. `feeder` is its AdfState; "" says nothing. Pages of the feeder are those of `pages`, the platen has
    the first one."""

    pages: list[bytes] = field(default_factory=list)
    model: str = "Acme Scan 1"
    feeder: str = "ScannerAdfLoaded"
    state: str = "Idle"
    root: str = "/eSCL"
    server: str = "Acme_Server"
    newest_first: bool = False
    tls: ssl.SSLContext | None = None
    capabilities: bytes = b""

    def __post_init__(self) -> None:
        self.capabilities = self.capabilities or capabilities(self.model)
        self.requests: list[EsclRequest] = []
        self.jobs: list[DeviceJob] = []
        self.errors: list[BaseException] = []
        self.lock = threading.RLock()
        self._scripts: dict[str, deque[Script] | Script] = {}

    def __enter__(self) -> EsclDevice:
        device = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                device._handle(self)

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  (the names that http.server calls)

            def version_string(self) -> str:
                return device.server

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: Any) -> None:
                pass  # a client that goes away

            def get_request(self) -> tuple[socket.socket, Any]:
                connection, address = self.socket.accept()
                return (device.tls.wrap_socket(connection, True, False) if device.tls else connection), address

        self._http = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        assert not self.errors, self.errors

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._http.server_address[1])

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.root}"

    def on(self, end: str, *scripts: Script, always: bool = False) -> None:
        """Let requests whose path ends so, or whose method is so, be answered by the scripts, one after another.

        The last one stays with *always*; otherwise requests behind them are answered as by a scanner.
        """
        self._scripts[end] = scripts[0] if always else deque(scripts)

    def asked(self, end: str) -> list[EsclRequest]:
        """Return the requests with this method, or whose path ends so."""
        with self.lock:
            return [one for one in self.requests if one.method == end or one.path.endswith(end)]

    def load(self, *pages: bytes) -> None:
        """Put paper into the feeder."""
        with self.lock:
            self.pages = list(pages)
            self.feeder = "ScannerAdfLoaded"

    def job_path(self, number: int = 1) -> str:
        """Return the path of a job."""
        return f"{self.root}/ScanJobs/{number}"

    # --- what a scanner does -------------------------------------------------------------------------------------

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = EsclRequest(
            time.monotonic(), handler.command, handler.path, {n.lower(): v for n, v in handler.headers.items()}, body,
            handler.client_address[1],
        )  # fmt: skip
        with self.lock:
            self.requests.append(request)
            script = self._script(request)
        exchange = Exchange(self, request, handler)
        try:
            (script or self.usual)(exchange)
        except OSError:
            handler.close_connection = True  # the client has gone
        except BaseException as error:
            self.errors.append(error)
            raise

    def _script(self, request: EsclRequest) -> Script | None:
        for end, scripts in self._scripts.items():
            if request.method == end or request.path.endswith(end):
                if not isinstance(scripts, deque):
                    return scripts
                if scripts:
                    return scripts.popleft()
        return None

    def usual(self, exchange: Exchange) -> None:
        """Answer as a scanner does."""
        method, path = exchange.request.method, exchange.request.path
        last = path.rsplit("/", 1)[-1]
        if method == "POST" and path == f"{self.root}/ScanJobs":
            self._create(exchange)
        elif method == "GET" and path == f"{self.root}/ScannerCapabilities":
            exchange.answer(200, self.capabilities)
        elif method == "GET" and path == f"{self.root}/ScannerStatus":
            exchange.answer(200, self.status())
        elif last == "NextDocument":
            self.next(exchange)
        elif method == "DELETE" and (job := self._job(path)) is not None:
            with self.lock:
                job.deleted = True
                if job.state == "Processing":
                    job.state, job.reasons = "Canceled", ("JobCanceledByUser",)
            exchange.answer(200)
        else:
            exchange.answer(404)

    def _create(self, exchange: Exchange) -> None:
        settings = exchange.request.body
        with self.lock:
            if b"<pwg:InputSource>Feeder<" in settings:
                left, self.pages = deque(self.pages), []
            else:
                left = deque(self.pages[:1])
            self.jobs.append(DeviceJob(len(self.jobs) + 1, left, settings))
            number = len(self.jobs)
        exchange.answer(201, Location=f"http://127.0.0.1:{self.port}{self.job_path(number)}")

    def next(self, exchange: Exchange) -> None:
        """Answer NextDocument."""
        job = self._job(exchange.request.path.rpartition("/")[0])
        with self.lock:
            if job is None or job.state == "Canceled" or not job.left:
                if job is not None and job.state == "Processing":
                    job.state, job.reasons = "Completed", ("JobCompletedSuccessfully",)
                exchange.answer(404)
                return
            page = job.left.popleft()
        exchange.answer(200, page, "image/jpeg")
        with self.lock:
            job.sent += 1
            if not job.left:
                if job.state == "Processing":
                    job.state, job.reasons = "Completed", ("JobCompletedSuccessfully",)
                self.feeder = self.feeder and "ScannerAdfEmpty"

    def status(self) -> bytes:
        """Return ScannerStatus."""
        with self.lock:
            jobs = self.jobs[::-1] if self.newest_first else self.jobs
            infos = "".join(self._info(one) for one in jobs)
            feeder = f"<scan:AdfState>{self.feeder}</scan:AdfState>" if self.feeder else ""
            return (
                f'<scan:ScannerStatus xmlns:scan="{SCAN}" xmlns:pwg="{PWG}"><pwg:Version>2.63</pwg:Version>'
                f"<pwg:State>{self.state}</pwg:State>{feeder}<scan:Jobs>{infos}</scan:Jobs></scan:ScannerStatus>"
            ).encode()

    def _info(self, job: DeviceJob) -> str:
        reasons = "".join(f"<pwg:JobStateReason>{one}</pwg:JobStateReason>" for one in job.reasons)
        return (
            f"<scan:JobInfo><pwg:JobUri>{self.job_path(job.number)}</pwg:JobUri><scan:Age>1</scan:Age>"
            f"<pwg:ImagesCompleted>{job.sent}</pwg:ImagesCompleted><pwg:JobState>{job.state}</pwg:JobState>"
            f"<pwg:JobStateReasons>{reasons}</pwg:JobStateReasons></scan:JobInfo>"
        )

    def _job(self, path: str) -> DeviceJob | None:
        number = path.rsplit("/", 1)[-1]
        return self.jobs[int(number) - 1] if number.isdecimal() and 0 < int(number) <= len(self.jobs) else None


def status(code: int, **headers: str) -> Script:
    """Return a script that answers with this status."""
    return lambda exchange: exchange.answer(code, **headers)


def zipped(exchange: Exchange) -> None:
    """Answer as a scanner, packed and in chunks: what the usual answer to a GET of XML becomes."""
    device = exchange.device
    body = device.status() if exchange.request.path.endswith("ScannerStatus") else device.capabilities
    packed = gzip.compress(body)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    middle = len(packed) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in (packed[:middle], packed[middle:]))
    exchange.raw(head + chunks + b"0\r\n\r\n")
