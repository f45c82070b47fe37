"""A file whose sender breaks off is no job, wherever and however it does; and the next try is one."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import subprocess
import time
from pathlib import Path

import image_files
import pytest
from web_site import ANN, StartSite, WebSite
from works import PATIENCE, until

from postscan.core.filters.source.messages import EndRequest, Request

PNG = image_files.saved(image_files.noise(size=(120, 90)), "PNG")
NUMBER = 12
"""Cuts of each kind here; the campaign does 200."""


def head(*fields: str, method: str = "PUT", path: str = "/Scans/a.png") -> bytes:
    """Return the head of a request."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", "")).encode()


def whole(kind: str) -> bytes:
    """Return a request whose body has a length, or comes in chunks, or is a form."""
    if kind == "length":
        return head(f"Content-Length: {len(PNG)}") + PNG
    if kind == "chunks":
        pieces = [PNG[at : at + 3000] for at in range(0, len(PNG), 3000)]
        return (
            head("Transfer-Encoding: chunked")
            + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces)
            + b"0\r\n\r\n"
        )
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n' + PNG + b"\r\n--x--"
    fields = ("Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(form)}")
    return head(*fields, method="POST", path="/Scans/") + form


def status_of(data: bytes) -> int:
    """Return the status in the first line of a response; 0 if there is none."""
    return int(data[9:12]) if data else 0


