"""The output of a job session: lines with the seconds since its start, and a progress bar for each upload."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from postscan.cli.device.client import ReportedJob
from postscan.cli.output import terminal
from postscan.core.model.process import short_name

if TYPE_CHECKING:
    from rich.console import Console


class ProgressLog:
    """Print lines, each with the seconds since the log was created; print nothing without a console."""

    def __init__(self, console: Console | None) -> None:
        self._console = console
        self._start = time.monotonic()

    def since(self, at: float) -> float:
        """Return the seconds from the start of the log to *at*, in monotonic seconds."""
        return at - self._start

    def write(self, text: str, at: float | None = None) -> None:
        """Print a line for now, or for the time *at* in monotonic seconds."""
        if self._console is not None:
            seconds = self.since(time.monotonic() if at is None else at)
            self._console.print(f"{seconds:6.2f} s  {terminal.plain(text)}", soft_wrap=True)

    @contextlib.contextmanager
    def upload(self, file: Path, size: int) -> Iterator[Callable[[int], object]]:
        """Show a progress bar on a terminal; yield the function that takes the number of bytes sent so far."""
        if self._console is None or not self._console.is_terminal:
            yield lambda _count: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(terminal.plain(file.name), total=size)
            yield lambda count: progress.update(task, completed=count)


def sentence(status: ReportedJob) -> str:
    """Return the status of a job and its filters as one line."""
    filters = (f"{short_name(one.dialect)} {_state(one.state, one.reasons)}" for one in status.filters)
    return "; ".join((_state(status.state, status.reasons), *filters, images(status.images)))


def lines(status: ReportedJob) -> list[str]:
    """Return the status of a job as one line for each filter, in order, and one for the job."""
    filters = [
        f"{f'  filter {number} {short_name(one.dialect)}':<24} {_state(one.state, one.reasons)}"
        for number, one in enumerate(status.filters, start=1)
    ]
    return [*filters, f"{'job':<24} {_state(status.state, status.reasons)}"]


def images(count: int) -> str:
    """Return a number of images as text."""
    return f"{count} image{'' if count == 1 else 's'}"


def _state(state: str, reasons: Sequence[str]) -> str:
    return f"{state} ({', '.join(reasons)})" if reasons else state
