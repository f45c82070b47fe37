"""The webhook filter: describe the job to a configured host, in one POST of JSON.

Delivery is at least once: unless the filter fails, the host has accepted the whole message when it ends. A message is
sent again if its response was lost, or if it was sent before a crash. All of these have the same Idempotency-Key, by
which the host can recognise them. A message that a cancel aborted may have been accepted nevertheless.

The URL is in the settings alone; an instruction names it, and redirects are not followed (D17).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http
import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    FilterReason,
    FilterResult,
    element,
    hookimpl,
    setting,
)
from postscan.plugins.http_client import HttpSession, check_reachable, origin

NAMESPACE: Final = "urn:postscan:2026:filter:webhook"
SIGNATURE: Final = "X-Postscan-Signature-256"

BUSY: Final = frozenset({429, 503})  # statuses after which the message is sent again
CHUNK: Final = 3 << 16  # bytes of a file between two checks of the token; a multiple of three, for base64
LAST: Final = 1 << 16  # bytes at the end of a message that are sent after the grant

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "url": (str,),
    "secret": (str,),
    "ca_file": (str,),
    "seconds": (int, float),
    "images": (bool,),
}


@dataclass(frozen=True)
class Instructions:
    """WebhookConfig: which of the configured hosts gets the message."""

    target: str = element("Target", help="the name of a target in the settings")


@dataclass(frozen=True)
class Target:
    """One host: its URL, the key of the signature, the seconds for all attempts, and whether it gets the images."""

    url: str = field(repr=False)
    secret: str = field(default="", repr=False)
    ca_file: str = ""
    seconds: float = 30.0
    images: bool = False

    @classmethod
    def read(cls, key: str, table: object) -> Target:
        """Return the target that a table of the settings describes; raise `ValueError` naming the key."""
        if not isinstance(table, Mapping):
            raise ValueError(f"{key}: expected a table with {', '.join(_TYPES)}")  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
        for name, value in table.items():
            if name not in _TYPES:
                raise ValueError(f"{key}.{name} is unknown; expected one of {', '.join(_TYPES)}")
            if type(value) not in _TYPES[name]:  # no isinstance: a bool is an int
                raise ValueError(f"{key}.{name}: expected {' or '.join(kind.__name__ for kind in _TYPES[name])}")
        target = cls(**{"url": "", **table})
        if not _is_plain(target.url):  # without the URL, which may contain a password
            raise ValueError(f"{key}.url: expected http:// or https://, a host, and neither user nor fragment")
        if target.ca_file and not Path(target.ca_file).is_absolute():
            raise ValueError(f"{key}.ca_file: {target.ca_file!r} is not an absolute path")
        if not 0 < target.seconds < math.inf:
            raise ValueError(f"{key}.seconds: {target.seconds}; expected more than 0")
        return target


@dataclass(frozen=True)
class Settings:
    """`[filters.webhook]`: the hosts that may get a message."""

    targets: Mapping[str, Any] = setting(
        {}, help="by name: url, and if wanted secret, ca_file, seconds (30), images (false)", secret=True
    )

    def __post_init__(self) -> None:
        """Raise `ValueError` for a table that cannot be used."""
        _ = self.known

    @cached_property
    def known(self) -> dict[str, Target]:
        """The targets by name, parsed."""
        if not isinstance(self.targets, Mapping):
            raise ValueError("filters.webhook.targets: expected tables")  # noqa: TRY004  (a bad setting is a ValueError, whatever its type)
        return {name: Target.read(f"filters.webhook.targets.{name}", one) for name, one in self.targets.items()}


class Webhook(Filter):
    """Post a description of the job, and its images if the settings say so, to a configured host."""

    dialect = NAMESPACE
    title = "Webhook"
    Instructions = Instructions
    Settings = Settings

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Check that the target is configured, and that its host can be reached."""
        try:
            target = _target(job)
            check_reachable(target.url, target.ca_file)
        except FilterFailed as failure:
            yield failure.detail

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Write the message to a file, then send it until the host accepts it or the time is over."""
        target = _target(job)
        message = _written(job, job.instructions.target, target)
        there = [origin(target.url)]
        with HttpSession(job, there, seconds=target.seconds, ca_file=target.ca_file, busy=BUSY) as session:
            session.with_retries(lambda: _post(job, session, message))
        return None


def _target(job: FilterContext) -> Target:
    """Return the host that the instructions name; raise `FilterFailed` if it is not configured."""
    name = job.instructions.target
    target: Target | None = job.settings.known.get(name)
    if target is None:
        known = ", ".join(sorted(job.settings.known)) or "nothing; add it to filters.webhook.targets"
        raise FilterFailed(FilterReason.INVALID_ARGS, f"Target {name!r} is not configured; there is {known}")
    return target


class WebhookMessage(NamedTuple):
    """The message for one target: the JSON in a file, and the request's headers."""

    to: str
    url: str
    headers: Mapping[str, str]
    body: Path


