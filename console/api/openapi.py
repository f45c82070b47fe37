"""The OpenAPI 3.1 document of the API, made of the table of its operations."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from postscan.console.api import problems
from postscan.console.api.operations import BASE, ApiOperation
from postscan.console.api.problems import Problem

_REFERENCE: Final = "#/components/schemas/{model}"

_ABOUT: Final = """Find, show and change jobs of a postscan server, and see how it is.

Send a token of the API as `Authorization: Bearer TOKEN`. What a token may do follows from its role; a job that the \
caller may not see is answered as one that does not exist. Lists have the address of their next page in `next`. Errors \
are problem details (RFC 9457)."""

_ALWAYS: Final = (400, 401, 403, 421, 429, 500, 503)
"""Statuses that every operation may answer."""


def document(operations: Sequence[ApiOperation], server: str = BASE) -> dict[str, Any]:
    """Return the document; *server* is the address of the API."""
    answers = [(one.answer, "serialization") for one in operations if one.answer is not None]
    models: list[tuple[type[BaseModel], Any]] = [(Problem, "serialization"), *answers]
    _, definitions = models_json_schema(models, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "postscan",
            "version": importlib.metadata.version("postscan"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "responses": {f"Problem{status}": _problem(status) for status in (*_ALWAYS, 404, 409, 422)},
        },
    }


def _operation(one: ApiOperation) -> dict[str, Any]:
    statuses = {
        *_ALWAYS,
        *((404,) if one.parameters else ()),
        *((409,) if one.conflicts else ()),
        *((422,) if one.unusable else ()),
    }
    needs = f"\n\nNeeds the right to {one.right}." if one.right else ""
    return {
        "operationId": one.name,
        "summary": one.summary,
        "description": f"{inspect.getdoc(one.run)}{needs}",
        "parameters": [*map(_in_path, one.parameters), *_in_query(one)],
        "responses": {
            str(one.status): _success(one),
            **{str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)},
        },
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(one: ApiOperation) -> list[dict[str, Any]]:
    """Return the parameters of the query; what they refer to is written where they are."""
    schema = one.query.model_json_schema(by_alias=True)
    found = []
    for name, about in schema.get("properties", {}).items():
        inlined = _inlined(about, schema.get("$defs", {}))
        description = inlined.pop("description", "")
        inlined.pop("title", None)
        found.append({"name": name, "in": "query", "required": False, "description": description, "schema": inlined})
    return found


def _inlined(about: Any, definitions: dict[str, Any]) -> Any:
    """Return a schema without references, and without null, which a query does not have."""
    if isinstance(about, list):
        return [_inlined(one, definitions) for one in about]
    if not isinstance(about, dict):
        return about
    if "$ref" in about:
        return _inlined(definitions[about["$ref"].rpartition("/")[2]], definitions)
    found = {key: _inlined(value, definitions) for key, value in about.items()}
    if "anyOf" in found:
        wanted = [one for one in found.pop("anyOf") if one != {"type": "null"}]
        found = {**wanted[0], **found} if len(wanted) == 1 else {**found, "anyOf": wanted}
    if found.get("default", "") is None:
        del found["default"]
    return found


def _success(one: ApiOperation) -> dict[str, Any]:
    about: dict[str, Any] = {"description": HTTPStatus(one.status).phrase}
    if one.answer is not None:
        schema = {"$ref": _REFERENCE.format(model=one.answer.__name__)}
        about["content"] = {"application/json": {"schema": schema}}
    headers = {}
    if one.links:
        headers["Link"] = {"description": "The next page.", "schema": {"type": "string"}}
    if one.status == HTTPStatus.CREATED:
        headers["Location"] = {"description": "The new job.", "schema": {"type": "string"}}
    return {**about, "headers": headers} if headers else about


def _problem(status: int) -> dict[str, Any]:
    titles = " or: ".join(kind.title for kind in problems.KINDS if kind.status == status)
    about: dict[str, Any] = {
        "description": titles,
        "content": {problems.MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        about["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return about
