"""The names that authors of filters import in their tests."""

from postscan.plugins.testing.contract import assert_filter_contract
from postscan.plugins.testing.runner import FakeClock, Made, RunResult, job_for, run_filter

__all__ = ["FakeClock", "Made", "RunResult", "assert_filter_contract", "job_for", "run_filter"]
