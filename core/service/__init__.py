"""The verbs that all front ends call."""

from postscan.core.service.jobs import PostScanService

__all__ = ["PostScanService"]
