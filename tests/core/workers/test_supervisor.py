"""What a supervisor keeps of what a run prints."""

from __future__ import annotations

import os
import threading
import time

from postscan.core.workers.supervisor import PRINTED, _Drain


def test_what_was_printed_is_kept_when_it_is_read_late() -> None:
    """A busy machine may give the thread that reads no processor for more than a second after the run has ended."""
    output, printing = os.pipe()
    drain = _Drain(output)

    def print_late() -> None:
        time.sleep(1.5)
        os.write(printing, b"the last line\n")
        os.close(printing)

    late = threading.Thread(target=print_late)
    late.start()
    kept = drain.end()
    late.join()

    assert kept == (b"the last line\n", 14)


def test_a_run_that_prints_without_end_is_read_and_not_kept() -> None:
    """A filter never waits for the log, and the report stays small."""
    output, printing = os.pipe()
    drain = _Drain(output)
    for _ in range(3):
        os.write(printing, b"x" * PRINTED)
    os.close(printing)

    assert drain.end() == (b"x" * PRINTED, 3 * PRINTED)
