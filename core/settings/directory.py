"""Settings of directories: how long their answers are used, and how many questions may be open."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from postscan.core.settings.engine import MIB, Bytes, Seconds, Table

MOST_ENTRIES: Final = 1_000_000


class DirectorySettings(Table):
    """`[directory]`: what plugins of hooks answer about users and scan processes, and how long it is used."""

    fresh_seconds: float = Field(
        60.0,
        ge=0,
        description="seconds for which an answer is used without a further question; a user who is disabled in the "
        "directory is refused after that time",
    )
    stale_seconds: float = Field(
        3600.0,
        ge=0,
        description="seconds after that for which it is used while the directory does not answer; then jobs are "
        "refused until it does",
    )
    unknown_seconds: float = Field(
        10.0, ge=0, description="seconds for which it is remembered that the directory does not have a user or process"
    )
    answer_seconds: Seconds = Field(
        5.0, le=60, description="longest time for one answer; a process that takes longer is ended"
    )
    waiting: int = Field(
        32, gt=0, le=64, description="callers that may wait for answers at the same time; further ones come again"
    )
    waiting_per_caller: int = Field(8, gt=0, le=64, description="the same, of one caller")
    entries: int = Field(20_000, gt=0, le=MOST_ENTRIES, description="most answers that are kept; the oldest go first")
    entry_bytes: Bytes = Field(64 * MIB, description="most bytes that they take, about; the oldest go first")
