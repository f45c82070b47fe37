"""The database: jobs and all that is stored beside them. SQL stands in this folder and in the migrations alone."""

from postscan.core.store.store import Store

__all__ = ["Store"]
