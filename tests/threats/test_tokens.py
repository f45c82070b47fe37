"""A token is the key to a job in weak mode: nobody can guess it, or work it out from another one."""

from __future__ import annotations

import random
import uuid

import pytest
from conftest import ANNA
from works import Works

from postscan.core.engine import Engine


@pytest.fixture
def idle(core: Engine) -> Works:
    """An engine in which nothing runs."""
    return Works(core, ANNA)


def _made_and_cancelled(works: Works) -> str:
    """Return the token of a job that takes nobody's place any more."""
    token = works.create("copy")
    works.service.cancel(token, ANNA)
    return token


def test_a_token_is_122_random_bits(idle: Works) -> None:
    """T-O4: a GUID of version 4, and in sixty-four of them each other bit has been 0 and has been 1."""
    tokens = [uuid.UUID(_made_and_cancelled(idle)) for _ in range(64)]
    bits = [f"{token.int:0128b}" for token in tokens]
    constant = [position for position in range(128) if len({one[position] for one in bits}) == 1]

    assert {(token.version, token.variant) for token in tokens} == {(4, uuid.RFC_4122)}
    assert constant == [48, 49, 50, 51, 64, 65]


def test_its_bits_come_from_the_operating_system(idle: Works) -> None:
    """T-O4: a generator whose state somebody could learn has no part in it."""
    made = []
    for _ in range(2):
        random.seed(20260302)
        made.append(idle.create("copy"))

    assert made[0] != made[1]
