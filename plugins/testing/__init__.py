"""The names that authors of filters and sources import in their tests."""

from postscan.plugins.testing.contract import assert_filter_contract
from postscan.plugins.testing.runner import FakeClock, Made, RunResult, job_for, run_filter
from postscan.plugins.testing.sources.contract import assert_source_contract
from postscan.plugins.testing.sources.origin import Origin
from postscan.plugins.testing.sources.runner import SourceRun, StoredScan, run_source

__all__ = [
    "FakeClock",
    "Made",
    "Origin",
    "RunResult",
    "SourceRun",
    "StoredScan",
    "assert_filter_contract",
    "assert_source_contract",
    "job_for",
    "run_filter",
    "run_source",
]
