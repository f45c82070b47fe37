"""What an operation of the API is: its row has all that the router, the OpenAPI document and the tests need."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Final, get_origin
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from postscan.console.api import problems
from postscan.console.request import ConsoleRequest
from postscan.core.errors import PostscanError
from postscan.core.model.principal import Right

BASE: Final = "/api/v1"

Text = Annotated[str, Field(max_length=255, pattern=r"^[^\x00]*$")]
"""A text in a query; no database takes a NUL."""

Time = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(9999, 1, 1, tzinfo=UTC))]
"""A time in a query, with its zone; each can be converted to UTC."""

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class ApiQuery(BaseModel):
    """Base class of the parameters in the query of an operation; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NoQuery(ApiQuery):
    """An operation without parameters in its query."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What an operation answers: a record, None for no body, and further headers."""

    record: BaseModel | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiOperation:
    """One operation: *run* gets the request and its query, and returns the answer or raises an error of the core.

    `answer` is the model of the record, None for no body; `conflicts` says that it is refused in some states,
    `unusable` that what is stored may be of no use, `links` that it has a link to its next page.
    """

    method: str
    path: str
    run: Callable[[ConsoleRequest, Any], ApiAnswer]
    summary: str
    answer: type[BaseModel] | None
    query: type[ApiQuery] = NoQuery
    right: Right | None = None
    status: int = 200
    conflicts: bool = False
    unusable: bool = False
    links: bool = False

    @property
    def name(self) -> str:
        """The name of the operation in the document: that of its function."""
        return self.run.__name__

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters in the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def full_path(self) -> str:
        """The path from the root of the console."""
        return BASE + self.path

    def respond(self, request: ConsoleRequest) -> Response:
        """Return the response to a request; each error of the core is a problem."""
        path = request.http.url.path
        try:
            query = self.query.model_validate(_fields(self.query, request.http))
        except ValidationError as error:
            return _refused(error, self.query, path)
        try:
            answer = self.run(request, query)
        except PostscanError as error:
            return problems.of_error(error, path)
        if answer.record is None:
            return Response(status_code=self.status, headers=dict(answer.headers))
        text = json.dumps(answer.record.model_dump(mode="json", by_alias=True))
        return Response(text, self.status, dict(answer.headers), "application/json")


def next_page(request: Request, **changed: str) -> str:
    """Return the address of the next page: that of this request, with changed parameters of its query."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name not in changed]
    pairs = (f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in (*kept, *changed.items()))
    return f"{request.url.path}?{'&'.join(pairs)}"


def paged(record: BaseModel, link: str | None) -> ApiAnswer:
    """Return the answer of a list with a link to its next page, in a header too (RFC 8288)."""
    return ApiAnswer(record, {"Link": f'<{link}>; rel="next"'} if link else {})


def _fields(model: type[ApiQuery], request: Request) -> dict[str, Any]:
    """Return the parameters of the query: those that may be repeated as lists, one that is given twice as well."""
    many = {
        info.alias or name for name, info in model.model_fields.items() if get_origin(info.annotation) in (tuple, list)
    }
    found: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        found.setdefault(name, []).append(value)
    return {name: values if name in many or len(values) > 1 else values[0] for name, values in found.items()}


def _refused(error: ValidationError, model: type[ApiQuery], path: str) -> Response:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    known = [info.alias or name for name, info in model.model_fields.items()]
    name = first["loc"][0] if first["loc"] else ""
    if name not in known:
        known_names = ", ".join(known) or "none"
        return problems.problem(
            problems.INVALID, f"query: expected parameters of: {known_names}", path, argument="query"
        )
    return problems.problem(problems.INVALID, f"{name}: {first['msg']}", path, argument=name)
