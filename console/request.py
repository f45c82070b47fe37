"""What a page function gets, and the rows of the route table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, cast

import jinja2
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.state.examinations import Examinations
from postscan.core.clock import Clock
from postscan.core.engine import Engine
from postscan.core.model.accounts.account import Account
from postscan.core.model.accounts.session import Session
from postscan.core.model.principal import Principal, Proof, Right
from postscan.core.settings import Settings
from postscan.core.settings.console import ConsoleSettings

Part = TypeVar("Part")

ANONYMOUS: Final = Principal("anonymous", Proof.ADDRESS)
"""Who asks for a public page without a session."""

PASSWORD, LINK, OIDC, CERTIFICATE, PROXY = "password", "link", "oidc", "certificate", "proxy"
"""The ways in; the last two prove who it is with each request."""


class Identification(Protocol):
    """Who a request proves to be without a password, and without a session."""

    def by_certificate(self, http: Request) -> Principal | None:
        """Return the person whom the client certificate of the connection identifies; None without one."""

    def by_proxy(self, http: Request) -> Account | None:
        """Return the account that the proxy names; None if it names none, or if the request is not from the proxy."""


class Console:
    """What all pages share: the engine, which is not running, the templates, and the route table.

    `settings_file` is the file of the settings; None for the defaults, which have none.
    """

    def __init__(
        self,
        engine: Engine,
        routes: Sequence[ConsoleRoute],
        templates: jinja2.Environment,
        identification: Identification,
        examinations: Examinations,
        settings_file: Path | None = None,
    ) -> None:
        self.engine = engine
        self.routes = tuple(routes)
        self.templates = templates
        self.identification = identification
        self.examinations = examinations
        self.settings_file = settings_file
        self._parts: dict[type[Any], Any] = {}
        self._lock = threading.Lock()

    def part(self, kind: type[Part], make: Callable[[], Part]) -> Part:
        """Return what requests share beside the engine, as a cache: the one of its kind, which *make* makes once."""
        with self._lock:
            if kind not in self._parts:
                self._parts[kind] = make()
            return cast("Part", self._parts[kind])

    @property
    def settings(self) -> Settings:
        """All settings; those of the console are `settings.console`."""
        return self.engine.settings

    @property
    def options(self) -> ConsoleSettings:
        """The settings of the console."""
        return self.engine.settings.console

    @property
    def clock(self) -> Clock:
        """The clock of the engine."""
        return self.engine.clock


@dataclass(frozen=True, slots=True)
class ConsoleRequest:
    """One request, as a page function gets it.

    `session` is None for an API token and on public pages. `form` has the fields of an urlencoded POST in their order,
    {} else; `body` has the bytes of a request to the API. `form_token` is what each form sends back. `address` is the
    browser's. `notice` is the sentence that the page before has left.
    """

    http: Request
    by: Principal
    session: Session | None
    console: Console
    form: Mapping[str, list[str]] = field(default_factory=dict)
    body: bytes = b""
    form_token: str = ""
    address: str = ""
    notice: str = ""

    def value(self, name: str, default: str = "") -> str:
        """Return the first value of a field of the form."""
        return next(iter(self.form.get(name, ())), default)

    def query(self, name: str, default: str = "") -> str:
        """Return the last value of a field of the URL. Raises `PageError` (400) for one that no database takes."""
        value = self.http.query_params.get(name, default)
        if "\0" in value:
            raise PageError(400, "The address of this page cannot be read.", "Leave out characters of value 0.")
        return value

    def path_value(self, name: str) -> str:
        """Return a part of the path that the route names. Raises `PageError` (404) for one that no database takes."""
        value = str(self.http.path_params[name])
        if "\0" in value:
            raise PageError.not_found()
        return value

    @property
    def secret(self) -> str:
        """The secret of the session; "" without one."""
        return str(getattr(self.http.state, "session_secret", ""))

    @property
    def is_confirmed(self) -> bool:
        """Whether the person has proven who it is in the last minutes; a program has no session, and never has."""
        return self.session is not None and self.session.is_confirmed(self.console.clock.now())

    def require(self, right: Right) -> None:
        """Raise `PageError` (403) without this right. The service asks as well; this is for what only a page shows."""
        if not self.by.may(right):
            raise PageError.forbidden(right)


PageFunction = Callable[[ConsoleRequest], Response]
"""A synchronous function; it is called in one of a few threads, so it may read the database."""


@dataclass(frozen=True, slots=True)
class ConsoleRoute:
    """A row of the route table: what is answered at a path, and for whom.

    `right` None: any signed-in person, who then sees what is their own. `public`: anyone. `confirm`: only who has
    signed in, or has confirmed it, in the last 15 minutes. `background`: pages ask without the person, so this does not
    keep the session from ending. `slow`: it may wait for a worker, so it has threads that no other page waits for.
    `open_to` returns the networks from which anyone may ask. `reads` and `returns` are the models of the JSON bodies.
    """

    path: str
    method: str
    function: PageFunction
    right: Right | None = None
    _: KW_ONLY
    public: bool = False
    confirm: bool = False
    open_to: Callable[[ConsoleSettings], tuple[str, ...]] | None = None
    background: bool = False
    slow: bool = False
    summary: str = ""
    reads: type[BaseModel] | None = None
    returns: type[BaseModel] | None = None

    @property
    def is_api(self) -> bool:
        """Whether programs ask here, with an API token; errors are problem documents in JSON then."""
        return is_api(self.path)

    @property
    def is_write(self) -> bool:
        """Whether a request may change something."""
        return self.method not in ("GET", "HEAD")


def is_api(path: str) -> bool:
    """Return whether programs ask at this path."""
    return path.startswith("/api/") or path == "/metrics"
