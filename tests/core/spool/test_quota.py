"""Room for images: one caller cannot take all of it, and the database always keeps some."""

from __future__ import annotations

from collections.abc import Iterator

import databases
import pytest
from conftest import ANNA, BORIS, AnyProcess
from works import Works

from postscan.core.engine import Engine
from postscan.core.errors import SpoolFull
from postscan.core.settings import Settings


@pytest.fixture
def small(settings: Settings) -> Iterator[Engine]:
    """An engine that keeps 1,000 bytes of images for each caller."""
    limits = settings.limits.model_copy(update={"caller_bytes": 1000})
    settings = settings.model_copy(update={"limits": limits})
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    yield core
    core.close()


def test_a_callers_share_is_never_exceeded_and_others_have_theirs(small: Engine) -> None:
    """T-Q1, I5: at the limit it fits, one byte more does not, and nothing of that image is left."""
    anna, boris = Works(small, ANNA), Works(small, BORIS)
    token = anna.create("copy")
    anna.send(token, 1, b"x" * 600)
    anna.send(token, 2, b"x" * 400)

    with pytest.raises(SpoolFull, match=r"more than 1000 bytes"):
        anna.send(token, 3, b"x")
    boris.send(boris.create("copy"), 1, b"x" * 1000)

    assert anna.job(token).images_received == 2
    assert small.store.spooled_bytes(ANNA.name) == 1000
    assert sum(path.stat().st_size for path in small.settings.storage.spool_dir.glob("*/*")) == 2000


def test_images_on_their_way_count_as_well(small: Engine) -> None:
    """Many uploads at once take no more than one could."""
    anna = Works(small, ANNA)
    token = anna.create("copy")
    with small.service.open_image(token, ANNA, 1, "png") as first:
        first.write(b"x" * 700)
        with pytest.raises(SpoolFull), small.service.open_image(token, ANNA, 2, "png") as second:
            second.write(b"x" * 400)

    anna.send(token, 3, b"x" * 300)
    assert anna.job(token).images_received == 2


def test_removed_images_give_their_room_back(small: Engine) -> None:
    """A canceled job's share is free again."""
    anna = Works(small, ANNA)
    token = anna.create("copy")
    anna.send(token, 1, b"x" * 1000)
    small.service.cancel(token, ANNA)

    anna.send(anna.create("copy"), 1, b"x" * 1000)

    assert small.store.spooled_bytes(ANNA.name) == 1000


def test_a_reserve_is_left_on_the_disk(settings: Settings) -> None:
    """F-R10: images stop before the disk is full; the job, its cancel and its questions go on."""
    storage = settings.storage.model_copy(update={"reserve_bytes": 1 << 60})
    settings = settings.model_copy(update={"storage": storage})
    databases.migrated(settings.storage.url)
    core = Engine(settings, AnyProcess())
    anna = Works(core, ANNA)
    token = anna.create("copy")

    with pytest.raises(SpoolFull, match="disk has less than"):
        anna.send(token)

    assert anna.job(token).images_received == 0
    core.service.cancel(token, ANNA)
    core.close()
