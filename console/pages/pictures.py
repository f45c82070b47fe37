"""What the pages of a job look like: small pictures in the page of the job, pages for large ones, and the files.

A picture is a WebP file that this server has made. One that cannot be made is a small SVG file with the reason, so that
a reader sees it in the place of the picture, without a script.
"""

from __future__ import annotations

import html
import textwrap
from typing import Final

from starlette.responses import Response

from postscan.console.errors import PageError
from postscan.console.rendering import render
from postscan.console.request import ConsoleRequest
from postscan.core.errors import PictureUnavailable, Unavailable
from postscan.core.model.job import Job
from postscan.core.service.administration.pictures.job_pictures import PictureSize

SIZES: Final = {"small": PictureSize.SMALL, "large": PictureSize.LARGE}

_LARGEST: Final = 1 << 31  # of the numbers in a URL
_FIELDS: Final = {
    "content-security-policy": "default-src 'none'; sandbox",
    "accept-ranges": "none",
    "cache-control": "private, no-store",
}


def show_all(request: ConsoleRequest) -> Response:
    """Show the small pictures of a job, so many at once."""
    job = _job(request)
    after = _number(request.query("after", "0"), least=0)
    return render(request, "jobs/pictures.html", job=job, first_picture=after)


def show(request: ConsoleRequest) -> Response:
    """Show one large picture, with what is before and behind it; or say why there is none."""
    job = _job(request)
    document, page = _number(request.path_value("document")), _number(request.path_value("page"))
    numbers = [one.id for one in job.documents]
    if document not in numbers:
        raise PageError.not_found()
    reason, pages, status = "", page, 200
    try:
        pages = request.console.engine.pictures.picture(job.token, request.by, document, page, PictureSize.LARGE).pages
    except PictureUnavailable as error:
        reason = str(error)
    except Unavailable as error:
        reason, status = str(error), 503
    place = numbers.index(document)
    return render(
        request,
        "jobs/picture.html",
        status,
        job=job,
        address=f"/jobs/{job.token}/pictures",
        document=document,
        page=page,
        pages=pages,
        number=place + 1,
        reason=reason,
        before=_before(numbers, place, page),
        behind=_behind(numbers, place, page, pages),
    )


def image(request: ConsoleRequest) -> Response:
    """Return one picture; an SVG file that says why, if there is none."""
    size = SIZES.get(request.path_value("size"))
    document, page = _number(request.path_value("document")), _number(request.path_value("page"))
    if size is None:
        raise PageError.not_found()
    pictures = request.console.engine.pictures
    try:
        data = pictures.picture(request.path_value("token"), request.by, document, page, size).data
    except PictureUnavailable as error:
        return Response(_tile_of_text(str(error)), media_type="image/svg+xml", headers=_FIELDS)
    except Unavailable as error:
        return Response(_tile_of_text(str(error)), 503, media_type="image/svg+xml", headers=_FIELDS)
    return Response(data, media_type="image/webp", headers=_FIELDS)


def _job(request: ConsoleRequest) -> Job:
    return request.console.engine.service.job(request.path_value("token"), request.by)


def _number(text: str, least: int = 1) -> int:
    """Return a number of a URL; raise `PageError` (404) if it is none."""
    if text.isascii() and text.isdecimal() and len(text) <= 10 and least <= int(text) < _LARGEST:
        return int(text)
    raise PageError.not_found()


def _before(documents: list[int], place: int, page: int) -> tuple[int, int] | None:
    """Return the image and its page before a page; None if it is the first one."""
    if page > 1:
        return documents[place], page - 1
    return (documents[place - 1], 1) if place else None


def _behind(documents: list[int], place: int, page: int, pages: int) -> tuple[int, int] | None:
    """Return the image and its page behind a page; None if it is the last one."""
    if page < pages:
        return documents[place], page + 1
    return (documents[place + 1], 1) if place + 1 < len(documents) else None


def _tile_of_text(reason: str) -> bytes:
    """Return an SVG file with a reason, as large as a small picture."""
    lines = ["No picture:", *textwrap.wrap(reason[:160], 32)]
    spans = "".join(f'<tspan x="12" dy="22">{html.escape(line)}</tspan>' for line in lines)
    ground = '<rect width="320" height="320" fill="#f4f6f8"/>'
    text = f'<text y="20" font-family="sans-serif" font-size="16" fill="#1a1f24">{spans}</text>'
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 320" width="320" height="320">'
    return f"{head}{ground}{text}</svg>".encode("ascii", "xmlcharrefreplace")
