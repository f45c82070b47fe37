"""An outside plugin for the tests: filters that do their host harm, each in one way.

What they started they name in the folder of `[filters.evil]`: lines `left <pid>` in `<job>.trace`.
"""

from evil_filters import daemons, messages, outcomes, outputs, process, resources, stop
from evil_filters.deed import FILTERS
from postscan.plugins import Filter, hookimpl

__all__ = ["daemons", "messages", "outcomes", "outputs", "postscan_filters", "process", "resources", "stop"]


@hookimpl
def postscan_filters() -> list[Filter]:
    """Bring them all."""
    return FILTERS
