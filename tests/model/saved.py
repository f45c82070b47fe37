"""Going back: what a trial was at one moment, rows and files and the model beside them."""

from __future__ import annotations

import copy
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from model.invariants import Past
from model.sight import Sight
from model.trial import Trial
from model.world import World


@dataclass(frozen=True, slots=True)
class Saved:
    """A moment of a trial, to go back to."""

    database: sqlite3.Connection
    files: dict[str, bytes]
    shown: dict[tuple[str, int, int | None, str], str]
    clock: tuple[datetime, datetime, float]
    world: World
    past: Past
    sight: Sight
    ended_at: dict[str, float]
    steps: list[str]
    upset: bool


def save(trial: Trial) -> Saved:
    """Return everything, to go back to it; nobody may be on the way."""
    database = sqlite3.connect(":memory:")
    trial.engine.watcher.backup(database)
    world = World(dict(trial.world.jobs), set(trial.world.removed), dict(trial.world.answered))
    clock = (trial.engine.clock.right, trial.engine.clock.wall, trial.engine.clock.steady)
    return Saved(
        database,
        trial.engine.files(),
        dict(trial.engine.shown),
        clock,
        world,
        copy.deepcopy(trial.past),
        trial.sight,
        dict(trial.ended_at),
        list(trial.steps),
        trial.upset,
    )


def back_to(trial: Trial, saved: Saved) -> None:
    """Go back to what was saved, with a server that has just started."""
    for actor in trial.live():
        actor.kill()
    saved.database.backup(trial.engine.watcher)
    trial.engine.put_files(saved.files)
    trial.engine.clock.right, trial.engine.clock.wall, trial.engine.clock.steady = saved.clock
    trial.engine.shown = dict(saved.shown)
    trial.engine.audit_from = saved.database.execute("SELECT coalesce(max(seq), 0) FROM audit").fetchone()[0]
    trial.forget()
    trial.world = World(dict(saved.world.jobs), set(saved.world.removed), dict(saved.world.answered))
    trial.past, trial.ended_at = copy.deepcopy(saved.past), dict(saved.ended_at)
    trial.sight, trial.steps, trial.upset = saved.sight, list(saved.steps), saved.upset
    trial.engine.start()
