"""The files in `console/static`: read once, at a URL with their hash, which browsers may keep for ever."""

from __future__ import annotations

import mimetypes
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from postscan.console.errors import PageError
from postscan.console.rendering import STATIC, static_hash

SERVED: Final = {".css", ".js", ".svg"}
FOR_EVER: Final = "public, max-age=31536000, immutable"


def route() -> Route:
    """Return the route of all static files; they need no session."""
    names = [one.name for one in STATIC.iterdir() if one.is_file()]
    files = {
        (static_hash(name), name): (STATIC / name).read_bytes() for name in names if name[name.rfind(".") :] in SERVED
    }

    async def get(request: Request) -> Response:
        name = request.path_params["name"]
        data = files.get((request.path_params["hash"], name))
        if data is None:
            raise PageError.not_found()
        media_type = mimetypes.guess_type(name)[0]
        return Response(data, media_type=media_type, headers={"cache-control": FOR_EVER})

    return Route("/static/{hash}/{name}", get, methods=["GET"])
