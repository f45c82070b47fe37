"""The lead of one of several servers, as a test sets it."""

from __future__ import annotations

from postscan.core.cluster.leadership import AlwaysLeader


class Member(AlwaysLeader):
    """One of several servers, which leads and holds all inlets while *leads*."""

    is_alone = False

    def __init__(self, *, leads: bool) -> None:
        self.is_leader = leads

    def holds(self, lock: str) -> bool:
        """Return whether it leads."""
        return self.is_leader
