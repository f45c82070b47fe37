"""A device that sends something wrong to a job of its own, and the faults that it may get."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from acceptance.scanning import INVALID, NO_SUCH_JOB, NOT_NOW, Refusal, instructions
from acceptance.server import SHARE, Server
from device import WSA, Answer, Device

PNG = b"\x89PNG and the rest"
UNKNOWN = "0f4e8a36-5b1c-4d2e-9f70-a1b2c3d4e5f6"
UNRELATED = f"{WSA}/id/unspecified"
ASKED = ("copy", f"share {SHARE}", "warn thin")
GET = "<dsp:JobToken>{}</dsp:JobToken><dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"


@dataclass
class Scene:
    """A device with a job in Creating that has one image; all its requests have the same MessageID."""

    server: Server
    device: Device
    token: str
    message_id: str

    def related(self, expected: Refusal) -> Refusal:
        """Return a fault as the answer to this scene's request, unless it is one that relates to nothing."""
        return replace(expected, relates_to=expected.relates_to or self.message_id)

    def create(self, sent: str, stored: str = "", **more: str) -> Answer:
        """Create a job with instructions that differ from the stored ones."""
        identifier = self.server.store(stored or instructions(*ASKED))
        return self.device.create(identifier, sent, message_id=self.message_id, **more)

    def send(self, number: int | str = 2, data: bytes = PNG, format: str = "png", **more: object) -> Answer:
        """Send an image to the job."""
        token = str(more.pop("token", self.token))
        return self.device.send_image(token, number, data, format, message_id=self.message_id, **more)

    def send_spoilt(self, written: bytes, instead: bytes, **more: object) -> Answer:
        """Send an image in a package in which something is written differently."""
        kind, parts = self.device.package(self.token, 2, PNG, message_id=self.message_id, **more)
        body = b"".join(parts)
        assert written in body
        return self.device.post(body.replace(written, instead), kind)

    def send_cut(self, before: bytes) -> Answer:
        """Send an image in a package that ends early: complete as HTTP, not as MIME."""
        kind, parts = self.device.package(self.token, 2, PNG * 1000, message_id=self.message_id)
        body = b"".join(parts)
        return self.device.post(body[: body.rindex(before)], kind)

    def get(self, written: str = "", instead: str = "", **more: str) -> Answer:
        """Query the job with a request in which something is written differently."""
        content = f"<dsp:JobToken>{self.token}</dsp:JobToken>"
        content += "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"
        body = self.device.envelope("GetPostScanJobElements", content, message_id=self.message_id, **more).decode()
        assert written in body
        return self.device.post(body.replace(written, instead).encode())


@contextlib.contextmanager
def nothing_left_behind(server: Server) -> Iterator[None]:
    """Fail if the body leaves a file, a folder, a row or an event."""
    before = server.everything()
    yield
    assert server.everything() == before


Send = Callable[[Scene], Answer]
Case = tuple[Send, Refusal]


def invalid(name: str = "", value: str = "") -> Refusal:
    """Return the fault for a wrong argument; without a name, for a message that cannot be read."""
    return Refusal(400, "soap:Sender", "dsp:InvalidArgs", INVALID, (name, value) if name else None, "")


def unreadable() -> Refusal:
    """Return the fault for an envelope that cannot be read, so that nobody knows what it relates to."""
    return replace(invalid(), relates_to=UNRELATED)


def unknown(token: str) -> Refusal:
    """Return the fault for a token without a job."""
    return Refusal(400, "soap:Sender", "dsp:ClientErrorJobTokenNotFound", NO_SUCH_JOB, ("JobToken", token), "")


def failed() -> Refusal:
    """Return the fault for what cannot be done now."""
    return Refusal(500, "soap:Receiver", "dsp:OperationFailed", NOT_NOW, None, "")
