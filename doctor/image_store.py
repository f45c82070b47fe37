"""Whether the store of the images, where `spool.store` names one, stores, returns and removes a few bytes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Final

from postscan.core.errors import PostscanError
from postscan.core.settings import Settings
from postscan.core.spool.image_store.opening import open_spool
from postscan.core.spool.image_store.spool_store import SpoolStore
from postscan.doctor.findings import Finding, ok, problem, warning

CHECK: Final = "image store"

_SLOW: Final = 1.0
"""Seconds from which a store is slow: an image takes a third of them at least."""


def image_store(settings: Settings) -> Iterator[Finding]:
    """Write, read back and remove a small text in the store."""
    if not settings.spool.store:
        return
    begun = time.monotonic()
    try:
        returned = _written_and_read(open_spool(settings), text := secrets.token_hex(16))
    except (OSError, PostscanError) as error:
        yield problem(
            CHECK, f"{settings.spool.store} cannot be used: {error}", "[spool] store, endpoint, secret_key = ..."
        )
        return
    seconds = time.monotonic() - begun
    if returned != text:
        sentence = f"{settings.spool.store} does not return what was stored"
        yield problem(CHECK, sentence, "docs/administration.md#where-images-lie")
    elif seconds > _SLOW:
        sentence = f"{settings.spool.store} took {seconds:.1f} s to store, return and remove 32 bytes"
        yield warning(CHECK, sentence, "docs/administration.md#where-images-lie")
    else:
        sentence = f"{settings.spool.store} stored, returned and removed 32 bytes in {1000 * seconds:.0f} ms"
        yield ok(CHECK, sentence)
    if settings.spool.allow_http and settings.spool.endpoint.startswith("http://"):
        sentence = f"pages cross the network readable: {settings.spool.endpoint} has no TLS"
        yield warning(CHECK, sentence, "[spool] endpoint = 'https://...'")


def _written_and_read(spool: SpoolStore, text: str) -> str | None:
    name = f"doctor-{secrets.token_hex(8)}"
    try:
        spool.write_mark(name, text)
        return spool.read_mark(name)
    finally:
        spool.drop(name)
