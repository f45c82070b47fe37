"""Prefix comparison of URIs, by whole segments of their paths.

Discovery matches scopes with it, and eventing actions. Source: dpws.md sections 6.2 and 8.1 (RFC 2396).
"""

from __future__ import annotations

from urllib.parse import urlsplit


def is_below(asked: str, ours: str) -> bool:
    """Return whether *ours* equals *asked* or begins with all its segments; host names are compared without case."""
    try:
        one, other = urlsplit(asked), urlsplit(ours)
    except ValueError:
        return False
    if (one.scheme, one.netloc.lower()) != (other.scheme, other.netloc.lower()):
        return False
    wanted, there = (part.path.rstrip("/").split("/") for part in (one, other))
    return not {".", ".."} & {*wanted, *there} and wanted == there[: len(wanted)]
