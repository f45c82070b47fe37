"""Start the two servers of a comparison as processes, and send them requests like a device."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import psutil

PROCESS = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
ACTION = "http://schemas.microsoft.com/windows/2008/12/wdp/distributedscan/processing"
INSTRUCTIONS = """<psp:DocumentRootName>Bench</psp:DocumentRootName><psp:FiltersToProcess>
<psp:Filter><psp:Dialect>http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare</psp:Dialect>
<psp:Instructions><f:FileShareConfig
 xmlns:f="http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare"/></psp:Instructions></psp:Filter>
<psp:Filter><psp:Dialect>urn:bench:other</psp:Dialect><psp:Instructions><o:Do xmlns:o="urn:bench:other"/>
</psp:Instructions></psp:Filter></psp:FiltersToProcess>"""


class Spent(NamedTuple):
    """What processes have used so far: seconds of the processor; calls that write, also to sockets, and their bytes."""

    processor: float
    writes: int
    written: int

    @classmethod
    def by(cls, processes: Iterable[int]) -> Self:
        """Return what these processes have used together."""
        processor, writes, written = 0.0, 0, 0
        for process in processes:
            processor += processor_seconds(process)
            io = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text().splitlines())
            writes, written = writes + int(io["syscw"]), written + int(io["wchar"])
        return cls(processor, writes, written)


def processor_seconds(process: int) -> float:
    """Return the seconds of processor time that the threads of a process have used so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """A running server: its process, where it listens, and the path to post to."""

    process: subprocess.Popen[bytes]
    port: int
    path: str

    def processor_seconds(self) -> float:
        """Return the seconds of processor time that its threads have used so far."""
        return processor_seconds(self.process.pid)

    def family(self) -> list[int]:
        """Return its process and all below it."""
        return [self.process.pid, *(one.pid for one in psutil.Process(self.process.pid).children(recursive=True))]

    def peak_memory(self) -> float:
        """Return the highest resident memory so far, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024


@contextlib.contextmanager
def postscan(
    folder: Path,
    more: str = "",
    plugins: Path | None = None,
    checkout: Path | None = None,
    drain_seconds: float = 30.0,
    *,
    has_console: bool = False,
) -> Iterator[Server]:
    """Run `postscan serve` with its data below *folder*, more settings, and optionally the plugins of a folder.

    *checkout* is another checkout whose server is run, in the environment that it has in `.venv`. With *has_console*
    its console runs beside it, at a free port.
    """
    config = folder / "postscan.toml"
    knows_consoles = checkout is None or (checkout / "console").exists()
    console = f"[console]\nenabled = {str(has_console).lower()}\nport = 0\n" if knows_consoles else ""
    config.write_text(
        f"[server]\nport = 0\ndrain_seconds = {drain_seconds}\n{console}"
        f'[storage]\ndata_dir = "{folder}/data"\n[processes]\nlenient = true\n'
        f"[limits]\nopen_jobs = 100000\n{more}"
    )
    python = str(checkout / ".venv" / "bin" / "python") if checkout else sys.executable
    command = [python, "-m", "postscan.cli", "--config", str(config), "serve"]
    environment = os.environ | ({"PYTHONPATH": str(plugins)} if plugins else {})
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=checkout
    )
    assert process.stdout is not None
    url = process.stdout.readline().decode().strip()
    port, path = re.fullmatch(r"http://[^:]+:(\d+)(/.*)", url).groups()  # type: ignore[union-attr]  # the URL of our own server
    with ended(process):
        yield Server(process, int(port), path)


@contextlib.contextmanager
def bare(folder: Path, path: str) -> Iterator[Server]:
    """Run the bare Starlette handlers."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port), str(folder)])
    with ended(process):
        await_port(port)
        yield Server(process, port, path)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder on a real disk, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.environ.get("BENCH_DIR")) as name:
        yield Path(name)


def envelope(operation: str, body: str) -> bytes:
    """Return a request of the processing service."""
    return (
        '<soap:Envelope xmlns:soap="http://www.w3.org/2003/05/soap-envelope"'
        ' xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
        f' xmlns:dsp="{ACTION}" xmlns:psp="http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp"'
        ' xmlns:xop="http://www.w3.org/2004/08/xop/include">'
        f"<soap:Header><wsa:To>http://127.0.0.1/</wsa:To><wsa:Action>{ACTION}/{operation}</wsa:Action>"
        f"<wsa:MessageID>urn:uuid:{uuid.uuid4()}</wsa:MessageID></soap:Header>"
        f"<soap:Body><dsp:{operation}Request>{body}</dsp:{operation}Request></soap:Body></soap:Envelope>"
    ).encode()


def head(server: Server, length: int, media_type: str = "application/soap+xml; charset=utf-8") -> bytes:
    """Return the head of a POST."""
    return (
        f"POST {server.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def exchange(server: Server, data: bytes) -> str:
    """Post a request on a connection of its own; return the body of the response."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head(server, len(data)) + data)
        return read_response(connection)


def read_response(connection: socket.socket) -> str:
    """Read one response; raise if its status is not 200."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    top, _, body = data.partition(b"\r\n\r\n")
    length = int(re.findall(rb"(?i)content-length: (\d+)", top)[0])
    while len(body) < length:
        body += connection.recv(65536)
    if not top.startswith(b"HTTP/1.1 200"):
        raise AssertionError(data.decode())
    return body.decode()


def create_request() -> bytes:
    """Return a CreatePostScanJob."""
    body = (
        "<dsp:UserIdentifier>S-1-5-21-1-2-3-1001</dsp:UserIdentifier>"
        f"<dsp:PSP_Identifier>{PROCESS}</dsp:PSP_Identifier>"
        f"<dsp:PostScanInstructions>{INSTRUCTIONS}</dsp:PostScanInstructions>"
    )
    return envelope("CreatePostScanJob", body)


def create_job(server: Server) -> str:
    """Create a job and return its token."""
    response = exchange(server, create_request())
    return re.findall(r"JobToken>([^<]+)<", response)[0]


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def await_port(port: int) -> None:
    """Wait until something listens on a port; raise `TimeoutError` if nothing does within a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process after the body."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
