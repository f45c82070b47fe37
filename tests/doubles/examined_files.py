"""What is said about bytes, in short."""

from __future__ import annotations

import io

from postscan.core.filters.source.completeness import examine


def found(content: bytes) -> str:
    """Return the state of these bytes and the reason, as one text."""
    result = examine(io.BytesIO(content))
    return f"{result.state}: {result.reason}"
