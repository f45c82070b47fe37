"""A small Entra ID and a small Microsoft Graph on loopback, over TLS: sites, libraries, folders and upload sessions.

It refuses what the real ones refuse: a token request that the application's key did not sign, a call without the token,
a chunk that is out of order or no multiple of 320 KiB, and a second file of one name.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import operator
import re
import socket
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TENANT, CLIENT = "fabrikam.example", "3f0d5a4e-7b0e-4c54-8d1a-6f8c3e91a5d0"
HOST = "fabrikam.sharepoint.example"
UNIT = 320 << 10

Fault = Callable[["Graph", Request], Awaitable[Response | None]]


@dataclass
class Item:
    """A file or a folder; `content` is None for a folder."""

    id: str
    parent: str
    name: str
    content: bytes | None = None


@dataclass
class Session:
    """An upload under way."""

    folder: str
    name: str
    content: bytes = b""


@dataclass
class Graph:
    """What is there. `sites` maps the paths of sites to their libraries; each library is a drive of that name.

    `requests` is what was asked, in the words of `_kind`. A fault that is put into `faults[kind]` happens at the next
    request of that kind, and then is over; one that returns None lets the request go on.
    """

    certificate: x509.Certificate
    url: str = ""
    sites: dict[str, list[str]] = field(default_factory=lambda: {"sites/hr": ["Documents", "Shared Documents"]})
    items: dict[str, Item] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    faults: defaultdict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    secret: str = field(default_factory=lambda: uuid.uuid4().hex)
    upload_url: str = ""
    hanging: threading.Event = field(default_factory=threading.Event)
    server: uvicorn.Server | None = None

    def files(self) -> dict[str, bytes]:
        """Return every file with its content, by its path from the library on."""
        return {self._path(one): one.content for one in self.items.values() if one.content is not None}

    def folders(self) -> list[str]:
        """Return the paths of all folders."""
        return sorted(self._path(one) for one in self.items.values() if one.content is None)

    def put(self, parent: str, name: str, content: bytes | None = None) -> Item:
        """Put a file or a folder into a folder, or into a library by its name."""
        item = Item(uuid.uuid4().hex, parent, name, content)
        self.items[item.id] = item
        return item

    def child(self, parent: str, name: str) -> Item | None:
        """Return what a folder has under this name; upper and lower case are the same, as in SharePoint."""
        return next(
            (one for one in self.items.values() if (one.parent, one.name.lower()) == (parent, name.lower())), None
        )

    def cut(self, request: Request) -> None:
        """Cut the connection of a request."""
        for one in list(self.server.server_state.connections):
            if one.client == tuple(request.scope["client"]):
                one.transport.abort()

    def _path(self, item: Item) -> str:
        above = self.items.get(item.parent)
        return f"{self._path(above) if above else item.parent}/{item.name}"


def answers(status: int, code: str = "", **headers: str) -> Fault:
    """Answer with this status and this error code, and do nothing."""

    async def fault(_: Graph, request: Request) -> Response:
        await request.body()
        told = {"error": {"code": code, "message": f"about {request.url}"}}
        return JSONResponse(told, status, {name.replace("_", "-"): value for name, value in headers.items()})

    return fault


def cuts_after(size: int) -> Fault:
    """Keep so many bytes of a chunk, and cut the connection."""

    async def fault(graph: Graph, request: Request) -> Response:
        kept = b""
        async for piece in request.stream():
            kept += piece
            if len(kept) >= size:
                break
        graph.sessions[request.path_params["id"]].content += kept[:size]
        graph.cut(request)
        return Response()

    return fault


async def loses_the_answer(graph: Graph, request: Request) -> Response:
    """Take the chunk, and cut the connection before the answer."""
    await _chunk(graph, request)
    graph.cut(request)
    return Response()


async def hangs(graph: Graph, _: Request) -> Response:
    """Say nothing until the test is over; `hanging` tells that it has begun."""
    graph.hanging.set()
    while not graph.server.should_exit:
        await asyncio.sleep(0.02)
    return Response(status_code=503)


async def forgets(graph: Graph, request: Request) -> None:
    """Know nothing of this upload any more."""
    graph.sessions.pop(request.path_params["id"])


@contextlib.contextmanager
def serve(tls: Path, certificate: x509.Certificate) -> Iterator[Graph]:
    """Run both on a free port; *tls* has the server's certificate and key, *certificate* is the application's."""
    graph = Graph(certificate)
    app = Starlette(routes=list(_routes(graph)))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        graph.url = graph.upload_url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            ssl_certfile=tls,
            log_config=None,
            lifespan="off",
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
        graph.server = uvicorn.Server(config)
        thread = threading.Thread(target=graph.server.run, args=([listening],))
        thread.start()
        try:
            while not graph.server.started:
                time.sleep(0.005)
            yield graph
        finally:
            graph.server.should_exit = True
            thread.join()


def application(folder: Path) -> tuple[Path, x509.Certificate]:
    """Make the key and the certificate of an application; return the file with both, and the certificate."""
    key = rsa.generate_private_key(65537, 2048)
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "postscan")]), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.sign(key, SHA256())
    path = folder / "application.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    return path, certificate


def quick_xor(content: bytes) -> str:
    """Return the QuickXorHash, made bit by bit."""
    ring = [0] * 160
    for place in range(160):
        column = functools.reduce(operator.xor, content[place::160], 0)
        for bit in range(8):
            ring[(11 * place + bit) % 160] ^= column >> bit & 1
    number = sum(bit << place for place, bit in enumerate(ring)) ^ len(content) << 96
    return base64.b64encode(number.to_bytes(20, "little")).decode()


def _routes(graph: Graph) -> Iterator[Route]:
    """Yield the routes; each notes the request, and lets a fault have it if there is one."""
    for methods, path, kind, answer in (
        ("GET", f"/{TENANT}/v2.0/.well-known/openid-configuration", "discovery", _discovery),
        ("POST", f"/{TENANT}/oauth2/v2.0/token", "token", _token),
        ("PUT", "/up/{id}", "chunk", _chunk),
        ("GET", "/up/{id}", "state", _state),
        ("DELETE", "/up/{id}", "abandon", _abandon),
        ("GET POST DELETE", "/v1.0/{rest:path}", "", _call),
    ):
        yield Route(path, _endpoint(graph, kind, answer), methods=methods.split())


def _endpoint(
    graph: Graph, kind: str, answer: Callable[[Graph, Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        name = kind or _kind(request)
        graph.requests.append(name)
        if faults := graph.faults[name]:
            response = await faults.pop(0)(graph, request)
            if response is not None:
                return response
        return await answer(graph, request)

    return endpoint


def _kind(request: Request) -> str:
    """Return what a call to Graph is about: `site`, `drives`, `item`, `children`, `session` or `delete`."""
    rest = request.path_params["rest"]
    if rest.startswith("sites/"):
        return "drives" if rest.endswith("/drives") else "site"
    if request.method == "POST":
        return "children" if rest.endswith("children") else "session"
    return "delete" if request.method == "DELETE" else "item"


async def _discovery(graph: Graph, _: Request) -> Response:
    base = f"{graph.url}/{TENANT}"
    return JSONResponse(
        {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
        }
    )


async def _token(graph: Graph, request: Request) -> Response:
    form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
    try:
        jwt.decode(
            form["client_assertion"],
            graph.certificate.public_key(),
            algorithms=["PS256", "RS256"],
            audience=f"{graph.url}/{TENANT}/oauth2/v2.0/token",
            issuer=CLIENT,
        )
    except (KeyError, jwt.InvalidTokenError):
        told = {"error": "invalid_client", "error_description": f"AADSTS700027: wrong key. {form}"}
        return JSONResponse(told, 401)
    if form.get("scope") != f"{graph.url}/.default":
        return JSONResponse({"error": "invalid_scope", "error_description": "AADSTS70011"}, 400)
    return JSONResponse({"access_token": graph.secret, "token_type": "Bearer", "expires_in": 3600})


async def _call(graph: Graph, request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {graph.secret}":
        return _error(401, "InvalidAuthenticationToken")
    rest = request.path_params["rest"]
    if found := re.fullmatch(r"sites/([^/:]+)(?::/(.+))?", rest):
        return _site(graph, found[1], found[2] or "")
    if found := re.fullmatch(r"sites/([^/]+)/drives", rest):
        return _drives(graph, found[1], int(request.query_params.get("page", 0)))
    if found := re.fullmatch(
        r"drives/([^/]+)/(?:root|items/([^/:]+))(?::/(.+?))?:?(/children|/createUploadSession)?", rest
    ):
        start = found[2] or found[1]
        if request.method == "DELETE":
            return Response(status_code=204 if graph.items.pop(start, None) else 404)
        return await _item(graph, request, start, found[3], found[4])
    return _error(400, "invalidRequest")


def _site(graph: Graph, host: str, path: str) -> Response:
    if host != HOST or path not in graph.sites:
        return _error(404, "itemNotFound")
    return JSONResponse({"id": f"{HOST},{base64.urlsafe_b64encode(path.encode()).decode()}"})


def _drives(graph: Graph, site: str, page: int) -> Response:
    """Answer with one library a page."""
    path = base64.urlsafe_b64decode(site.partition(",")[2]).decode()
    libraries = graph.sites[path]
    name = libraries[page]
    url = f"https://{HOST}/{path}/{name}".replace(" ", "%20")
    told: dict[str, Any] = {"value": [{"id": name.replace(" ", "-"), "webUrl": url}]}
    if page + 1 < len(libraries):
        told["@odata.nextLink"] = f"{graph.url}/v1.0/sites/{site}/drives?page={page + 1}"
    return JSONResponse(told)


async def _item(graph: Graph, request: Request, start: str, path: str | None, action: str | None) -> Response:
    """Answer about what is at a path below a folder or a library, or make something there."""
    names = path.split("/") if path else []
    above = start
    for name in names[:-1] if action != "/children" else names:
        item = graph.child(above, name)
        if item is None:
            return _error(404, "itemNotFound")
        above = item.id
    if action == "/children":
        told = await request.json()
        if graph.child(above, told["name"]):
            return _error(409, "nameAlreadyExists")
        return JSONResponse(_told(graph.put(above, told["name"])), 201)
    found = graph.child(above, names[-1])
    if action is None:
        return JSONResponse(_told(found)) if found else _error(404, "itemNotFound")
    if (await request.json())["item"]["@microsoft.graph.conflictBehavior"] != "fail":
        return _error(400, "invalidRequest")
    if found:
        return _error(409, "nameAlreadyExists")
    id = uuid.uuid4().hex
    graph.sessions[id] = Session(above, names[-1])
    return JSONResponse({"uploadUrl": f"{graph.upload_url}/up/{id}?tempauth={graph.secret}"})


async def _chunk(graph: Graph, request: Request) -> Response:
    session = graph.sessions.get(request.path_params["id"])
    if session is None:
        return _error(404, "itemNotFound")
    if "authorization" in request.headers:
        return _error(401, "unauthenticated")  # the address is the secret, and takes no other
    first, last, size = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", request.headers["content-range"]).groups())
    body = await request.body()
    if first != len(session.content) or len(body) != last + 1 - first or (last + 1 < size and len(body) % UNIT):
        return _error(416, "invalidRange")
    if last + 1 < size:
        session.content += body
        return JSONResponse({"nextExpectedRanges": [f"{last + 1}-"]}, 202)
    if graph.child(session.folder, session.name):
        return _error(409, "nameAlreadyExists")
    del graph.sessions[request.path_params["id"]]
    return JSONResponse(_told(graph.put(session.folder, session.name, session.content + body)), 201)


async def _state(graph: Graph, request: Request) -> Response:
    session = graph.sessions.get(request.path_params["id"])
    return (
        JSONResponse({"nextExpectedRanges": [f"{len(session.content)}-"]}) if session else _error(404, "itemNotFound")
    )


async def _abandon(graph: Graph, request: Request) -> Response:
    return Response(status_code=204 if graph.sessions.pop(request.path_params["id"], None) else 404)


def _told(item: Item) -> dict[str, Any]:
    if item.content is None:
        return {"id": item.id, "name": item.name, "folder": {"childCount": 0}}
    hashes = {"quickXorHash": quick_xor(item.content)}
    return {"id": item.id, "name": item.name, "size": len(item.content), "file": {"hashes": hashes}}


def _error(status: int, code: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": "no"}}, status)
