"""What a filter is, and the whole world that it sees.

A filter runs in a worker process of its own, in a process group of its own, with a private folder. What must hold:

* it looks at its token: before each document, and around each slow call;
* nothing of it is visible at a destination before `FilterContext.publish` let it in, and then at once and whole;
* running it twice for the same job does no harm, since a crash may have come between two runs.
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
    """Base of all filters.

    `dialect` is the namespace URI by which scan processes name the filter; `title` is for people. `grace` is how
    many seconds the filter may take to stop after a cancel (the server caps it).

    `Instructions`, if given, is a dataclass of what a scan process may ask of the filter
    (`postscan.core.filters.parameters`); the
    server checks each job by it before it makes the job. `Settings`, if given, is a dataclass that takes the table
    `[filters.<plugin>]` as keyword arguments. Both may raise `ValueError` for a bad value.
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
        """Judge what a job asks of the filter: an instance of `Instructions`, or its XML if there is none.

        Raise `ValueError` with a sentence if the filter cannot do that, for what `Instructions` cannot say by itself.
        Called in a worker process before the job is made, for at most 2 s, and again before each run: so judge the
        instructions, not the world around them.
        """

    def diagnose(self, job: FilterContext) -> Iterable[str]:
        """Return one sentence for each thing that would keep documents from where the instructions send them.

        Called for `postscan doctor`, in a worker process, for at most 10 s. `job` is as in `run`, but has no documents
        and a user who is nobody, and it publishes nothing: connect, log in, look, and deliver nothing.
        """
        return ()

    @abstractmethod
    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Do the work for one job. Raise `FilterFailed` if it cannot be done; let `Cancelled` through."""
