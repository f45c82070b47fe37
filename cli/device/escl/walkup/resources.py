"""The resources of HP's walk-up interfaces over a `WalkupMachine`: a request in, an `EsclReply` out.

Source: escl.md section 8.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from postscan.cli.device.escl.http.messages import EsclReply, EsclRequest
from postscan.cli.device.escl.settings_reader import BadSettings
from postscan.cli.device.escl.walkup import documents, names
from postscan.cli.device.escl.walkup.names import WalkupApi
from postscan.cli.device.escl.walkup.walkup import NoWalkupRoom, WalkupDestination, WalkupMachine

LONGEST_POLL: Final = 300.0
"""Seconds that a request for events may wait, whatever it asks for."""


class WalkupResources:
    """Answers requests for the paths of escl.md section 8; *origin* is scheme, host, port; *root* the path of eSCL."""

    def __init__(self, machine: WalkupMachine, origin: str, root: str) -> None:
        self.machine = machine
        self._origin = origin
        self._root = root

    def respond(self, request: EsclRequest) -> EsclReply | None:
        """Return the reply, or None for a path that is not of this interface."""
        api, words = self.machine.api, self.machine.api.value
        comp = api is WalkupApi.COMP
        path = request.path
        folder, _, identity = path.rpartition("/")
        if folder == words.destinations and identity:
            return self._destination(request.method, self.machine.find(identity))
        if path == words.destinations and request.method == "POST":
            return self._register(request)
        if path == names.EVENT_TABLE:
            return self._table(request) if request.method == "GET" else EsclReply(405)
        known = {
            names.DISCOVERY_TREE: lambda: documents.discovery_tree(words),
            names.ESCL_MANIFEST: lambda: documents.escl_manifest(self._root),
            words.manifest: lambda: documents.walkup_manifest(api),
            words.destinations: lambda: documents.destination_list(api, self.machine.destinations, self._origin),
        }
        if comp:
            known[words.caps] = self._caps
            known[words.event] = lambda: documents.walkup_event(words, self.machine.state)
        if path not in known:
            return None
        return EsclReply(200, known[path]()) if request.method == "GET" else EsclReply(405)

    def _caps(self) -> bytes:
        machine = self.machine
        return documents.walkup_caps(
            machine.api.value, multi_page=machine.multi_page, action_seconds=machine.action_seconds
        )

    def _register(self, request: EsclRequest) -> EsclReply:
        try:
            name, host = documents.registration(self.machine.api, request.body)
            added = self.machine.register(name, host)
        except BadSettings as error:
            return EsclReply(400, str(error).encode(), "text/plain")
        except NoWalkupRoom:
            return EsclReply(503)
        location = f"{self._origin}{self.machine.api.value.destinations}/{added.identity}"
        return EsclReply(201, headers=(("Location", location),))

    def _destination(self, method: str, found: WalkupDestination | None) -> EsclReply:
        if found is None:
            return EsclReply(404)
        if method == "DELETE":
            return EsclReply(204 if self.machine.delete(found.identity) else 404)
        if method == "GET":
            return EsclReply(200, documents.chosen_destination(self.machine.api, found, self._origin))
        return EsclReply(405)

    def _table(self, request: EsclRequest) -> EsclReply:
        """Answer at once, or, if the client has the newest ETag, as soon as there is a newer one."""
        known = request.headers.get("if-none-match", "").strip().removeprefix("W/").strip('"')
        found = self.machine.table(known, _poll_seconds(request.query), request.gone)
        if found is None:
            return EsclReply(304, headers=(("ETag", known),))
        etag, events = found
        data = documents.event_table(self.machine.api, events, self._origin)
        return EsclReply(200, data, headers=(("ETag", etag),))


def _poll_seconds(query: str) -> float:
    """Return the seconds of `timeout`, which counts tenths of a second; 0 without one."""
    text = parse_qs(query).get("timeout", [""])[0]
    tenths = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    return min(tenths / 10, LONGEST_POLL)
