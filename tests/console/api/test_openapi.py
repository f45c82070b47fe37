"""The OpenAPI document is valid, has each row of the API, and says what the API does: Schemathesis tries it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from api_client import ApiClient
from conftest import ANNA
from console_browser import ORIGIN
from hypothesis import strategies
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31
from starlette.types import ASGIApp
from works import SID, instructions

from postscan.console.api.openapi import document
from postscan.console.api.operations import BASE
from postscan.console.api.problems import KINDS
from postscan.console.api.table import OPERATIONS
from postscan.console.routes import ROUTES
from postscan.core.engine import Engine
from postscan.core.model.principal import Role

Api = Callable[..., ApiClient]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def test_the_document_is_valid() -> None:
    """By the JSON schema of OpenAPI 3.1, and each schema in it by that of JSON schemas."""
    made = document(OPERATIONS)

    Draft202012Validator(OPENAPI_31).validate(made)
    for name, schema in made["components"]["schemas"].items():
        assert Draft202012Validator(schema | {"components": made["components"]}), name


def test_the_document_has_each_row_of_the_api_and_no_other() -> None:
    described = {
        (method.upper(), BASE + path) for path, methods in document(OPERATIONS)["paths"].items() for method in methods
    }
    served = {(row.method, row.path) for row in ROUTES if row.path.startswith(BASE)}

    assert served - described == {("GET", f"{BASE}/openapi.json")}
    assert described <= served


def test_each_operation_has_a_name_of_its_own_and_says_what_it_does() -> None:
    """Generated clients have methods of these names."""
    operations = [one for methods in document(OPERATIONS)["paths"].values() for one in methods.values()]

    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] and one["description"] for one in operations)


def test_a_kind_of_problem_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_the_document_is_served_to_each_token(api: Api) -> None:
    assert api(Role.OWNER).get("/openapi.json").json() == document(OPERATIONS)
    assert api().get("/openapi.json").status_code == 401


def test_a_few_requests_of_each_operation_are_answered_as_documented(
    console_app: ASGIApp, core: Engine, api: Api
) -> None:
    """Valid ones, and such that break the document."""
    tried = try_all(console_app, core, api(Role.ADMINISTRATOR), most=4)

    assert tried == {one.name for one in OPERATIONS}


@pytest.mark.services
@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.OWNER])
def test_many_requests_of_each_operation_are_answered_as_documented(
    console_app: ASGIApp, core: Engine, api: Api, role: Role
) -> None:
    """The same, long enough to find what is rare."""
    tried = try_all(console_app, core, api(role, SID), most=60)

    assert tried == {one.name for one in OPERATIONS}


def try_all(app: ASGIApp, core: Engine, client: ApiClient, most: int) -> set[str]:
    """Send at most so many requests of each kind of each operation, some about a job that there is.

    Returns the operations that were tried.
    """
    schema = schemathesis.openapi.from_dict(without_security())
    schema.app = app
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    tried = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        tried.add(operation.definition.raw["operationId"])
        try_operation(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), client, token, most)
        with contextlib.suppress(Unsatisfiable):  # without a parameter, there is nothing to break
            try_operation(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), client, token, most)
    return tried


def without_security() -> dict[str, Any]:
    """Return the document without its authentication, since each request has the token of the client.

    A request that shall be refused for its missing token alone would be a good one.
    """
    made = document(OPERATIONS)
    for described in (made, *(one for methods in made["paths"].values() for one in methods.values())):
        described.pop("security", None)
    return made


def try_operation(cases: Any, client: ApiClient, token: str, most: int) -> None:
    """Send at most so many of these requests."""

    def send(case: Any, is_known: bool) -> None:
        if is_known and "token" in (case.path_parameters or {}):
            case.path_parameters["token"] = token
        fields = {"authorization": f"Bearer {client.token}", "host": "127.0.0.1:5363"}
        response = case.call(base_url=f"{ORIGIN}{BASE}", headers=fields)
        case.validate_response(response, checks=CHECKS)

    checked = hypothesis.given(case=cases, is_known=strategies.booleans())(send)
    suppressed = list(hypothesis.HealthCheck)
    hypothesis.settings(max_examples=most, deadline=None, database=None, suppress_health_check=suppressed)(checked)()
