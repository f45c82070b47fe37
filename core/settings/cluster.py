"""Settings of several processes on one database."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from postscan.core.settings.engine import Seconds, Table

LEASE_MARGIN: Final = 5.0
"""Seconds that a lease has beside the time in which filters are stopped."""


class ClusterSettings(Table):
    """`[cluster]`: several processes on one PostgreSQL database and one shared spool."""

    members: Literal["one", "several"] = Field(
        "one",
        description="how many processes may use the database: `one` server, a second one is refused; or `several`, on "
        "PostgreSQL alone",
    )
    name: str = Field("", max_length=200, description="name of this process in lists; default: that of its machine")
    lease_seconds: Seconds = Field(
        60.0,
        description="seconds after which the others resume the jobs of a process that does not show itself in the "
        "database; it stops its own filters before that",
    )

    def check(self, database: str, stop_seconds: float) -> None:
        """Raise `ValueError` unless the URL of the *database* and the seconds that filters take to stop fit."""
        if self.members == "one":
            return
        if not database.startswith("postgresql"):
            raise ValueError('cluster.members = "several" needs storage.database to be a PostgreSQL database')
        least = stop_seconds + LEASE_MARGIN
        if self.lease_seconds < least:
            raise ValueError(
                f"cluster.lease_seconds is {self.lease_seconds:g}; expected at least {least:g}: running.grace_seconds, "
                f"running.term_seconds and {LEASE_MARGIN:g}"
            )
