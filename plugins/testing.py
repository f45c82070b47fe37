"""What authors of filters import in their tests."""

from postscan.core.testing import FakeClock, Made, RunResult, run_filter

__all__ = ["FakeClock", "Made", "RunResult", "run_filter"]
