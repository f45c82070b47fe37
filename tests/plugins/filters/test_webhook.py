"""The webhook filter, in front of real HTTP servers on loopback."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from certificates import Authority
from works import until

from postscan.core.errors import InvalidArgument
from postscan.core.model.states import FilterState
from postscan.plugins.filters import webhook
from postscan.plugins.filters.webhook import SIGNATURE, Instructions, Settings, Webhook
from postscan.plugins.testing import assert_filter_contract, run_filter

SECRET = "a secret of the two"


@dataclass
class Message:
    """One request as it came."""

    path: str
    headers: dict
    body: bytes

    @property
    def told(self):
        return json.loads(self.body)


@dataclass
class Host:
    """A server that keeps what it is sent, and answers as it was told: a status, or a function of the request.

    `answers` are used up one by one; the last one stays.
    """

    answers: list = field(default_factory=lambda: [204])
    messages: list[Message] = field(default_factory=list)
    url: str = ""

    def answer(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def served(host, tls=None):
    """Run a host while the body runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if len(body) < int(self.headers["Content-Length"]):
                return
            host.messages.append(Message(self.path, dict(self.headers), body))
            answer = host.answer()
            if callable(answer):
                answer(self)
                return
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):
            """A client that hangs up is part of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    host.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/hook?for=postscan"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def host():
    """A host that takes everything."""
    with served(Host()) as host:
        yield host


@pytest.fixture
def pages(tmp_path):
    """Two documents."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 5000)
    return paths


def told(host, pages, filter=None, *, target="registry", **how):
    """Run the filter for one target at a host; return its result."""
    earlier, cancel_at = how.pop("earlier", ()), how.pop("cancel_at", None)
    settings = {"targets": {"registry": {"url": host.url, "seconds": 30, **how}}}
    return run_filter(
        filter or Webhook(),
        pages,
        instructions=Instructions(target),
        settings=settings,
        earlier=earlier,
        cancel_at=cancel_at,
    )


def test_the_host_is_told_of_the_job_and_its_documents(host, pages):
    """What it is, whose it is, and by what each image can be known; the images themselves stay here."""
    result = told(host, pages)
    (message,) = host.messages

    assert result.outcome is FilterState.SUCCEEDED
    assert message.path == "/hook?for=postscan"
    assert message.headers["Content-Type"] == "application/json"
    assert message.told == {
        "token": "5a0c3c5e-6d3c-4f0e-9d59-0b8f2f7c1a10",
        "process": "Test process",
        "created": "2026-03-02T09:41:07+00:00",
        "user": {
            "sid": "S-1-5-21-1-2-3-1001",
            "name": "anna@fabrikam.example",
            "mail": "anna@fabrikam.example",
        },
        "documents": [
            {
                "id": number,
                "name": f"Scan_anna@fabrikam.example_20260302-094107_{number:03d}{path.suffix}",
                "format": format,
                "size": 5000,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for number, path, format in ((1, pages[0], "png"), (2, pages[1], "tiff-single-uncompressed"))
        ],
    }


@pytest.mark.parametrize("size", [0, 1, webhook.CHUNK - 1, webhook.CHUNK, 3 * webhook.CHUNK + 2])
def test_the_images_go_along_if_the_settings_say_so(tmp_path, host, size):
    """As base64, whole, whatever their size."""
    paths = [tmp_path / "large.png", tmp_path / "small.png"]
    for path, length in zip(paths, (size, 10), strict=True):
        path.write_bytes(bytes(number % 251 for number in range(length)))
    told(host, paths, images=True)
    (message,) = host.messages

    assert [base64.b64decode(one["content"]) for one in message.told["documents"]] == [
        path.read_bytes() for path in paths
    ]


def test_the_message_is_signed(host, pages):
    """HMAC-SHA256 over the body, so that the host knows who wrote it."""
    told(host, pages, secret=SECRET)
    (message,) = host.messages
    expected = hmac.new(SECRET.encode(), message.body, hashlib.sha256).hexdigest()

    assert message.headers[SIGNATURE] == f"sha256={expected}"


def test_without_a_secret_there_is_no_signature(host, pages):
    """One that everybody could make would pretend."""
    told(host, pages)

    assert SIGNATURE not in host.messages[0].headers


def test_running_it_again_tells_the_same_with_the_same_key(host, pages):
    """At least once: after a crash nobody knows whether the host has heard it (I20)."""
    first = told(host, pages)
    second = told(host, pages, earlier=first.published)
    one, other = host.messages

    assert one == other
    assert one.headers["Idempotency-Key"]
    assert first.published == second.published == [(None, "webhook:registry", one.headers["Idempotency-Key"])]


def test_another_message_has_another_key(host, pages):
    """With other documents, as after a filter that has changed them."""
    told(host, pages)
    told(host, pages[:1])

    assert len({message.headers["Idempotency-Key"] for message in host.messages}) == 2


def hang_up(request):
    """Close the connection without a word."""
    request.close_connection = True


@pytest.mark.parametrize("busy", [429, 503, hang_up], ids=["429", "503", "no answer"])
def test_a_busy_host_is_asked_again(host, pages, busy):
    """The same message with the same key; it is published once."""
    host.answers = [busy, busy, 200]
    result = told(host, pages)

    assert result.outcome is FilterState.SUCCEEDED
    assert len(host.messages) == 3
    assert len({(message.body, message.headers["Idempotency-Key"]) for message in host.messages}) == 1
    assert len(result.published) == 1


def test_a_host_that_says_when_is_not_asked_before(host, pages):
    """Retry-After in seconds."""
    host.answers = [(503, {"Retry-After": "1"}), 200]
    began = datetime.now(UTC)
    result = told(host, pages)

    assert result.outcome is FilterState.SUCCEEDED
    assert datetime.now(UTC) - began >= timedelta(seconds=1)


@pytest.mark.parametrize(
    "when",
    ["3600", email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)],
    ids=["seconds", "a date"],
)
def test_a_host_that_wants_more_time_than_it_has_is_given_up(host, pages, when):
    """At once: Retry-After may be seconds or a date."""
    host.answers = [(429, {"Retry-After": when})]
    result = told(host, pages)

    assert (result.outcome, result.published) == (FilterState.ERRORS, [])
    assert "429" in result.detail
    assert len(host.messages) == 1


