"""The resources of eSCL over an `EsclMachine`: a request in, an `EsclReply` out.

Source: escl.md section 2; where models differ, `EsclBehaviour` decides.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from postscan.cli.device.escl import documents, hostile_documents, settings_reader
from postscan.cli.device.escl.behaviour.behaviour import EsclBehaviour, HostRule, LocationStyle
from postscan.cli.device.escl.documents import DeviceIdentity, OfferedSettings
from postscan.cli.device.escl.http.messages import EsclReply, EsclRequest
from postscan.cli.device.escl.machine import jpeg
from postscan.cli.device.escl.machine.fetch import FetchEnd
from postscan.cli.device.escl.machine.jobs import FEEDER, PulledJob
from postscan.cli.device.escl.machine.machine import EsclMachine, MachineBusy, PullRefused
from postscan.cli.device.escl.machine.sides import JPEG, ScannedSide


@dataclass(frozen=True, slots=True)
class ScannerAddresses:
    """Where the scanner is: the path of its root, and the URLs that it gives for itself and for another host."""

    root: str
    """"" or "/" and segments, without a slash at the end."""
    url: str
    secure_url: str
    elsewhere: str


@dataclass(frozen=True, slots=True)
class Timing:
    """Parameters of a test: what `late` and `slow` pause for, and where the page *cut_page* is cut (-1: nowhere)."""

    pause: float = 20.0
    cut_at: int = -1
    cut_page: int = 1


class EsclResources:
    """Answers requests below the root of eSCL."""

    def __init__(
        self,
        machine: EsclMachine,
        identity: DeviceIdentity,
        offered: OfferedSettings,
        addresses: ScannerAddresses,
        timing: Timing,
        foreign: ScannedSide,
        vanish: Callable[[], None],
    ) -> None:
        self.machine = machine
        self.timing = timing
        self._vanish = vanish
        self._identity = identity
        self._offered = offered
        self._addresses = addresses
        self._foreign = foreign

    @property
    def behaviour(self) -> EsclBehaviour:
        """The switches of this device."""
        return self.machine.behaviour

    def respond(self, request: EsclRequest) -> EsclReply:
        """Return the reply for a path below the root; 404 for all others."""
        root = f"{self._addresses.root}/"
        if not request.path.startswith(root):
            return EsclReply(404)
        if self.behaviour.to_https and not request.secure:
            origin = self._addresses.secure_url.removesuffix(self._addresses.root)
            return EsclReply(301, headers=(("Location", origin + request.path),))
        first, _, rest = request.path[len(root) :].partition("/")
        match request.method, first, rest:
            case "GET", "ScannerCapabilities", "":
                return self._capabilities()
            case "GET", "ScannerStatus", "":
                return self._status()
            case "POST", "ScanJobs", "":
                return self._create(request)
            case "PUT", "ScanBufferInfo", "":
                return self._buffer_info(request)
            case _, "ScanJobs", _ if rest:
                return self._job(request, rest)
            case _, "ScannerCapabilities" | "ScannerStatus" | "ScanJobs" | "ScanBufferInfo", "":
                return EsclReply(405)
        return EsclReply(404)

    # --- documents

    def _capabilities(self) -> EsclReply:
        behaviour = self.behaviour
        if behaviour.html:
            return EsclReply(200, hostile_documents.HTML, "text/html")
        if behaviour.redirects_elsewhere:
            return EsclReply(302, headers=(("Location", f"{self._addresses.elsewhere}/ScannerCapabilities"),))
        if behaviour.entity_bomb:
            return EsclReply(200, hostile_documents.BOMB)
        if behaviour.huge_capabilities:
            return EsclReply(200, stream=hostile_documents.endless_document())
        if behaviour.compressed_bomb:
            return EsclReply(200, hostile_documents.compressed_bomb(), headers=(("Content-Encoding", "gzip"),))
        data = documents.capabilities(self._identity, self._offered, self.machine.path)
        return self._xml(data)

    def _status(self) -> EsclReply:
        if self.behaviour.html:
            return EsclReply(200, hostile_documents.HTML, "text/html")
        states = self.machine.status()
        listed = self.machine.listed()
        now = self.machine.now()
        return self._xml(documents.status(self._identity.version, states, listed, self._addresses.root, now))

    def _buffer_info(self, request: EsclRequest) -> EsclReply:
        try:
            settings_reader.settings(request.body)
        except settings_reader.BadSettings as error:
            return EsclReply(400, str(error).encode(), "text/plain")
        return self._xml(documents.buffer_info(self.machine.sides[0]))

    def _xml(self, data: bytes) -> EsclReply:
        behaviour = self.behaviour
        headers: tuple[tuple[str, str], ...] = ()
        if behaviour.gzip:
            data, headers = gzip.compress(data, mtime=0), (("Content-Encoding", "gzip"),)
        media_type = "application/octet-stream" if behaviour.wrong_media_type else "text/xml; charset=UTF-8"
        return EsclReply(200, data, media_type, headers, chunked=behaviour.chunked)

    # --- jobs

    def _create(self, request: EsclRequest) -> EsclReply:
        behaviour = self.behaviour
        if behaviour.always_busy:
            return self._busy()
        if behaviour.redirects_elsewhere:
            return EsclReply(307, headers=(("Location", f"{self._addresses.elsewhere}/ScanJobs"),))
        if behaviour.scan_disabled or not _host_fits(request, behaviour.host_rule):
            return EsclReply(400 if behaviour.host_rule is HostRule.PORT else 403)
        try:
            wanted = settings_reader.settings(request.body)
        except settings_reader.BadSettings as error:
            return EsclReply(400, str(error).encode(), "text/plain")
        if not self._is_offered(wanted.resolution, wanted.color, wanted.media_type):
            return EsclReply(409)
        try:
            job = self.machine.create(wanted)
        except MachineBusy:
            return self._busy()
        except PullRefused as refused:
            return EsclReply(int(refused.args[0]))
        location = (("Location", self._location(request, job)),)
        if behaviour.breaks_created:
            return EsclReply(201, b"<created/>", headers=location, cut_at=0)
        return EsclReply(201, headers=location)

    def _is_offered(self, resolution: int, color: str, media_type: str) -> bool:
        offered = self._offered
        return (
            resolution in (0, *offered.resolutions)
            and color in ("", *offered.colors)
            and media_type in ("", *offered.media_types)
        )

    def _location(self, request: EsclRequest, job: PulledJob) -> str:
        path = f"{self._addresses.root}/ScanJobs/{job.name}"
        secure = "s" if request.secure else ""
        match self.behaviour.location:
            case LocationStyle.RELATIVE:
                return path
            case LocationStyle.OTHER_NAME:
                return f"http{secure}://CN26F178X605SZ.03f011b0.hpLedmUSB{path}"
            case LocationStyle.CUT_IPV6:
                return f"http{secure}://[fe80{path}"
            case LocationStyle.ELSEWHERE:
                return f"{self._addresses.elsewhere}/ScanJobs/{job.name}"
        base = self._addresses.secure_url if request.secure else self._addresses.url
        return f"{base}/ScanJobs/{job.name}"

    def _job(self, request: EsclRequest, rest: str) -> EsclReply:
        name, _, part = rest.partition("/")
        if self.behaviour.always_busy:
            return self._busy()
        job = self.machine.find(name)
        if job is None:
            return EsclReply(404)
        match request.method, part:
            case "DELETE", "":
                self.machine.delete(job)
                return EsclReply(200, silent=self.behaviour.deaf)
            case "GET", "NextDocument":
                return self._next_document(request, job)
            case "GET", "ScanImageInfo":
                return self._image_info(job)
        return EsclReply(405 if part in ("", "NextDocument", "ScanImageInfo") else 404)

    def _image_info(self, job: PulledJob) -> EsclReply:
        if job.last is None:
            return EsclReply(404)
        other = self.behaviour.image_info_of_other_job
        name, uuid = (f"{job.number + 100}", "0000-0000") if other else (job.name, job.uuid)
        return self._xml(documents.image_info(f"{self._addresses.root}/ScanJobs/{name}", uuid, job.last))

    def _next_document(self, request: EsclRequest, job: PulledJob) -> EsclReply:
        behaviour = self.behaviour
        if behaviour.hangs or (behaviour.http_hangs and not request.secure):
            return EsclReply(200, silent=True)
        found = self.machine.fetch(job, request.gone)
        match found.end:
            case FetchEnd.SIDE if found.side is not None:
                return self._page(request, job, found.side)
            case FetchEnd.NOT_READY:
                code = behaviour.not_ready[max(job.refusals - 1, 0) % len(behaviour.not_ready)]
                return self._busy(code)
            case FetchEnd.FINISHED if job.settings.source == FEEDER and job.images:
                return EsclReply(behaviour.feeder_end)
            case FetchEnd.EMPTY | FetchEnd.TROUBLE:
                return EsclReply(409)
            case FetchEnd.FAILED:
                return EsclReply(500)
            case FetchEnd.CANCELED:
                return EsclReply(behaviour.cancelled)
            case FetchEnd.GONE:
                return EsclReply(503, silent=True)
        return EsclReply(404)

    def _busy(self, code: int = 503) -> EsclReply:
        headers = (("Retry-After", self.behaviour.retry_after),) if self.behaviour.retry_after else ()
        return EsclReply(code, headers=headers)

    # --- pages

    def _page(self, request: EsclRequest, job: PulledJob, side: ScannedSide) -> EsclReply:
        behaviour, timing = self.behaviour, self.timing
        data = self._data(job, side)
        reply = EsclReply(200, data, side.media_type, chunked=behaviour.chunked)
        if behaviour.content_location:
            number = job.number + 100 if behaviour.page_of_other_job else job.name
            path = f"{self._addresses.root}/ScanJobs/{number}/NextDocument/{job.images + 1}"
            reply.headers = (("Content-Location", path),)
        if behaviour.wrong_media_type:
            reply.media_type = "text/html"
        if behaviour.half_page or behaviour.stalls or behaviour.vanishes:
            reply.cut_at, reply.stalls = max(1, len(data) // 2), behaviour.stalls
        if timing.cut_at >= 0 and job.images + 1 == timing.cut_page:
            reply.cut_at = min(timing.cut_at, len(data) - 1)
        if behaviour.late:
            reply.delay = timing.pause
        if behaviour.slow:
            reply.seconds = timing.pause
        if behaviour.endless_page:
            reply.stream = itertools.chain((data,), itertools.repeat(bytes(64 * 1024)))
        reply.interrupted = lambda: self.machine.interrupted(job)
        reply.if_interrupted = EsclReply(behaviour.cancelled)
        reply.sent = lambda whole: self._sent(job, request.arrived, whole)
        return reply

    def _data(self, job: PulledJob, side: ScannedSide) -> bytes:
        behaviour = self.behaviour
        if behaviour.page_of_other_job:
            return self._foreign.data
        data = side.data
        if behaviour.guessed_height and side.media_type == JPEG and job.settings.source == FEEDER:
            data = jpeg.with_number_of_lines(data, side.height + side.height // 4)
        return data[: len(data) // 2] if behaviour.short_image else data

    def _sent(self, job: PulledJob, began: float, whole: bool) -> None:
        self.machine.sent(job, began, whole=whole)
        if self.behaviour.vanishes:
            self._vanish()


def _host_fits(request: EsclRequest, rule: HostRule) -> bool:
    """Tell whether the Host header is one that the device accepts; on loopback every name is local."""
    host = request.headers.get("host", "")
    if rule is HostRule.LOCALHOST:
        return request.on_loopback or host.partition(":")[0].lower() == "localhost"
    if rule is HostRule.PORT:
        return host.rpartition(":")[2].isdecimal() and not host.endswith("]")
    return True
