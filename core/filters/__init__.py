"""What a filter is, what it receives, and how its plugin is loaded."""

from postscan.core.filters.context import FilterContext
from postscan.core.filters.facts import Document
from postscan.core.filters.filter import Filter
from postscan.core.filters.results import FilterFailed, FilterResult

__all__ = ["Document", "Filter", "FilterContext", "FilterFailed", "FilterResult"]