@pytest.mark.parametrize("status", [400, 404, 413, 500, 301, 302, 307, 599])
def test_any_other_answer_is_a_failure_that_names_it(host, pages, status):
    """It is not asked twice, and a redirect is not followed (D17)."""
    host.answers = [(status, {"Location": "/elsewhere"})]
    result = told(host, pages)

    assert (result.outcome, result.reasons, result.published) == (FilterState.ERRORS, ("UnknownError",), [])
    assert result.detail.startswith(f"webhook registry: answered {status}")
    assert [message.path for message in host.messages] == ["/hook?for=postscan"]


def test_a_host_that_is_not_there_is_given_up_in_its_time(pages):
    """With a sentence that does not repeat the whole address: it may hold a password."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    result = told(Host(url=f"http://127.0.0.1:{port}/hook?key=hidden"), pages, seconds=0.5)

    assert (result.outcome, result.published) == (FilterState.ERRORS, [])
    assert str(port) in result.detail
    assert "hidden" not in result.detail + str(result.log)


def test_the_environment_does_not_lead_it_elsewhere(host, pages, monkeypatch):
    """A proxy is somebody who reads along (D17)."""
    with served(Host()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        told(host, pages)

        assert proxy.messages == []
    assert len(host.messages) == 1


def test_a_host_is_believed_by_its_certificate(tmp_path, pages):
    """The authority that the settings name, and no other."""
    ours, other = Authority(), Authority("Other CA")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ours.server().write(tmp_path, "server"))
    with served(Host(), tls) as host:
        good = told(host, pages, ca_file=str(ours.write(tmp_path, "ours")))
        bad = told(host, pages, ca_file=str(other.write(tmp_path, "other")))
        none = told(host, pages, ca_file=str(tmp_path / "no.pem"))

    assert good.outcome is FilterState.SUCCEEDED
    assert (bad.outcome, none.outcome) == (FilterState.ERRORS, FilterState.ERRORS)
    assert "self-signed certificate" in bad.detail or "unable to get local issuer" in bad.detail
    assert "no.pem cannot be used" in none.detail
    assert len(host.messages) == 1


@pytest.mark.parametrize("target", ["", "elsewhere", "http://192.0.2.1/"])
def test_only_a_configured_target_is_told(host, pages, target):
    """InvalidArgs, and what there is; an address in the instructions is only a name that is not there (D17)."""
    result = told(host, pages, target=target)

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("InvalidArgs",))
    assert result.detail == f"Target {target!r} is not configured; there is registry"
    assert host.messages == []


def test_a_cancel_at_any_look_tells_all_or_nothing(tmp_path, host):
    """What is published has been told, and nothing else (I14)."""
    page = tmp_path / "page.png"
    page.write_bytes(b"x" * (webhook.LAST + webhook.CHUNK))
    checks = told(host, [page], images=True).checks.number
    host.messages.clear()
    seen = set()
    for number in range(1, checks + 1):
        result = told(host, [page], images=True, cancel_at=number)
        seen.add(len(host.messages))

        assert result.outcome is FilterState.CANCELED
        assert len(host.messages) == len(result.published)
        host.messages.clear()

    assert seen == {0, 1}


class CancelledWhen(Webhook):
    """The filter, cancelled from outside at a moment; `cancelled` is set once it is."""

    def __init__(self, moment):
        self.moment, self.cancelled = moment, threading.Event()

    def run(self, job, token):
        def cancel():
            until(self.moment.is_set, "for the moment")
            job.parent.source.cancel("by the test")
            self.cancelled.set()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        try:
            return super().run(job, token)
        finally:
            canceller.join()


def test_a_message_that_is_not_taken_is_cut_off_by_the_cancel(tmp_path):
    """The host reads the head and no more, so the end of the message was never granted."""
    moment, page = threading.Event(), tmp_path / "page.png"
    page.write_bytes(b"x" * 20_000_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            line, _ = listener.accept()
            with line:
                line.recv(100)
                moment.set()
                over.wait(100)

        over = threading.Event()
        thread = threading.Thread(target=accept)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        result = told(Host(url=url), [page], CancelledWhen(moment), images=True, seconds=60)
        over.set()
        thread.join()

    assert (result.outcome, result.published) == (FilterState.CANCELED, [])


def test_a_message_that_was_granted_may_still_be_taken(host, pages):
    """Delivered stays (promise 6): the answer comes after the cancel, and the output is known."""
    moment = threading.Event()
    filter = CancelledWhen(moment)

    def late(request):
        moment.set()
        filter.cancelled.wait(60)
        request.send_response(204)
        request.end_headers()

    host.answers = [late]
    result = told(host, pages, filter)

    assert result.outcome is FilterState.CANCELED
    assert len(result.published) == 1


def test_an_answer_that_never_comes_does_not_hold_up_the_cancel(host, pages):
    """It is waited for a moment, then the message is cut off."""
    moment, over = threading.Event(), threading.Event()

    def never(request):
        moment.set()
        over.wait(100)

    host.answers = [never]
    result = told(host, pages, CancelledWhen(moment), seconds=60)
    over.set()

    assert (result.outcome, result.published) == (FilterState.CANCELED, [])


def test_it_keeps_the_contract(host, pages):
    """As every filter must, ours or not; its secrets come out nowhere."""
    table = {"url": host.url, "secret": SECRET, "images": True}
    assert_filter_contract(
        Webhook(), pages, instructions=Instructions("registry"), settings={"targets": {"registry": table}}
    )


WRONG = {
    "no table": "http://host/",
    "no url": {"secret": SECRET},
    "another scheme": {"url": "ftp://host/"},
    "no host": {"url": "http:///path"},
    "a user": {"url": f"http://user:{SECRET.replace(' ', '')}@host/"},
    "a fragment": {"url": "http://host/#part"},
    "a strange port": {"url": "http://host:port/"},
    "an unknown key": {"url": "http://host/", "verify": False},
    "a secret that is no text": {"url": "http://host/", "secret": 12345678},
    "a truth value as seconds": {"url": "http://host/", "seconds": True},
    "no seconds": {"url": "http://host/", "seconds": 0},
    "endless seconds": {"url": "http://host/", "seconds": float("inf")},
    "a relative file": {"url": "http://host/", "ca_file": "ca.pem"},
    "images by text": {"url": "http://host/", "images": "yes"},
}


@pytest.mark.parametrize("table", WRONG.values(), ids=WRONG)
def test_a_target_that_cannot_be_used_is_refused_at_load(table):
    """The sentence names the key, says what was expected, and repeats no secret."""
    with pytest.raises(ValueError, match=r"filters\.webhook\.targets\.registry.*expected|ca_file: 'ca.pem'") as refused:
        Settings({"registry": table})

    assert SECRET.replace(" ", "") not in str(refused.value)


def test_targets_that_are_no_table_are_refused_at_load():
    """The sentence names the key."""
    with pytest.raises(ValueError, match=r"filters\.webhook\.targets: expected tables"):
        Settings(["http://host/"])


def test_a_target_does_not_show_its_secrets():
    """In no traceback that prints it."""
    (target,) = Settings({"one": {"url": "http://host/hidden", "secret": SECRET}}).known.values()

    assert SECRET not in repr(target)
    assert "hidden" not in repr(target)


def test_the_target_must_be_named(pages):
    """WebhookConfig without a Target is refused before anything is done."""
    with pytest.raises(InvalidArgument) as refused:
        run_filter(Webhook(), pages)

    assert refused.value.argument.endswith("}Target")
