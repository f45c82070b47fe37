"""What a log of strace says: which calls were made, and what returned before what."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from campaigns import tracing

LOG = """\
11 fsync(5</data/spool/token/1-a.part> <unfinished ...>
12 sendto(7<socket:[9]>, "226 Stored", 10, 0, NULL, 0) = 10
11 <... fsync resumed>) = 0 (DELAYED)
11 fdatasync(6</data/postscan.sqlite-wal>) = 0 (DELAYED)
12 sendto(7<socket:[9]>, "221 Goodbye", 11, 0, NULL, 0 <unfinished ...>
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of two threads."""
    path = tmp_path / "strace.log"
    path.write_text(LOG)
    return path


def test_a_call_ends_where_its_thread_is_resumed(log: Path) -> None:
    """And not at all if the log ends before that."""
    spans = tracing.spans(log)

    assert [(one.call.name, one.begun, one.ended) for one in spans] == [
        ("fsync", 0, 2),
        ("sendto", 1, 1),
        ("fdatasync", 3, 3),
        ("sendto", 4, math.inf),
    ]


def test_calls_are_counted_for_each_thread(log: Path) -> None:
    """As strace counts them."""
    log.write_text(LOG + '12 sendto(7<socket:[9]>, "", 0, 0, NULL, 0) = 0\n')

    assert tracing.most_of_one_thread(log) == 3
