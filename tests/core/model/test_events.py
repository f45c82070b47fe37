"""The only form in which events are kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from postscan.core.model.events import (
    FilterStateChanged,
    ImageReceived,
    JobEnded,
    JobStateChanged,
    RepositoryConfigurationChanged,
    RepositoryStatusChanged,
    from_record,
    to_record,
)

AT = datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("event", "record"),
    [
        (JobStateChanged("Pending", (), AT), ("JobStateChanged", {"state": "Pending", "reasons": ()})),
        (ImageReceived(1, 4, "aa", AT), ("ImageReceived", {"document_id": 1, "size": 4, "sha256": "aa"})),
        (
            FilterStateChanged(0, "Canceled", ("x",), AT),
            ("FilterStateChanged", {"position": 0, "state": "Canceled", "reasons": ("x",)}),
        ),
        (JobEnded("Aborted", ("y",), AT), ("JobEnded", {"state": "Aborted", "reasons": ("y",)})),
        (RepositoryStatusChanged("Idle", AT), ("RepositoryStatusChanged", {"state": "Idle"})),
        (
            RepositoryConfigurationChanged(("urn:a",), AT),
            ("RepositoryConfigurationChanged", {"filters": ("urn:a",)}),
        ),
    ],
)
def test_an_event_is_kept_by_its_kind_and_fields(event, record):
    """The time has a column of its own; what comes back through JSON is the event."""
    kind, fields = to_record(event)

    assert (kind, fields) == record
    assert from_record(kind, json.loads(json.dumps(fields)), AT) == event
