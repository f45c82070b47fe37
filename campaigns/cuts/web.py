"""PUT, whose end is that of its Content-Length, or its last chunk."""

from __future__ import annotations

import contextlib
import http.client
import random
from abc import abstractmethod
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from works import PATIENCE

from campaigns.cuts.receiver import LABEL
from campaigns.cuts.scans import Scan, cut_at
from campaigns.cuts.way import NotTaken, Sending, Way, break_off, connect

_LONGEST_CHUNK: Final = 8192


class _Put(Way):
    """A client without an account, at an address of the devices."""

    inlet = "web"

    def send(self, scan: Scan) -> None:
        """Send the file, and read the response."""
        port = self.receiver.ports[self.inlet]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("PUT", _path(scan), self._whole_body(scan))
            response = connection.getresponse()
            told = response.read().decode()
        if response.status != http.HTTPStatus.CREATED:
            raise NotTaken(f"{response.status} {told}")

    def cut(self, scan: Scan, dice: random.Random) -> Sending:
        """Send a part of the body, then close or reset the connection."""
        fields, body = self._request(scan, dice)
        sent = cut_at(dice, len(body))
        port = self.receiver.ports[self.inlet]
        head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": f"127.0.0.1:{port}", **fields}.items())
        with connect(port) as connection:
            connection.sendall(f"PUT {_path(scan)} HTTP/1.1\r\n{head}\r\n".encode() + body[:sent])
            how = break_off(connection, dice)
        return Sending(self.part(scan, f"{sent} bytes of {len(body)} of the body, {how}"), scan)

    @abstractmethod
    def _whole_body(self, scan: Scan) -> bytes | list[bytes]:
        """Return the body for `http.client`, which sends a list in chunks."""

    @abstractmethod
    def _request(self, scan: Scan, dice: random.Random) -> tuple[Mapping[str, str], bytes]:
        """Return the fields and the body of a request, as they are sent."""


class PutLength(_Put):
    """The body has a length."""

    name = "put-length"

    def _whole_body(self, scan: Scan) -> bytes:
        return scan.content

    def _request(self, scan: Scan, dice: random.Random) -> tuple[Mapping[str, str], bytes]:
        return {"Content-Length": str(len(scan.content))}, scan.content


class PutChunks(_Put):
    """The body comes in chunks; the file may have come completely, but for the last chunk, which is empty."""

    name = "put-chunks"

    def _whole_body(self, scan: Scan) -> list[bytes]:
        return [scan.content]

    def _request(self, scan: Scan, dice: random.Random) -> tuple[Mapping[str, str], bytes]:
        body, rest = b"", scan.content
        while rest:
            chunk, rest = _split(rest, dice.randint(1, _LONGEST_CHUNK))
            body += b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return {"Transfer-Encoding": "chunked"}, body + b"0\r\n\r\n"


def _split(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]


def _path(scan: Scan) -> str:
    return f"/{LABEL}/{quote(scan.name)}"
