"""What only the garbage collector would free."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def errors_in_cycles() -> Iterator[list[str]]:
    """Run the body without the garbage collector; then list the errors that it left and that only this would free.

    Threads that the body has started and that end by themselves are waited for, since they may still refer to an error.
    """
    found, before = list[str](), set(threading.enumerate())
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield found
        for thread in set(threading.enumerate()) - before:
            thread.join(10)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [repr(one) for one in gc.garbage if isinstance(one, BaseException)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
        gc.unfreeze()