def sent(site: WebSite, data: bytes, ending: str) -> bytes:
    """Send bytes, end the connection in this way, and return what came back."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        if ending == "half-closed":
            connection.shutdown(socket.SHUT_WR)
        elif ending == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        elif ending == "closed":
            return b""
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
                if ending == "kept" and b"\r\n\r\n" in received:
                    break
        return received


def taken(site: WebSite, data: bytes) -> int:
    """Send a whole request, again while the server is busy with those that were broken off; return the status."""
    statuses = [503]
    until(lambda: statuses[-1] != 503 or statuses.append(status_of(sent(site, data, "kept"))), "it is not busy")
    return statuses[-1]


@pytest.mark.parametrize("kind", ["length", "chunks", "form"])
@pytest.mark.parametrize("ending", ["closed", "reset", "half-closed"])
def test_a_sender_that_breaks_off_makes_no_job(site: WebSite, kind: str, ending: str) -> None:
    """At any byte; nothing is left of it, and the whole file is one job afterwards."""
    data = whole(kind)
    body = data.index(b"\r\n\r\n") + 4
    chosen = random.Random(f"{kind}{ending}")
    cuts = [body, len(data) - 1, *(chosen.randrange(1, len(data)) for _ in range(NUMBER))]
    if kind == "chunks":
        cuts += [len(data) - end for end in (2, 3, 4, 5)]
    for cut in cuts:
        assert status_of(sent(site, data[:cut], ending)) not in range(200, 300)
    until(lambda: not list(site.server.started.workdir.iterdir()), "the work folder is empty")
    assert site.server.jobs == []

    assert taken(site, data) == 201
    assert [job.pages for job in site.server.jobs] == [[PNG]]


def test_a_file_that_ends_early_in_its_form_makes_no_job(site: WebSite) -> None:
    """The body is complete, the form is not."""
    form = whole("form").partition(b"\r\n\r\n")[2][:-4]
    fields = ("Content-Type: multipart/form-data; boundary=x", f"Content-Length: {len(form)}")

    assert status_of(sent(site, head(*fields, method="POST", path="/Scans/") + form, "kept")) == 400
    assert site.server.jobs == []


def test_a_body_with_two_ends_is_refused(site: WebSite) -> None:
    """Another server on the way may see the other one."""
    data = head(f"Content-Length: {len(PNG)}", "Transfer-Encoding: chunked") + b"%x\r\n%b\r\n0\r\n\r\n" % (
        len(PNG),
        PNG,
    )

    response = sent(site, data, "half-closed")
    assert (status_of(response), response.count(b"HTTP/1.1")) == (400, 1)
    assert site.server.jobs == []


def test_a_connection_over_tls_that_is_cut_makes_no_job(start: StartSite) -> None:
    """Without close_notify: anybody on the way can close a connection."""
    site = start(secure=True)
    assert not isinstance(site.context, bool)
    authorization = site.client(ANN).build_request("GET", "/")
    request = next(site.client(ANN).auth.sync_auth_flow(authorization))  # type: ignore[union-attr]  # there is one
    field = f"Authorization: {request.headers['authorization']}"
    data = head("Transfer-Encoding: chunked", field) + b"%x\r\n%b\r\n" % (len(PNG), PNG)
    for ending in ("cut", "notified"):
        with (
            socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as raw,
            site.context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(data)
            if ending == "notified":
                connection.unwrap()
            else:
                socket.socket(fileno=connection.detach()).close()
    until(lambda: not list(site.server.started.workdir.iterdir()), "the work folder is empty")

    assert site.server.jobs == []
    assert site.client(ANN).put("/Scans/a.png", content=PNG).status_code == 201


@pytest.mark.parametrize("kind", ["length", "chunks"])
def test_a_response_that_was_lost_is_given_again(site: WebSite, kind: str) -> None:
    """The client was gone when the job was stored; the same file is that job."""

    def slow(request: Request) -> None:
        if isinstance(request, EndRequest):
            time.sleep(0.2)

    site.server.on_request = slow
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE) as connection:
        connection.sendall(whole(kind))
        site.server.wait_for(lambda: site.server.jobs)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (job,) = site.server.wait_for_jobs(1)

    assert status_of(sent(site, whole(kind), "kept")) == 200
    assert site.server.jobs == [job]


# --- curl ----------------------------------------------------------------------------------------------------------


def curl(site: WebSite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run curl to its end; it prints the status."""
    command = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of three MiB, for which curl waits for 100 Continue."""
    path = tmp_path / "scan.png"
    path.write_bytes(image_files.saved(image_files.noise(size=(1024, 1024)), "PNG"))
    return path


@pytest.mark.parametrize("more", [(), ("--header", "Transfer-Encoding: chunked")])
def test_curl_puts_a_file(site: WebSite, file: Path, more: tuple[str, ...]) -> None:
    """With its length, and in chunks; the second time it is the same job."""
    for status in ("201", "200"):
        assert curl(site, "--upload-file", str(file), *more, f"{site.url}Scans/").stdout == status

    (job,) = site.server.jobs
    assert job.pages == [file.read_bytes()]
    assert job.request.name == "scan.png"


def test_curl_posts_a_form(site: WebSite, file: Path) -> None:
    """Two files are two pages."""
    assert curl(site, "--form", f"one=@{file}", "--form", f"two=@{file}", f"{site.url}Scans/").stdout == "201"
    assert site.server.jobs[0].pages == [file.read_bytes()] * 2


def test_curl_sends_nothing_that_would_be_refused(site: WebSite, file: Path) -> None:
    """It waits for 100 Continue, and gets the refusal instead."""
    command = ["curl", "--silent", "--verbose", "--upload-file", str(file), f"{site.url}Nowhere/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert "404 Not Found" in done.stderr
    assert "100 Continue" not in done.stderr


def test_curl_that_is_killed_makes_no_job(site: WebSite, file: Path) -> None:
    """In the middle of its file."""
    for more in ((), ("--header", "Transfer-Encoding: chunked")):
        command = ["curl", "--silent", "--limit-rate", "200k", "--upload-file", str(file), *more, f"{site.url}Scans/"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            until(lambda: list(site.server.started.workdir.iterdir()), "a part of the file has arrived")
            process.kill()
        until(lambda: not list(site.server.started.workdir.iterdir()), "the work folder is empty")

    assert site.server.jobs == []
