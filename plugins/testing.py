"""What authors of filters import in their tests."""

from postscan.core.testing import FakeClock, RunResult, run_filter

__all__ = ["FakeClock", "RunResult", "run_filter"]
