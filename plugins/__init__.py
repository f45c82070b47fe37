"""The names that authors of filters import; their tests also import `postscan.plugins.testing`.

A plugin is a module, named by an entry point of the group `postscan.filters`, with one function:

    @hookimpl
    def postscan_filters():
        return [MyFilter()]
"""

from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.context import FilterContext
from postscan.core.filters.facts import Document
from postscan.core.filters.filter import Filter
from postscan.core.filters.hookspecs import hookimpl
from postscan.core.filters.parameters import element, setting
from postscan.core.filters.results import FilterFailed, FilterResult
from postscan.core.filters.shares import Place, Shares
from postscan.core.filters.tools import ToolEnded
from postscan.core.model.states import FilterReason

__all__ = [
    "CancellationToken",
    "Cancelled",
    "Document",
    "Filter",
    "FilterContext",
    "FilterFailed",
    "FilterReason",
    "FilterResult",
    "Place",
    "Shares",
    "ToolEnded",
    "element",
    "hookimpl",
    "setting",
]
