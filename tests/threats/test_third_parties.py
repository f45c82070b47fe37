"""No request makes the server talk to anybody but its sender: counted at the server's own network card."""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from acceptance.networks import CLIENT, SERVER, STRANGER, Cable, cable
from acceptance.scanning import refusal
from acceptance.seeking import device_of, probe
from acceptance.server import Server
from device import DSP, WSA, Answer, Device
from threats import administration, events
from threats.events import stored
from threats.names import Names, named, silent, spoken
from threats.office import cancelled
from works import until

VICTIM, FICKLE = "victim.example", "sink.example"
SETTINGS = {
    "server": {"host": SERVER, "port": 0, "allow_plain_http": True, "drain_seconds": 1},
    "discovery": {"enabled": False},  # a Hello would be counted
}


@pytest.fixture(scope="module")
def wire() -> Iterator[Cable]:
    """A cable between the server and a device; somebody else is reached through the device."""
    with cable() as laid:
        yield laid


@pytest.fixture(scope="module")
def server(wire: Cable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on the cable."""
    server = wire.at_server(Server, tmp_path_factory.mktemp("quiet"), SETTINGS)
    try:
        wire.at_server(server.start)
        yield server
    finally:
        wire.at_server(server.stop)
        server.close()
    assert server.tracebacks() == []


@contextlib.contextmanager
def victim_at(wire: Cable, port: int) -> Iterator[socket.socket]:
    """Let somebody else wait for connections while the body runs."""
    with wire.at_client(socket.create_server, (STRANGER, port)) as waiting:
        waiting.setblocking(False)
        yield waiting


@pytest.fixture
def victim(wire: Cable) -> Iterator[socket.socket]:
    """Somebody else at a port of its own."""
    with victim_at(wire, 0) as waiting:
        yield waiting


def assert_left_alone(victim: socket.socket) -> None:
    """Fail if anybody has connected."""
    with pytest.raises(BlockingIOError):
        victim.accept()


@pytest.fixture
def names(wire: Cable) -> Iterator[Names]:
    """A name server that knows the victim."""
    with named(wire, {VICTIM: [STRANGER]}) as serving:
        yield serving


@contextlib.contextmanager
def nobody_hears_of_it(wire: Cable, names: Names) -> Iterator[None]:
    """Fail if the server opens a connection, sends a datagram, or asks for a name while the body runs."""
    before = spoken(wire)
    yield
    assert names.asked == []
    assert spoken(wire) == before


def test_what_the_server_says_would_be_noticed(wire: Cable, names: Names) -> None:
    """Or else the tests below would prove nothing: a question for a name is seen, and so is a connection."""
    for talk in (lambda: socket.getaddrinfo(VICTIM, 80), lambda: connected((CLIENT, 9))):
        with pytest.raises(AssertionError), nobody_hears_of_it(wire, names):
            wire.at_server(talk)


def connected(to: tuple[str, int]) -> None:
    """Try to connect; nobody is there."""
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(to).close()


# --- answers (T-A1) ----------------------------------------------------------------------------------------------


def get(server: Server) -> tuple[Device, bytes]:
    """Return the device that hosts the service, and a question for what it is."""
    return device_of(server), probe().replace(b"2005/04/discovery/Probe<", b"2004/09/transfer/Get<")


def elements(server: Server) -> tuple[Device, bytes]:
    """Return the service, and a question that it refuses: there is no such job."""
    device = Device(server.url)
    names = "<dsp:RequestedElements><dsp:Name>dsp:JobStatus</dsp:Name></dsp:RequestedElements>"
    return device, device.envelope("GetPostScanJobElements", f"<dsp:JobToken>x</dsp:JobToken>{names}")


def directed(server: Server) -> tuple[Device, bytes]:
    """Return the device that hosts the service, and a Probe."""
    return device_of(server), probe()


def active_jobs(server: Server) -> tuple[Device, bytes]:
    """Return the configuration service, and a question of somebody who is no administrator."""
    device = administration.there(Device(server.url))
    return device, device.envelope("GetActiveJobs", "").replace(DSP.encode(), administration.DSC.encode())


Question = Callable[[Server], tuple[Device, bytes]]


@pytest.mark.parametrize("field", ["ReplyTo", "FaultTo", "From", "To", "AcksTo"])
@pytest.mark.parametrize("question", [get, elements, directed, active_jobs])
def test_an_address_in_a_header_is_never_talked_to(
    wire: Cable, server: Server, victim: socket.socket, names: Names, question: Question, field: str
) -> None:
    """T-A1, D17, DSP-076: where the answer could go the request is refused; no other address means anything."""
    port = victim.getsockname()[1]
    places = [f"http://{STRANGER}:{port}/", f"https://{VICTIM}:{port}/", f"soap.udp://{VICTIM}:{port}", f"//{VICTIM}"]
    with nobody_hears_of_it(wire, names):
        device, body = question(server)
        usual = wire.at_client(device.post, body)
        answers = [wire.at_client(device.post, addressed(body, field, place)) for place in places]
    assert_left_alone(victim)

    for answer in answers:
        if field in ("ReplyTo", "FaultTo"):
            assert (answer.status, refusal(answer).subcode) == (400, "wsa:InvalidMessageInformationHeader")
        else:
            assert (answer.status, told(answer)) == (usual.status, told(usual))


def addressed(body: bytes, field: str, place: str) -> bytes:
    """Return a request that names a place in one header; what stood there before is gone."""
    text, name = body.decode(), f"<wsa:{field}>"
    if name in text:
        before, _, rest = text.partition(name)
        text = before + rest.partition(f"</wsa:{field}>")[2]
    inside = place if field == "To" else f"<wsa:Address>{place}</wsa:Address>"
    return text.replace("</soap:Header>", f"{name}{inside}</wsa:{field}></soap:Header>").encode()


def told(answer: Answer) -> tuple[str | None, str | None]:
    """Return what kind of answer it is."""
    return answer.find("Action"), answer.find("Value")


# --- events (T-A2) -----------------------------------------------------------------------------------------------


ELSEWHERE = [
    f"http://{STRANGER}:PORT/",
    f"https://{STRANGER}:PORT/",
    f"http://{VICTIM}:PORT/",
    f"http://{VICTIM}.:PORT/",
    f"http://VICTIM.EXAMPLE:PORT/{CLIENT}",
    f"http://{SERVER}:OURS/ScanServer/processing",
    f"http://{SERVER}:22/",
    "http://127.0.0.1:OURS/ScanServer/processing",
    "http://127.0.0.1:22/",
    "http://127.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://localhost:OURS/",
    "http://0:OURS/",
    "http://0.0.0.0:OURS/",
    "http://[::1]:OURS/",
    "http://[::]:OURS/",
    "http://[::ffff:127.0.0.1]:OURS/",
    f"http://[::ffff:{STRANGER}]:PORT/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.1.1/",
    "http://[fe80::1]/",
    "http://[fe80::1%25lo]/",
    "http://[fd98:76::2]:PORT/",
    "http://10.98.76.255/",
    "http://255.255.255.255/",
    "http://224.0.0.251:5353/",
    "http://239.255.255.250:3702/",
    "http://[ff02::c]:3702/",
    f"http://{CLIENT}@{STRANGER}:PORT/",
    f"http://me:secret@{CLIENT}:PORT/",
    f"http://{STRANGER}:PORT#@{CLIENT}/",
    rf"http://{CLIENT}\@{STRANGER}:PORT/",
    f"http://{CLIENT}:0/",
    f"http://{CLIENT}:65536/",
    f"http://{CLIENT}:80:PORT/",
    f"http://{CLIENT} .{VICTIM}/",
    f"http://{CLIENT}.nobody.example/",
    f"http://{CLIENT}/\nHost: {STRANGER}",
    "http:///events",
    f"//{CLIENT}/events",
    f"ftp://{CLIENT}/",
    f"gopher://{CLIENT}:PORT/_POST",
    f"soap.udp://{CLIENT}:3702",
    f"ldap://{CLIENT}/",
    "file:///etc/passwd",
    "urn:uuid:0c1a7f52-1111-4222-8333-944455566677",
    f"{WSA}/role/anonymous",
]
"""Where nobody at CLIENT may have anything sent: PORT is the victim's, OURS the server's own."""


@pytest.mark.parametrize("field", ["NotifyTo", "EndTo"])
def test_events_go_to_nobody_but_the_subscriber(
    wire: Cable, server: Server, victim: socket.socket, names: Names, field: str
) -> None:
    """T-A2, DPW-058, D17: each address of the table is refused, nothing is subscribed, nobody is talked to."""
    device, opened = Device(server.url), spoken(wire)[0]
    ports = {"PORT": str(victim.getsockname()[1]), "OURS": str(urlsplit(server.url).port)}
    heard = []
    for place in ELSEWHERE:
        there = functools.reduce(lambda text, port: text.replace(*port), ports.items(), place)
        notify_to, end_to = (there, "") if field == "NotifyTo" else (f"http://{CLIENT}:8080/", there)
        answer = wire.at_client(functools.partial(events.subscribe, device, notify_to, end_to=end_to))
        heard.append((place, answer.status, answer.find_all("Value")[-1]))

    assert len(ELSEWHERE) >= 40
    assert heard == [(place, 400, "wsa:DestinationUnreachable") for place in ELSEWHERE]
    assert stored(server) == []
    assert spoken(wire)[0] == opened
    assert_left_alone(victim)
    assert all(one.startswith((VICTIM, f"{CLIENT}.nobody.example", "schemas.xmlsoap.org")) for one in names.asked)


def test_not_even_who_sits_on_the_servers_machine_has_events_sent_into_its_door(wire: Cable, server: Server) -> None:
    """T-A2: the server is not to talk to itself."""
    answer = wire.at_server(events.subscribe, Device(server.url), server.url)

    assert refusal(answer).subcode == "wsa:DestinationUnreachable"
    assert stored(server) == []


def test_a_name_that_changes_its_mind_changes_nothing(wire: Cable, server: Server) -> None:
    """T-A2: a name is looked up once, at Subscribe; what it stands for then is what is talked to (DNS rebinding)."""
    device = Device(server.url)
    with listener_at_the_client(wire) as listener, victim_at(wire, listener.port) as victim, rebinding(wire) as names:
        place = f"http://{FICKLE}:{listener.port}/events"
        made = events.granted(wire.at_client(events.subscribe, device, place))
        listener.await_end(wire.at_client(cancelled, server, device))

        assert names.asked.count(FICKLE) == 1
        assert_left_alone(victim)
        assert {one.headers["Host"] for one in listener.told} == {f"{FICKLE}:{listener.port}"}
        assert wire.at_client(events.unsubscribe, device, made).status == 200


def test_a_name_that_is_somebody_elses_at_first_is_refused(wire: Cable, server: Server) -> None:
    """T-A2: and is not looked up again in the hope of better."""
    with named(wire, {FICKLE: [STRANGER, CLIENT]}) as names:
        answer = wire.at_client(events.subscribe, Device(server.url), f"http://{FICKLE}:8080/")

    assert refusal(answer).subcode == "wsa:DestinationUnreachable"
    assert names.asked.count(FICKLE) == 1
    assert stored(server) == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_sink_sends_the_server_nowhere_else(wire: Cable, server: Server, victim: socket.socket, status: int) -> None:
    """T-A2: no redirection is followed; it counts as a failure."""
    device, location = Device(server.url), f"http://{STRANGER}:{victim.getsockname()[1]}/"
    with listener_at_the_client(wire, status, location) as listener:
        made = events.granted(wire.at_client(events.subscribe, device, listener.url))
        wire.at_client(cancelled, server, device)
        until(lambda: len(listener.told) >= 2, "for the event to be sent again")

        assert listener.told[0].body == listener.told[1].body
        assert_left_alone(victim)
        assert wire.at_client(events.unsubscribe, device, made).status == 200


def test_a_name_server_that_does_not_answer_holds_up_no_job(wire: Cable, server: Server) -> None:
    """T-A2, T-A6, T-Q1: of a hundred subscribers eight wait for it; a job is made and cancelled beside them."""
    device, refused, asked = Device(server.url), [], spoken(wire)[1]

    def subscribe(number: int) -> None:
        refused.append(events.subscribe(device, f"http://{number}.{VICTIM}:8080/").status)

    with silent(wire):
        waiting = [wire.at_client(started, subscribe, number) for number in range(100)]
        until(lambda: spoken(wire)[1] > asked, "for a name to be asked for")
        wire.at_client(cancelled, server, device)
        left, datagrams = 100 - len(refused), spoken(wire)[1] - asked
        for one in waiting:
            one.join()

    assert left > 0
    assert datagrams <= 8 * 4  # for each name two questions, and both again
    assert refused == [400] * 100


def started(do: Callable[[int], None], number: int) -> threading.Thread:
    """Return a thread that does something on this machine."""
    thread = threading.Thread(target=do, args=[number])
    thread.start()
    return thread


@contextlib.contextmanager
def rebinding(wire: Cable) -> Iterator[Names]:
    """Serve a name that is the client's once, and then somebody else's."""
    with named(wire, {FICKLE: [CLIENT, STRANGER]}) as names:
        yield names


@contextlib.contextmanager
def listener_at_the_client(wire: Cable, status: int = 202, location: str = "") -> Iterator[events.Listener]:
    """Listen on the client's machine while the body runs."""
    listener = wire.at_client(events.Listener, CLIENT, status, location)
    try:
        yield listener
    finally:
        listener.close()
