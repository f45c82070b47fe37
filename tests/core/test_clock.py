"""Time: steady for everything that counts, the wall for what people read (F-R22, I9)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from conftest import ANNA, AnyProcess
from works import Works

from postscan.core.clock import Mark, SystemClock
from postscan.core.engine import Engine
from postscan.core.model.states import JobState
from postscan.plugins.testing.runner import FakeClock

ROUNDING = 0.001  # seconds


def test_ticks_go_on_within_one_boot_as_if_nothing_had_happened() -> None:
    """A restart of the server is not seen in the ticks."""
    before = SystemClock(None)
    mark = before.mark()
    shifted = mark._replace(ticks=mark.ticks + 5000)

    earliest, found, latest = before.ticks(), SystemClock(shifted).ticks(), before.ticks()

    assert earliest <= found - 5000 + ROUNDING
    assert found - 5000 <= latest + ROUNDING


def test_ticks_go_on_after_a_reboot_from_where_they_were() -> None:
    """Ruling 7: nobody knows how long the machine was off, so what waited goes on waiting."""
    of_this_boot = SystemClock(None)
    begun = of_this_boot.ticks()
    found = SystemClock(Mark("another-boot", 123456.0, 777.0)).ticks()
    taken = of_this_boot.ticks() - begun

    assert 777.0 - ROUNDING <= found <= 777.0 + taken + ROUNDING


def test_the_mark_is_kept_by_a_running_server(core: Engine) -> None:
    """The next process goes on from it: it was read when the server stopped."""
    with core.running():
        running = core.clock.ticks()

    mark = core.store.mark()
    assert mark is not None
    assert running <= mark.ticks <= core.clock.ticks()


@pytest.mark.parametrize("years", [10, -10])
def test_a_jump_of_the_wall_clock_changes_nothing_but_the_dates(core: Engine, years: int) -> None:
    """No job expires, nothing is swept, and a job never ends before it was created."""
    clock = FakeClock()
    jumping = Engine(core.settings, AnyProcess(), clock)
    works = Works(jumping, ANNA)
    with jumping.running():
        creating = works.create("copy")
        works.send(creating)
        done = works.ended(works.start("copy"))
        clock._now += timedelta(days=365 * years)
        jumping.retention.sweep()
        after = works.ended(works.start("copy"))

        assert works.job(creating).state is JobState.CREATING
        assert works.job(done.token).images_kept
        assert after.state is JobState.COMPLETED
        assert after.completed is not None
        assert after.created <= after.completed
        cancelled = jumping.service.cancel(creating, works.by)
        assert cancelled.completed is not None
        assert cancelled.created <= cancelled.completed
    jumping.close()
