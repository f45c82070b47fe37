"""What a hook raises instead of an answer. `None` is an answer: this directory does not know it."""

from __future__ import annotations


class DirectoryAway(Exception):
    """The directory does not answer now; the same question may be answered later.

    The text is for the log and for administrators. The server uses what it has read before, as long as the settings
    allow that, and then lets its caller come again.
    """


class AccessRefused(Exception):
    """The directory knows the scan process, and this user may not use it; the text says why, for administrators."""
