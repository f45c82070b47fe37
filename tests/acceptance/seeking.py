"""A device that looks for servers by UDP: its questions, what it hears, and the servers that let themselves be found.

It shares no code with the server.
"""

from __future__ import annotations

import select
import socket
import struct
import time
import uuid
import xml.etree.ElementTree as ET

from acceptance.networks import CLIENT
from acceptance.server import Server, Tables
from device import Device
from free_ports import free_port

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSD = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
WSDP = "http://schemas.xmlsoap.org/ws/2006/02/devprof"
NS = {"soap": SOAP, "wsa": WSA, "wsd": WSD}
GROUP, GROUP6, PORT, DIRECTED = "239.255.255.250", "ff02::c", 3702, 5362
PATIENCE = 60.0
AGAIN = 1.1


def message(action: str, body: str, message_id: str = "") -> bytes:
    """Return a question as Windows writes it."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><soap:Envelope xmlns:soap="{SOAP}" xmlns:wsa="{WSA}"'
        f' xmlns:wsd="{WSD}" xmlns:wsdp="{WSDP}"><soap:Header>'
        "<wsa:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</wsa:To>"
        f"<wsa:Action>{WSD}/{action}</wsa:Action><wsa:MessageID>{message_id or new_id()}</wsa:MessageID>"
        f"</soap:Header><soap:Body>{body}</soap:Body></soap:Envelope>"
    ).encode()


def probe(types: str = "wsdp:Device", message_id: str = "", *, scopes: str = "", rule: str = "") -> bytes:
    """Return a Probe; *rule* is the URI of how its scopes are to be matched."""
    match_by = f' MatchBy="{rule}"' if rule else ""
    where = f"<wsd:Scopes{match_by}>{scopes}</wsd:Scopes>" if scopes else ""
    return message("Probe", f"<wsd:Probe><wsd:Types>{types}</wsd:Types>{where}</wsd:Probe>", message_id)


def resolve(endpoint: str) -> bytes:
    """Return a Resolve."""
    address = f"<wsa:Address>{endpoint}</wsa:Address>"
    return message("Resolve", f"<wsd:Resolve><wsa:EndpointReference>{address}</wsa:EndpointReference></wsd:Resolve>")


def new_id() -> str:
    """Return a MessageID."""
    return f"urn:uuid:{uuid.uuid4()}"


def text(data: bytes, name: str) -> str:
    """Return the text of the first element with this name."""
    return ET.fromstring(data).findtext(f".//{name}", "", NS)


def sequenced(data: bytes) -> tuple[int, int]:
    """Return instance and number of a message."""
    (found,) = ET.fromstring(data).findall("soap:Header/wsd:AppSequence", NS)
    return int(found.attrib["InstanceId"]), int(found.attrib["MessageNumber"])


def asking(address: str = "") -> socket.socket:
    """Return a socket to ask from."""
    asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asked.settimeout(PATIENCE)
    asked.bind((address, 0))
    return asked


def ask(data: bytes, to: tuple[str, int], address: str = "") -> bytes:
    """Send one question; return the answer, which must come from where the question went unless that is a group.

    Ask again each second, as devices do: a source that has got ten answers within a second gets no more.
    """
    end = time.monotonic() + PATIENCE
    with asking(address) as socket_:
        socket_.settimeout(AGAIN)
        if to[0] == GROUP:
            towards_group(socket_, address)
        while True:
            socket_.sendto(data, to)
            try:
                answer, source = socket_.recvfrom(65536)
            except TimeoutError:
                if time.monotonic() > end:
                    raise
            else:
                break
    assert to[0] == GROUP or source == to
    return answer


def towards_group(socket_: socket.socket, address: str) -> None:
    """Let what is sent to the group leave by the interface of this address, and not come back."""
    socket_.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    socket_.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)


def heard(socket_: socket.socket) -> bool:
    """Return whether an answer has come already."""
    return bool(select.select([socket_], [], [], 0)[0])


def is_closed(port: int) -> bool:
    """Return whether nobody listens on a UDP port of loopback: the kernel says so."""
    with asking() as socket_:
        socket_.connect(("127.0.0.1", port))
        socket_.send(b"anybody?")
        try:
            socket_.recv(1)
        except ConnectionRefusedError:
            return True
    return False


# --- servers that can be found -----------------------------------------------------------------------------------


def free_ports(number: int) -> list[int]:
    """Return different UDP ports that nobody has."""
    found: set[int] = set()
    while len(found) < number:
        found.add(free_port())
    return list(found)


def discovered(port: int, directed_port: int) -> Tables:
    """Return settings with discovery."""
    return {"discovery": {"enabled": True, "port": port, "directed_port": directed_port}}


def directed(server: Server) -> tuple[str, int]:
    """Return where a device asks that knows the server's name."""
    return "127.0.0.1", server.settings.discovery.directed_port


def device_url(server: Server) -> str:
    """Return the address of the device that hosts the service."""
    return server.url.replace("/processing", "")


def device_of(server: Server) -> Device:
    """Return a scanner in front of the device that hosts the service."""
    return Device(device_url(server))


def on_the_cable(host: str) -> Tables:
    """Return the settings of a server at an address of the cable, on the ports of the standard."""
    server = {"host": host, "port": 0, "allow_plain_http": True, "drain_seconds": 1}
    return {"server": server, "discovery": {"port": PORT, "directed_port": DIRECTED}}


def joined(address: str = CLIENT) -> socket.socket:
    """Return a socket that hears the group on the cable, at the client's address there."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.settimeout(PATIENCE)
    listening.bind((GROUP, PORT))
    membership = struct.pack("=4s4s", socket.inet_aton(GROUP), socket.inet_aton(address))
    listening.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return listening