def _is_plain(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc and not parts.fragment


def _written(job: FilterContext, name: str, target: Target) -> WebhookMessage:
    """Write the message to a file and sign it; the headers need its length and its signature."""
    body = job.workdir / "message.json"
    signature = hmac.new(target.secret.encode(), digestmod=hashlib.sha256)
    with body.open("wb") as file:
        for piece in _pieces(job, images=target.images):
            job.token.check()
            signature.update(piece)
            file.write(piece)
    headers = {"Content-Type": "application/json", "Content-Length": str(body.stat().st_size)}
    headers["Idempotency-Key"] = _key(job, name)
    if target.secret:
        headers[SIGNATURE] = f"sha256={signature.hexdigest()}"
    return WebhookMessage(name, target.url, headers, body)


def _pieces(job: FilterContext, *, images: bool) -> Iterator[bytes]:
    """Yield the JSON in pieces, so that no image is in memory as a whole."""
    user = {"sid": job.user.sid, "name": job.user.name, "mail": job.user.mail}
    facts = {"token": job.job.token, "process": job.job.process, "created": job.job.created.isoformat(), "user": user}
    yield _without_end(facts) + b', "documents": ['
    for document in job.documents:
        yield b", " if document is not job.all_documents[0] else b""
        yield _without_end(_facts(document))
        if images:
            yield b', "content": "'
            with document.path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    yield base64.b64encode(chunk)
            yield b'"'
        yield b"}"
    yield b"]}"


def _facts(document: Document) -> dict[str, Any]:
    return {name: getattr(document, name) for name in ("id", "name", "format", "size", "sha256")}


def _without_end(table: dict[str, Any]) -> bytes:
    return json.dumps(table).encode().removesuffix(b"}")


def _key(job: FilterContext, name: str) -> str:
    """Return the Idempotency-Key: the same in every run, and different for different documents."""
    documents = [_facts(document) for document in job.all_documents]
    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([NAMESPACE, job.job.token, name, documents])))


def _post(job: FilterContext, session: HttpSession, message: WebhookMessage) -> None:
    """Send the message once; raise `TryAgainLater` if the host may accept it later, else `FilterFailed`."""
    complete = False
    with contextlib.ExitStack() as granted:

        def content() -> Iterator[bytes]:
            nonlocal complete
            yield from _begin(message.body, job.token)
            granted.enter_context(session.committing())
            granted.enter_context(job.publish(None, f"webhook:{message.to}", message.headers["Idempotency-Key"]))
            complete = True
            yield _end(message.body)

        response = session.call("POST", message.url, message.headers, content())
        if not complete or not 200 <= response.status < 300:
            early = "" if complete else " before it had the whole message"
            raise FilterFailed(detail=f"webhook {message.to}: {_phrase(response.status)}{early}")
    job.token.check()


def _begin(body: Path, token: CancellationToken) -> Iterator[bytes]:
    """Yield the message without its end, which makes it valid JSON."""
    left = body.stat().st_size - LAST
    with body.open("rb") as file:
        while left > 0:
            chunk = file.read(min(CHUNK, left))
            left -= len(chunk)
            token.check()
            yield chunk


def _end(body: Path) -> bytes:
    with body.open("rb") as file:
        file.seek(max(0, body.stat().st_size - LAST))
        return file.read()


def _phrase(status: int) -> str:
    with contextlib.suppress(ValueError):
        return f"answered {status} {http.HTTPStatus(status).phrase}"
    return f"answered {status}"


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the webhook filter."""
    return [Webhook()]
