"""Regions: the parts of pages that change while a browser shows them, and how each is rendered.

A region is a template with one root element, which has an `id`. It holds no form and no token, so it is rendered once
for all who may see the same: for each principal, and once for all who may change every job and have the same rights.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from postscan.console.request import Console
from postscan.core.engine import server_process
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Principal, Right

MOST: Final = 8
"""Regions of one stream."""

MOST_CHARACTERS: Final = 2048
"""Of the argument of a region."""

SERVER: Final = "server"
"""The region of each stream: whether the server runs, and the database answers. It needs no database."""

RegionValues = Callable[[Console, Principal, str], Mapping[str, Any]]
"""Returns the values of the template for a principal; the last argument is that of the region. Raises as pages do."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page: its template, and the function that reads what it shows.

    It is rendered after a change, but not earlier than `seconds` after the last time; and again after
    `repeat_seconds` without a change, for what changes with the time alone. With `follows_jobs`, that is the case each
    second while filters run. The argument of one that `is_of_job` begins with the token of a job, and ends there or
    goes on behind a slash; other jobs do not change it. Only callers with the `right` get it; None: each caller, who
    sees what is their own.
    """

    template: str
    values: RegionValues
    seconds: float = 0.25
    repeat_seconds: float = 60.0
    follows_jobs: bool = False
    is_of_job: bool = False
    right: Right | None = None


class RegionKey(NamedTuple):
    """One rendering of a region: for whom, of what.

    `argument` is the token of a job, with or without a number behind it, the query of a list, or "".
    """

    group: Hashable
    name: str
    argument: str

    @property
    def job(self) -> JobToken:
        """The job of a region that is of one."""
        return JobToken(self.argument.partition("/")[0])


def group_of(by: Principal) -> Hashable:
    """Return what those have in common who get the same rendering."""
    if by.may(Right.OPERATE):  # what such a caller sees does not depend on who owns a job
        return tuple(right for right in Right if by.may(right))
    return by


def query_of(argument: str) -> dict[str, str]:
    """Return the fields of the query of a list."""
    return dict(parse_qsl(argument, keep_blank_values=True, max_num_fields=50))


def stream_url(*regions: str, **arguments: str) -> str:
    """Return the URL of a stream for a page: `stream_url("running", job=token)`; pages put it into `data-live`."""
    return "/live?" + urlencode([("region", name) for name in regions] + list(arguments.items()))


def server_values(console: Console, _by: Principal, _argument: str) -> dict[str, Any]:
    """Return whether a server processes jobs now."""
    return {"is_running": server_process(console.settings.storage.data_dir) is not None}
