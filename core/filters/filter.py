"""The contract of a filter.

A filter runs in a worker process of its own, which leads a process group, has a private folder as its working
directory, and ends with the run together with everything that it started. No other filter and no other job shares it.

What a filter may assume:

* the files of `FilterContext.documents` are complete and do not change; their formats are the protocol's keywords;
* `instructions` and `settings` have been validated by its dataclasses and by its own `check`;
* at most one run for one job and one filter of its scan process is active at a time.

What must hold:

* it checks its token before each document and around each slow call, at least once in its `grace`; `Cancelled` leaves
  `run`. A run that goes on is ended: SIGTERM after the grace time, SIGKILL `running.term_seconds` later;
* an output becomes visible at a destination inside `FilterContext.publish`, at once and complete, and never before;
* a second run for the same job does no harm, since the first may have been killed at any moment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from postscan.core.filters.cancellation import CancellationToken
from postscan.core.filters.context import FilterContext
from postscan.core.filters.results import FilterResult

API = 1
"""The version of this contract. A filter that declares another one is not loaded."""


class Filter(ABC):
    """Base class of all filters.

    `dialect` is the namespace URI by which scan processes name the filter; `title` is shown to people. `grace` is the
    number of seconds that the filter may take to stop after a cancel; the server caps it at `running.grace_seconds`.

    `Instructions`, if given, is a dataclass of what a scan process may ask of the filter
    (`postscan.core.filters.parameters`); the server checks the instructions of a job by it before it creates the job.
    `Settings`, if given, is a dataclass that takes the table `[filters.<plugin>]` as keyword arguments. Both may raise
    `ValueError` for an invalid value.

    All methods are called in worker processes, never in the server.
    """

    dialect: ClassVar[str]
    title: ClassVar[str]
    api: ClassVar[int] = API
    grace: ClassVar[float] = 5.0
    Instructions: ClassVar[type | None] = None
    Settings: ClassVar[type | None] = None

    def requires(self) -> Iterable[str]:
        """Return one sentence for each thing that this machine lacks; nothing if the filter can work here."""
        return ()

    def check(self, instructions: Any) -> None:  # noqa: B027  (most filters have nothing to add)
        """Check what a job asks of the filter: an instance of `Instructions`, or its XML as bytes if there is none.

        Raise `ValueError` with a sentence for instructions that the filter cannot carry out and that `Instructions`
        cannot refuse by itself. Called before the job is created, for at most 2 s, and again before each run: so check
        the instructions alone, and neither network nor disk.
        """

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Return one sentence for each thing that would keep documents from where the instructions send them.

        Called for `postscan doctor`, for at most 10 s. *job* is as in `run`, but without documents, with a placeholder
        as its user, and every grant is refused: connect and log in, and deliver nothing.
        """
        return ()

    @abstractmethod
    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Process one job. Raise `FilterFailed` if that is not possible; do not catch `Cancelled` for good."""
