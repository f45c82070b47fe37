"""The scan ticket of a destination, as a message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from postscan.core.filters.source.ticket import FORMATS, LONGEST, ScanTicket
from postscan.core.model import json_lines


def test_a_ticket_takes_no_room_for_what_it_leaves_to_the_device() -> None:
    """A server with a thousand destinations has its tickets in one message."""
    ticket = ScanTicket(formats=("jfif",), images=3)

    assert json.loads(json_lines.write(ScanTicket())) == {}
    assert json.loads(json_lines.write(ticket)) == {"formats": ["jfif"], "images": 3}
    assert ScanTicket.model_validate_json(json_lines.write(ticket)) == ticket


@pytest.mark.parametrize(
    "fields",
    [
        {"color": "x" * (LONGEST + 1)},
        {"formats": ("jfif",) * (FORMATS + 1)},
        {"formats": ("x" * (LONGEST + 1),)},
        {"images": -1},
        {"images": 1 << 31},
        {"width": 2.5},
        {"quality": 101},
        {"job_name": 7},
        {"dpi": 300},
    ],
)
def test_a_ticket_has_bounds(fields: dict[str, Any]) -> None:
    """Length of texts, number of formats, size of numbers; no other field."""
    with pytest.raises(ValidationError):
        ScanTicket(**fields)


def test_texts_are_such_that_every_database_takes_them() -> None:
    """A job may be named by them."""
    assert ScanTicket(job_name="a\0b\ud800").job_name == "a?b?"
