"""The names that authors of plugins import in their tests."""

from postscan.plugins.testing.contract import assert_filter_contract
from postscan.plugins.testing.hooks import AskedHooks, assert_hooks_contract, run_hooks
from postscan.plugins.testing.runner import FakeClock, Made, RunResult, job_for, run_filter
from postscan.plugins.testing.sources.contract import assert_source_contract
from postscan.plugins.testing.sources.origin import Origin
from postscan.plugins.testing.sources.runner import SourceRun, StoredScan, run_source

__all__ = [
    "AskedHooks",
    "FakeClock",
    "Made",
    "Origin",
    "RunResult",
    "SourceRun",
    "StoredScan",
    "assert_filter_contract",
    "assert_hooks_contract",
    "assert_source_contract",
    "job_for",
    "run_filter",
    "run_hooks",
    "run_source",
]
