"""A client that hangs up without its answers is no news, and no fault of ours."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import urlsplit

from acceptance.scanning import Scanner, good, instructions
from acceptance.server import Server
from device import SOAP_TYPE

PAIRS = 16
NAMES = "<dsp:Name>dsp:JobStatus</dsp:Name>" * 60
CLIENTS = 20


def test_a_client_that_reads_none_of_its_answers_leaves_no_traceback(server: Server) -> None:
    """T-H3: many requests at once, and nobody there when they are answered; the server serves on, and calmly."""
    scanner, asked = Scanner(server), instructions("copy")
    token, stored = scanner.create("copy"), server.store(asked)
    device, place = scanner.device, urlsplit(server.url)
    question = f"<dsp:JobToken>{token}</dsp:JobToken><dsp:RequestedElements>{NAMES}</dsp:RequestedElements>"
    create = (
        "<dsp:UserIdentifier>S-1-5-21-1-2-3-1001</dsp:UserIdentifier>"
        f"<dsp:PSP_Identifier>{stored}</dsp:PSP_Identifier>"
        f"<dsp:PostScanInstructions>{asked}</dsp:PostScanInstructions>"
    )

    def request(operation: str, content: str) -> bytes:
        body = device.envelope(operation, content)
        head = f"POST {place.path} HTTP/1.1\r\nHost: test\r\nContent-Type: {SOAP_TYPE}\r\nContent-Length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body

    for _ in range(CLIENTS):
        with socket.create_connection(("127.0.0.1", place.port or 0)) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(PAIRS):
                    line.sendall(request("GetPostScanJobElements", question) + request("CreatePostScanJob", create))

    assert server.tracebacks() == []
    assert good(device.elements(token)).find("JobState") == "Creating"
