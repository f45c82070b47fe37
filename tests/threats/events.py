"""A device that wants to hear of events: what it asks for, and where it listens; shares no code with the server."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

from acceptance.server import Server
from device import SOAP, WSA, Answer, Device
from works import until

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
MESSAGE_ID = "urn:uuid:0c1a7f52-1111-4222-8333-944455566679"


@dataclass(frozen=True)
class Subscription:
    """One that was granted: where it is managed, its identifier, and until when."""

    manager: str
    identifier: str
    expires: str


@dataclass(frozen=True)
class Told:
    """One message that arrived: its HTTP headers, its action, and the job that it is about."""

    headers: Mapping[str, str]
    body: bytes
    action: str
    token: str


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


class Listener:
    """An HTTP server at an address; it notes what it is told, and answers with one status and one header, always."""

    def __init__(self, address: str = "127.0.0.1", status: int = 202, location: str = "") -> None:
        self.told: list[Told] = []
        noted = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                noted.append(_told(self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = _Server((address, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{address}:{self.port}/events"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def tokens(self) -> set[str]:
        """Return the jobs that it was told of."""
        return {one.token for one in list(self.told)}

    def states(self) -> set[str]:
        """Return the states of jobs that it was told of."""
        found = (re.search(rb"JobState>([^<]+)<", one.body) for one in list(self.told))
        return {state[1].decode() for state in found if state}

    def await_end(self, token: str) -> None:
        """Wait until it has been told that a job has ended."""
        until(
            lambda: any(one.token == token and "EndState" in one.action for one in list(self.told)),
            f"to be told of the end of {token}",
        )


@contextlib.contextmanager
def listening(address: str = "127.0.0.1", status: int = 202, location: str = "") -> Iterator[Listener]:
    """Listen while the body runs."""
    listener = Listener(address, status, location)
    try:
        yield listener
    finally:
        listener.close()


def devices(server: Server) -> list[Device]:
    """Return three devices, known by their addresses."""
    return [Device(server.url, source_address=address) for address in ADDRESSES]


def database(server: Server) -> contextlib.closing[sqlite3.Connection]:
    """Return the server's database, opened beside it."""
    return contextlib.closing(sqlite3.connect(server.settings.storage.data_dir / "postscan.sqlite", timeout=20))


def forget_all(server: Server) -> None:
    """Remove all subscriptions beside the server."""
    with database(server) as rows:
        rows.execute("delete from subscription")
        rows.commit()


def stored(server: Server) -> list[tuple[object, ...]]:
    """Return all subscriptions as they are stored, but for what was told meanwhile."""
    with database(server) as rows:
        return rows.execute("select id, owner, until, absolute from subscription order by id").fetchall()


def subscribe(
    device: Device, notify_to: str, *, end_to: str = "", blocks: str = "", expires: str = "PT1H", message_id: str = ""
) -> Answer:
    """Ask for all events of a service; *blocks* are reference parameters as XML."""
    end = f"<wse:EndTo>{_reference(end_to, '')}</wse:EndTo>" if end_to else ""
    delivery = f"<wse:Delivery><wse:NotifyTo>{_reference(notify_to, blocks)}</wse:NotifyTo></wse:Delivery>"
    inside = f"{end}{delivery}<wse:Expires>{expires}</wse:Expires>"
    return ask(device, "Subscribe", inside, message_id=message_id)


def granted(answer: Answer) -> Subscription:
    """Return the subscription that an answer tells of."""
    assert answer.status == 200, answer.body
    (manager,) = ET.fromstring(answer.body).iter(f"{{{WSE}}}SubscriptionManager")
    address, identifier = manager.findtext(f"{{{WSA}}}Address", ""), manager.findtext(f".//{{{WSE}}}Identifier", "")
    return Subscription(address, identifier, answer.find("Expires") or "")


def renew(device: Device, subscription: Subscription) -> Answer:
    """Ask for another hour."""
    return manage(device, "Renew", subscription, "<wse:Expires>PT1H</wse:Expires>")


def get_status(device: Device, subscription: Subscription) -> Answer:
    """Ask how long it lives."""
    return manage(device, "GetStatus", subscription)


def unsubscribe(device: Device, subscription: Subscription) -> Answer:
    """Hear no more."""
    return manage(device, "Unsubscribe", subscription)


def manage(device: Device, verb: str, subscription: Subscription, inside: str = "") -> Answer:
    """Send a request about a subscription to where it is managed."""
    block = f"<wse:Identifier>{escape(subscription.identifier)}</wse:Identifier>"
    return ask(replace(device, url=subscription.manager), verb, inside, block, MESSAGE_ID)


def ask(device: Device, verb: str, inside: str, blocks: str = "", message_id: str = "") -> Answer:
    """Send any request of WS-Eventing."""
    return device.post(
        (
            f'<soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}" xmlns:wse="{WSE}"><soap:Header>'
            f"<wsa:To>{escape(device.url)}</wsa:To><wsa:Action>{WSE}/{verb}</wsa:Action>"
            f"<wsa:MessageID>{message_id or f'urn:uuid:{uuid.uuid4()}'}</wsa:MessageID>"
            f"<wsa:ReplyTo><wsa:Address>{WSA}/role/anonymous</wsa:Address></wsa:ReplyTo>{blocks}</soap:Header>"
            f"<soap:Body><wse:{verb}>{inside}</wse:{verb}></soap:Body></soap:Envelope>"
        ).encode()
    )


def _reference(address: str, blocks: str) -> str:
    parameters = f"<wsa:ReferenceParameters>{blocks}</wsa:ReferenceParameters>" if blocks else ""
    return f"<wsa:Address>{escape(address)}</wsa:Address>{parameters}"


def _told(headers: Mapping[str, str], body: bytes) -> Told:
    message = ET.fromstring(body)
    token = next((one.text or "" for one in message.iter() if one.tag.endswith("}JobToken")), "")
    return Told(dict(headers), body, message.findtext(f".//{{{WSA}}}Action", ""), token)
