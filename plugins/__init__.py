"""The names that authors of filters and sources import; their tests also import `postscan.plugins.testing`.

A plugin is a module, named by an entry point of the group `postscan.filters`, with one function:

    @hookimpl
    def postscan_filters():
        return [MyFilter()]

A source has an entry point of the group `postscan.sources`, and `postscan_sources`, which returns one. A plugin of
hooks is a class derived from `Hooks`, named by an entry point of the group `postscan.hooks`.
"""

from postscan.core.filters.cancellation import CancellationToken, Cancelled
from postscan.core.filters.context import FilterContext
from postscan.core.filters.directory.context import HooksContext
from postscan.core.filters.directory.errors import AccessRefused, DirectoryAway
from postscan.core.filters.directory.hooks import Hooks
from postscan.core.filters.directory.values import DirectoryProcess, DirectoryUser
from postscan.core.filters.facts import Document
from postscan.core.filters.filter import Filter
from postscan.core.filters.hookspecs import hookimpl
from postscan.core.filters.parameters import element, setting
from postscan.core.filters.results import FilterFailed, FilterResult
from postscan.core.filters.shares import Place, Shares
from postscan.core.filters.source.completeness import Completeness, FileState, examine
from postscan.core.filters.source.context import JobStatus, SourceContext
from postscan.core.filters.source.errors import Busy, Ended, Refused, Taken
from postscan.core.filters.source.growing_hash import GrowingHash
from postscan.core.filters.source.job import SourceJob
from postscan.core.filters.source.messages import Destination
from postscan.core.filters.source.page import PageWriter
from postscan.core.filters.source.source import Source
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.filters.tools import ToolEnded
from postscan.core.model.states import FilterReason

__all__ = [
    "AccessRefused",
    "Busy",
    "CancellationToken",
    "Cancelled",
    "Completeness",
    "Destination",
    "DirectoryAway",
    "DirectoryProcess",
    "DirectoryUser",
    "Document",
    "Ended",
    "FileState",
    "Filter",
    "FilterContext",
    "FilterFailed",
    "FilterReason",
    "FilterResult",
    "GrowingHash",
    "Hooks",
    "HooksContext",
    "JobStatus",
    "PageWriter",
    "Place",
    "Refused",
    "ScanTicket",
    "Shares",
    "Source",
    "SourceContext",
    "SourceJob",
    "Taken",
    "ToolEnded",
    "element",
    "examine",
    "hookimpl",
    "setting",
]
