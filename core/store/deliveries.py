"""Grants and deliveries of filter runs. Functions on an open transaction, for `postscan.core.store` alone."""

from __future__ import annotations

from typing import Any

from postscan.core.model.records import Delivery
from postscan.core.store.schema import WHOLE_JOB


def _delivery_key(token: str, position: int, about: Delivery) -> dict[str, Any]:
    document = WHOLE_JOB if about.document is None else about.document
    return {"token": token, "position": position, "document": document, "destination": about.destination}
