"""A filter run that is cancelled from outside, at a moment that something else decides."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from postscan.core.filters.cancellation import Cancelled, CancelSource
from postscan.core.filters.context import FilterContext
from postscan.core.filters.facts import JobFacts
from postscan.core.filters.filter import Filter
from postscan.plugins.testing.runner import EXAMPLE_TIME, EXAMPLE_USER, Published, _document, _RecordingParent


def run_until(
    moment: threading.Event, filter: Filter, files: Sequence[Path], instructions: Any, settings: Any, workdir: Path
) -> list[Published]:
    """Run *filter*, cancel it at that moment, see that it ends by that, and return what it has published."""
    with CancelSource(patience=filter.grace) as source:
        parent = _RecordingParent(source)
        job = FilterContext(
            job=JobFacts("5a0c3c5e-6d3c-4f0e-9d59-0b8f2f7c1a10", "Test process", EXAMPLE_TIME),
            user=EXAMPLE_USER,
            instructions=instructions,
            settings=settings,
            workdir=workdir,
            token=source.token(),
            parent=parent,
            all_documents=tuple(_document(id, file, EXAMPLE_USER) for id, file in enumerate(files, start=1)),
        )
        canceller = threading.Thread(target=lambda: moment.wait(100) and source.cancel("enough"))
        canceller.start()
        with pytest.raises(Cancelled):
            filter.run(job, job.token)
        canceller.join()
    return parent.outputs
