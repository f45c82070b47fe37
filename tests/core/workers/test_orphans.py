"""Finding what a filter left behind."""

from __future__ import annotations

from postscan.core.workers import orphans


def test_a_thread_that_ends_meanwhile_does_not_stop_the_sweep(tmp_path):
    """Its list of children is gone by the time it is read; those of the other threads count."""
    (tmp_path / "7001").mkdir()
    (tmp_path / "7002").mkdir()
    (tmp_path / "7002" / "children").write_text("7010 7011 ")

    assert orphans._children(tmp_path) == [7010, 7011]
