"""What authors of filters import; in their tests also `postscan.plugins.testing`, and nothing else of postscan.

A plugin is a module, named by an entry point of the group `postscan.filters`, with one function:

    @hookimpl
    def postscan_filters():
        return [MyFilter()]
"""

from postscan.core.cancellation import CancellationToken, Cancelled
from postscan.core.filters import Document, Filter, FilterContext, FilterFailed, FilterResult
from postscan.core.hookspecs import hookimpl
from postscan.core.model.states import FilterReason
from postscan.core.shares import Place, Shares
from postscan.core.tools import ToolEnded
from postscan.core.typed import element, setting

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
