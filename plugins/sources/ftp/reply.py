"""What became of a file, as the reply to the command that brought it. Source: RFC 959 section 5.4."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from postscan.plugins.sources.uploads.intake import IntakeResult, IntakeState
from postscan.plugins.sources.uploads.names import one_line

_CODES: Final = {
    IntakeState.STORED: 226,
    IntakeState.FAULTY: 451,
    IntakeState.BUSY: 452,
    IntakeState.REFUSED: 550,
}


@dataclass(frozen=True)
class Reply:
    """A reply to the command that brought the file."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {one_line(self.text)}"

    @property
    def is_good(self) -> bool:
        """Whether the file was taken."""
        return self.code < 400

    @property
    def is_temporary(self) -> bool:
        """Whether the client may come again with the same file."""
        return 400 <= self.code < 500

    def as_rename(self) -> Reply:
        """Return this as the reply to a rename."""
        return replace(self, code=250) if self.is_good else self

    @classmethod
    def of(cls, result: IntakeResult | BaseException) -> Reply:
        """Return the reply of a thread; for an error, one that lets the client come again."""
        if isinstance(result, IntakeResult):
            return cls(_CODES[result.state], result.text)
        return cls(451, "The server could not store the file; send it again later.")
