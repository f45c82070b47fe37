"""The rows of the API for the route table of the console."""

from __future__ import annotations

import json
from functools import cache
from typing import Final

from starlette.responses import Response

from postscan.console.api.openapi import document
from postscan.console.api.operations import BASE
from postscan.console.api.table import OPERATIONS
from postscan.console.request import ConsoleRequest, ConsoleRoute


def show_document(_request: ConsoleRequest) -> Response:
    """Return the OpenAPI document."""
    return Response(_document(), media_type="application/json")


@cache
def _document() -> str:
    return json.dumps(document(OPERATIONS))


API_ROUTES: Final = (
    ConsoleRoute(f"{BASE}/openapi.json", "GET", show_document, summary="The OpenAPI document"),
    *(
        ConsoleRoute(one.full_path, one.method, one.respond, one.right, summary=one.summary, returns=one.answer)
        for one in OPERATIONS
    ),
)
