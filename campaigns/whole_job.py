"""One complete job, step by step, with what the device sent and what the server acknowledged.

delivered   create, two images, end; the file share filter delivers; the job is Completed
withdrawn   create, an image, cancel before any filter has run
stopped     create, an image, end; delivered, then cancelled while a second filter runs
mailed      create, an image, end; delivered, then sent by mail; the job is Completed
filling     create, an image, end; a filter takes every byte of its disk, and is stopped; the job is Aborted
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from acceptance.scanning import ENDED, Status, instructions, status
from acceptance.server import SHARE, Server
from device import Answer, Device, Fault

_SHARE: Final = f"share {SHARE}"
_PATIENCE: Final = 30.0

FILTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "delivered": (_SHARE,),
    "withdrawn": (_SHARE,),
    "stopped": (_SHARE, "sleep 600"),
    "mailed": (_SHARE, "mail anna@fabrikam.example"),
    "filling": ("evil take-every-byte",),
}
STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "delivered": ("create", "image 1", "image 2", "end"),
    "withdrawn": ("create", "image 1", "cancel"),
    "stopped": ("create", "image 1", "end", "wait", "cancel"),
    "mailed": ("create", "image 1", "end"),
    "filling": ("create", "image 1", "end"),
}
SWEPT: Final = ("delivered", "withdrawn", "stopped")
"""The kinds that need nothing but the server."""

Observer = Callable[[str, float, Fault | None], None]
"""Gets each request that was answered: its step, the seconds until the response, and the fault in it."""


class NoAnswer(Exception):
    """The server did not respond: it is dead, or the connection broke."""


class Refused(Exception):
    """The server responded with an unexpected fault."""

    def __init__(self, step: str, fault: Fault | None) -> None:
        super().__init__(f"{step}: {fault}")
        self.subcode = fault[1] if fault else ""


class Job:
    """A job of one kind on a server that may fail at any moment, sent by the device at *address*.

    *patience* is the most seconds until a response, and until a state. `acknowledged` has the acknowledged steps;
    `unanswered` is the step that was sent without a response.
    """

    def __init__(
        self,
        server: Server,
        kind: str,
        tls: ssl.SSLContext | None = None,
        *,
        address: str | None = None,
        patience: float = _PATIENCE,
        observe: Observer = lambda *_: None,
    ) -> None:
        self.server = server
        self._tls = tls
        self.kind = kind
        self._address = address
        self._patience = patience
        self._observe = observe
        self.token = ""
        self.acknowledged: list[str] = []
        self.unanswered = ""
        self.images = {number: os.urandom(3000) for number in (1, 2) if f"image {number}" in STEPS[kind]}
        self._messages = {step: f"urn:uuid:{uuid.uuid4()}" for step in STEPS[kind]}

    def go_on(self, before: str = "") -> None:
        """Run every step that is not acknowledged, the unanswered one with the identical request; wait for the end.

        Stops at the step *before*, if it is given. Raises `NoAnswer` when the server does not respond, `Refused` for an
        unexpected fault.
        """
        for step in STEPS[self.kind][len(self.acknowledged) :]:
            if step == before:
                return
            self._do(step)
        self._await(ENDED)

    def state(self) -> str:
        """Return the current state of the job, as the server reports it."""
        return self._status().state

    def acknowledged_images(self) -> list[int]:
        """Return the ids of the acknowledged images."""
        return [number for number in self.images if f"image {number}" in self.acknowledged]

    def _do(self, step: str) -> None:
        again = self.unanswered == step
        self.unanswered = step
        if step == "wait":
            self._await_last_filter()
        else:
            answer = self._send(step, self.token)
            if answer.fault() and not (again and self._done_before(step)):
                raise Refused(step, answer.fault())
            if step == "create":
                self.token = answer.find("JobToken") or ""
        self.acknowledged.append(step)
        self.unanswered = ""

    def _done_before(self, step: str) -> bool:
        """Return whether an unanswered request has taken effect, so that its repetition may get a fault."""
        if step == "cancel":
            return self.state() == "Canceled"
        return step == "end" and self.state() in ENDED

    def _send(self, step: str, token: str) -> Answer:
        begun = time.monotonic()
        try:
            answer = self._answer(step, token)
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(step) from error
        self._observe(step, time.monotonic() - begun, answer.fault())
        return answer

    def _answer(self, step: str, token: str) -> Answer:
        device = Device(self.server.url, source_address=self._address, timeout=self._patience, tls=self._tls)
        name, _, number = step.partition(" ")
        message = self._messages.get(step, "")
        if name == "create":
            xml = instructions(*FILTERS[self.kind])
            return device.create(self.server.store(xml), xml, message_id=message)
        if name == "image":
            return device.send_image(token, number, self.images[int(number)], message_id=message)
        if name == "get":
            return device.elements(token)
        return getattr(device, name)(token, message_id=message)  # type: ignore[no-any-return]  # End or Cancel, by its name

    def _status(self) -> Status:
        answer = self._send("get", self.token)
        if answer.fault():
            raise Refused("get", answer.fault())
        return status(answer)

    def _await_last_filter(self) -> None:
        end = time.monotonic() + self._patience
        while self._status().filters[-1] != "Processing":
            self._pause(end, "its last filter to run")

    def _await(self, states: tuple[str, ...]) -> None:
        end = time.monotonic() + self._patience
        while self.state() not in states:
            self._pause(end, f"one of {', '.join(states)}")

    def _pause(self, end: float, what: str) -> None:
        if time.monotonic() > end:
            raise AssertionError(f"job {self.token} is stuck in {self.state()}: waited {self._patience:g} s for {what}")
        time.sleep(0.05)
