"""One interleaving at random: some jobs, a few requests at once, faults in between, and a fair end.

Everything follows from the random numbers, so a seed gives the same interleaving again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from model.actors import AT_WORK, Actor
from model.saved import Saved, back_to, save
from model.trial import DAY, SILENCE, Trial
from model.workers import ENDS
from model.world import ADMIN, ANNA, BORIS, MIMIC, Ask, Verb

from postscan.core.model.principal import Principal

NOBODYS: Final = "00000000-0000-4000-8000-000000000000"
FILTERS: Final = (("a",), ("a", "b"), ("a", "unknown"), ("unknown",))
VERBS: Final = (Verb.SEND, Verb.SEND, Verb.END, Verb.END, Verb.CANCEL, Verb.CANCEL, Verb.CANCEL, Verb.GET, Verb.CREATE)
CALLERS: Final = (ANNA, ANNA, ANNA, BORIS, MIMIC)
OPENINGS: Final = 64
TICKS: Final = 13


def opened(trial: Trial, number: int = OPENINGS) -> list[Saved]:
    """Return the situations in which interleavings begin; they are always the same, but for the tokens."""
    openings = []
    for seed in range(number):
        trial.begin()
        _open(trial, Random(seed))
        openings.append(save(trial))
    return openings


def interleaving(trial: Trial, openings: Sequence[Saved], seed: int) -> None:
    """Run the interleaving of this seed; raise `Violation` if an invariant breaks."""
    chance = Random(seed)
    back_to(trial, chance.choice(openings))
    if chance.random() < 0.5:
        _look(trial)
    for _ in range(TICKS):
        live = trial.live()
        roll = chance.random()
        if roll < 0.04:
            _upset(trial, chance)
        elif roll < 0.1:
            chance.choice((trial.look, trial.sweep))()
        elif roll < 0.35 or not live:
            trial.ask(any_ask(trial, chance))
        else:
            _go_on(trial, chance, chance.choice(live))
    if seed % 3 == 0:
        trial.settle(lists=seed % 4 == 0)


def any_ask(trial: Trial, chance: Random) -> Ask:
    """Return a request, mostly a sensible one."""
    verb = chance.choice(VERBS)
    by = chance.choice(CALLERS) if chance.random() < 0.4 or not trial.world.jobs else _an_owner(trial, chance)
    if chance.random() < 0.1:
        by, verb = ADMIN, chance.choice((Verb.HOLD, Verb.RELEASE, Verb.RELEASE, Verb.CANCEL))
    tokens = [*trial.world.jobs, NOBODYS] if chance.random() < 0.1 else list(trial.world.jobs) or [NOBODYS]
    message = chance.choice(("", "", "m1", "m2")) if verb not in (Verb.GET, Verb.HOLD, Verb.RELEASE) else ""
    if verb is Verb.CREATE:
        return Ask(verb, by, filters=_dialects(chance), go_on=chance.random() < 0.3, message=message)
    ask = Ask(verb, by, chance.choice(tokens), message=message)
    if verb is not Verb.SEND:
        return ask
    content = chance.choice((b"page one", b"page one", b"page two", b"other page", b""))
    return replace(ask, document=chance.randint(1, 3), content=content)


def _go_on(trial: Trial, chance: Random, actor: Actor) -> None:
    """Let one actor go on for some steps: far enough to meet the others in the middle of what they do."""
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        if not actor.over:
            _step(trial, chance, actor)


def _step(trial: Trial, chance: Random, actor: Actor) -> None:
    """Let one actor take one step, in one of the ways that it can."""
    order = ""
    if actor.at in AT_WORK:
        order = chance.choice((*ENDS, *["publish"] * 8, "progress", "done", "done", "stop"))
    elif actor.at == "image":
        order = chance.choice(("", "", "", "", "", "vanish", "disk"))
    trial.step(actor, order, locked=chance.random() < 0.03)


def _open(trial: Trial, chance: Random) -> None:
    """Bring up to two jobs some of their way, one thing after another."""
    for _ in range(chance.choice((1, 1, 1, 2))):
        by = chance.choice((ANNA, ANNA, BORIS))
        ask = Ask(Verb.CREATE, by, filters=_dialects(chance), go_on=chance.random() < 0.3)
        token = str(trial.run(trial.ask(ask)).answer)
        far = chance.random()
        if far > 0.2:
            trial.run(trial.ask(Ask(Verb.SEND, by, token)))
        if far > 0.4:
            trial.run(trial.ask(Ask(Verb.END, by, token)))
        elif chance.random() < 0.2:
            trial.engine.clock.advance(SILENCE)
            if sweeping := trial.sweep():
                trial.run(sweeping)
        if far > 0.6:
            _look(trial)
        for actor in trial.live():
            for order in chance.choice((["done"], ["done", "done"], ["fail"], ["die"], ["publish"])):
                actor.quick = True
                while actor.at not in AT_WORK and not actor.over:
                    trial.step(actor)
                if not actor.over:
                    trial.step(actor, order)
            if not actor.over:
                actor.kill()


def _look(trial: Trial) -> None:
    looking = trial.look()
    if looking is not None:
        trial.run(looking)


def _upset(trial: Trial, chance: Random) -> None:
    """Let something happen that nobody asked for."""
    kind = chance.choice(("crash", "crash", "reboot", "stop", "wall", "silence", "day"))
    if kind == "crash":
        trial.crash()
    elif kind == "reboot":
        trial.reboot()
    elif kind == "stop":
        trial.restart(chance.choice(("stop", "done", "die")))
    elif kind == "wall":
        trial.engine.clock.set_wall(chance.choice((-10, 10, 0)))
    else:
        trial.engine.clock.advance(SILENCE if kind == "silence" else DAY)


def _an_owner(trial: Trial, chance: Random) -> Principal:
    return chance.choice([job.owner for job in trial.world.jobs.values()])


def _dialects(chance: Random) -> tuple[str, ...]:
    return tuple(f"urn:model:{name}" for name in chance.choice(FILTERS))
