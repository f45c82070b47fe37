"""The process of the server: what it configures for itself."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path

import pytest
from works import until

from postscan.core.service.administration.metrics.health import LIMIT_SECONDS, Health
from postscan.soap import server


def resident() -> int:
    """Return the bytes of memory that this process has in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class _Usage(ctypes.Structure):
    """The result of mallinfo2(3), whose fourth field is `hblks`."""

    _fields_ = [(f"field_{number}", ctypes.c_size_t) for number in range(10)]


def mappings() -> int:
    """Return how many blocks of this process have a mapping of their own."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Usage
    return int(mallinfo().field_3)


def test_a_large_block_is_not_in_a_heap() -> None:
    """T-H4: so it takes only the pages that are written to, and none when it is freed."""
    child = os.fork()
    if not child:
        server._limit_freed_memory()
        before = mappings()
        blocks = [bytearray(4 << 20) for _ in range(20)]  # some fit into free parts of the heap
        held = mappings() - before
        del blocks
        os._exit(held > 10 and mappings() == before)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_free_memory_between_blocks_in_use_goes_back_to_the_system() -> None:
    """T-H4: what many connections had is not kept because of the few that are left."""
    blocks = [b"x" * 100_000 for _ in range(500)]
    del blocks[::2], blocks[::2]
    before = resident()

    with server._free_memory_returned(0.01):
        until(lambda: resident() < before - (10 << 20), "for the memory to go back")

    assert blocks


def test_the_event_loop_notes_that_it_goes_round_until_it_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that blocks the loop lets no note through, and the process counts as one that does not work."""
    now, noted = [0.0], []
    health = Health(lambda: now[0])
    went_round = health.went_round
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(health, "went_round", lambda part: (noted.append(part), went_round(part)))

    async def run() -> tuple[dict[str, float], dict[str, float]]:
        watch = server.LoopWatch(health)
        await watch.start()
        for _ in range(100):
            await asyncio.sleep(0)
        now[0] += 2 * LIMIT_SECONDS  # as in a call that blocks
        late = health.stuck()
        await watch.stop()
        return late, health.stuck()

    assert asyncio.run(run()) == ({server.LOOP: 2 * LIMIT_SECONDS}, {})
    assert len(noted) > 2
