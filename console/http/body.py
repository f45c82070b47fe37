"""The body of a POST: the fields of a form, or the bytes for the API; bounded in size, in fields and in time."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from postscan.console.errors import PageError
from postscan.core.settings.network import ServerSettings
from postscan.soap.http.body import Body, BodyRefused

FORM: Final = "application/x-www-form-urlencoded"
MOST_BYTES: Final = 1 << 20
MOST_FIELDS: Final = 1000


async def read(http: Request, settings: ServerSettings) -> bytes:
    """Return the whole body; raise `PageError` (408, 413), or `ClientDisconnected`."""
    declared = http.headers.get("content-length", "0")
    data, too_large = bytearray(), PageError(413, "The form is too large.", f"Send at most {MOST_BYTES >> 10} KiB.")
    if not declared.isdecimal() or int(declared) > MOST_BYTES:
        raise too_large
    try:
        async for chunk in Body(http, settings).chunks():
            data += chunk
            if len(data) > MOST_BYTES:
                raise too_large
    except BodyRefused:
        raise PageError(408, "The form did not arrive in time.", "Send it again.") from None
    return bytes(data)


def fields(http: Request, data: bytes) -> dict[str, list[str]]:
    """Return the fields of a form in their order; raise `PageError` (400, 415)."""
    if http.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise PageError(415, "This is no form.", f"Send its fields as {FORM}.")
    try:
        text = data.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:  # a UnicodeDecodeError as well
        raise PageError(400, "The form cannot be read.", f"Send UTF-8, and at most {MOST_FIELDS} fields.") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if "\0" in value or "\0" in name:
            raise PageError(400, "The form cannot be read.", "Leave out characters of value 0.")
        found.setdefault(name, []).append(value)
    return found
