"""Options that several commands have, and how their values are read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

RoleName = Literal["owner", "viewer", "operator", "administrator"]
"""The values of `Role`, which is imported when a command needs it."""


def moment(text: str) -> datetime:
    """Return the moment that a date or a time names; without a zone it is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no date; expected 2026-01-31 or 2026-01-31T08:00Z") from None
