"""What authors of filters import in their tests."""

from postscan.core.contract import assert_filter_contract
from postscan.core.testing import FakeClock, Made, RunResult, job_for, run_filter

__all__ = ["FakeClock", "Made", "RunResult", "assert_filter_contract", "job_for", "run_filter"]
