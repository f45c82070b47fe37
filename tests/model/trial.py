"""One run of the engine beside the model: whatever happens to the one is judged by the other, step by step.

Requests overlap, so an answer is not known beforehand. But a change is stored in one transaction: at that moment the
model takes the same step, and both must agree. A request that changes nothing must get an answer that the model would
have given at some moment of its life. This is linearizability, checked while it happens.
"""

from __future__ import annotations

import contextlib
import gc
import time
from dataclasses import dataclass, field, replace
from typing import Final

from model.actors import AT_WORK, Actor, Killed, dismiss
from model.engine import HOUR, JOBS_KEPT, Engine
from model.invariants import Moment, Past, violations
from model.resources import used
from model.sight import Sight, look
from model.workers import ENDS
from model.world import ADMIN, ENDED, EVERYBODY, Ask, Job, Verb, World

from postscan.core.errors import InvalidArgument, JobNotFound, PostscanError, SpoolFull, StoreBusy
from postscan.core.model.principal import Principal

SILENCE: Final = 700.0
"""Seconds after which every job without its End is given up."""


DAY: Final = 24 * HOUR


class Violation(AssertionError):
    """The engine did what it must not do; the text ends with all steps that led there."""


@dataclass(slots=True)
class Request:
    """One request on its way: `possible` are the answers that would have been right so far."""

    ask: Ask
    result: str = ""
    possible: set[str] = field(default_factory=set)
    seen: list[Job] = field(default_factory=list)
    changed: bool = False


class Trial:
    """A world and an engine. `begin` anew as often as wanted, `close` when done."""

    def __init__(self) -> None:
        self._base = used()
        self.engine = Engine()
        self.forget()

    def begin(self) -> None:
        """Begin with nothing."""
        for actor in self.live():
            actor.kill()
        self.engine.fresh()
        self.forget()

    def forget(self) -> None:
        """Know nothing but what is there to see."""
        self.world = World()
        self.past = Past()
        self.requests: dict[Actor, Request] = {}
        self.said: dict[Actor, str] = {}
        self.ended_at: dict[str, float] = {}
        self.upset = False
        self.moves = 0
        self.steps: list[str] = []
        self.sight: Sight = look(self.engine)

    def close(self) -> None:
        """Give everything back, and check that everything was (I30, I32)."""
        unfinished = bool(self.live())
        left = list(self.engine.settings.storage.run_dir.iterdir())
        self.engine.close()
        self.requests.clear()
        self.said.clear()
        dismiss()
        gc.collect()  # errors hold the frames that they went through, and what was open in them
        self._require(not left or unfinished, f"I32: folders of filter runs are left: {left}")
        for _ in range(1000):  # the kernel takes a moment to let a joined thread go, and longer on a busy machine
            more = [now - then for now, then in zip(used(), self._base, strict=True)]
            if max(more) <= 0:
                return
            time.sleep(0.01)
        self._require(False, f"I30, I32: {more[0]} threads, {more[1]} descriptors, {more[2]} of them sockets, are left")

    # --- what can happen -----------------------------------------------------------------------------------------

    def live(self) -> list[Actor]:
        """Return the actors that have not ended, oldest first."""
        return [actor for actor in self.engine.actors if not actor.over]

    def ask(self, ask: Ask) -> Actor:
        """Let a request arrive."""
        actor = self.engine.request(ask)
        self.requests[actor] = Request(ask)
        self._judge_all()
        return actor

    def look(self) -> Actor | None:
        """Let the scheduler look; None if it is looking."""
        return None if self._is_live("scheduler") else self.engine.scheduling()

    def sweep(self) -> Actor | None:
        """Let the sweeper sweep; None if it is sweeping."""
        return None if self._is_live("sweeper") else self.engine.sweeping()

    def _is_live(self, name: str) -> bool:
        return any(actor.name == name for actor in self.live())

    def step(self, actor: Actor, order: str = "", *, locked: bool = False) -> None:
        """Let one actor go on to its next gate, and judge what it did. With *locked* the database is busy meanwhile."""
        if actor.at in AT_WORK and order in ENDS:
            self.said[actor] = order
        locked = locked and actor.at in ("read", "write")
        self.upset |= locked
        self.steps.append(f"{actor.name} at {actor.at}{f': {order}' if order else ''}{' LOCKED' if locked else ''}")
        self._note_faults(actor, order, locked)
        self.moves += 1
        writes = self.engine.store.writes
        with self.engine.locked() if locked else contextlib.nullcontext():
            actor.step(order)
        if actor.over or actor.at == "shown" or self.engine.store.writes != writes:
            self._observe(*_who(actor), actor)
        else:
            self._judge_all()
        if actor.over:
            self._hear(actor)

    def run(self, actor: Actor, order: str = "") -> Actor:
        """Let one actor go on to its end without a pause; its filters all do *order*."""
        actor.quick = True
        while not actor.over:
            self.step(actor, order if actor.at in AT_WORK else "")
        return actor

    def crash(self) -> None:
        """Kill the server, and start another on its data."""
        self.steps.append("CRASH")
        self.upset = True
        self.requests.clear()
        self.engine.crash()
        self._observe("start", "")

    def restart(self, order: str = "stop") -> None:
        """Stop the server in order, with its running filters doing *order*, and start another."""
        self.steps.append("STOP")
        self.engine.scheduler.stop(0)
        while self.live():
            self.run(self.live()[0], order)
        self.steps.append("START")
        self.engine.start()
        self._observe("start", "")

    def reboot(self) -> None:
        """Kill the server with its machine."""
        self.engine.clock.reboot()
        self.crash()

    # --- the fair end --------------------------------------------------------------------------------------------

    def settle(self, *, lists: bool = True) -> None:
        """Let everything go on, in a fair way and without faults: then every job ends (I8), and none is lost (I23).

        With *lists*, see that each caller finds its own jobs and no others, and is accounted what it keeps (I5).
        """
        self.steps.append("SETTLE")
        self.engine.clock.set_wall(0)
        for _ in range(2 + 2 * len(self.world.jobs)):
            while self.live():
                for actor in self.live():
                    actor.quick = True
                    self.step(actor, "stop" if actor.at == "asked to stop" else "done" if actor.at in AT_WORK else "")
            for token in [token for token, job in self.world.jobs.items() if job.state == "Pending-Held"]:
                self.run(self.ask(Ask(Verb.RELEASE, ADMIN, token)))
            if all(job.ended for job in self.world.jobs.values()):
                break
            self.engine.clock.advance(SILENCE)
            self.sweep()
            self.look()
        for token, job in self.world.jobs.items():
            self._require(job.state in ENDED, f"I8: job {token} is {job.state} and nothing moves it")
        for by in EVERYBODY if lists else ():
            self._check_lists(by)
            self._check_bytes(by)

    def _check_lists(self, by: Principal) -> None:
        service = self.engine.service
        for listed, ended in ((service.active(by), False), (service.history(by), True)):
            expected = {
                token for token, job in self.world.jobs.items() if job.ended is ended and (by.admin or job.owner == by)
            }
            found = {str(job.token) for job in listed}
            self._require(found == expected, f"I13, I23: {by.name}/{by.proof} sees {found} and owns {expected}")

    def _check_bytes(self, by: Principal) -> None:
        """What is accounted to a caller is what lies on the disk, or more where a fault cut a removal short."""
        mine = {token for token, job in self.world.jobs.items() if job.owner.name == by.name}
        files = self.engine.files()
        on_disk = sum(len(content) for name, content in files.items() if name.partition("/")[0] in mine)
        accounted = self.engine.store.spooled_bytes(by.name)
        fine = on_disk <= accounted if self.upset else on_disk == accounted
        self._require(fine, f"I5: {by.name} has {on_disk} bytes and is accounted {accounted}")

    # --- judging -------------------------------------------------------------------------------------------------

    def _observe(self, who: str, token: str, actor: Actor | None = None) -> None:
        before, self.sight = self.sight, look(self.engine)
        self._forget(before, who)
        changed = [
            token
            for token, seen in self.sight.jobs.items()
            if token not in before.jobs or before.jobs[token].job != seen.job
        ]
        named = set(self.sight.answers) - set(before.answers)
        if actor in self.requests and (changed or named):
            self._linearise(self.requests[actor], changed, named)
        else:
            self._require(not set(self.sight.jobs) - set(before.jobs) and not named, f"{who} made a job or an answer")
        for one in changed:
            self.world.jobs[one] = self.sight.jobs[one].job
        self.world.removed |= {token for token, seen in self.sight.jobs.items() if not seen.kept}
        busy = {one.name.partition(" ")[2] for one in self.live() if one.at in AT_WORK}
        sending = {one.ask.token for actor, one in self.requests.items() if one.ask.verb is Verb.SEND}
        said = self.said.get(actor, "") if actor else ""
        moment = Moment(who, token, before, self.sight, self.past, said, frozenset(busy), frozenset(sending))
        wrong = violations(moment)
        self._require(not wrong, "; ".join(wrong))
        self._judge_all()

    def _forget(self, before: Sight, who: str) -> None:
        """Let go of the jobs that retention dropped: ended ones, older than a day, without images, not the newest."""
        gone = set(before.jobs) - set(self.sight.jobs)
        self._require(not gone or who == "sweeper", f"I23: {who} dropped {gone}")
        now = self.engine.clock.ticks()
        for token in gone:
            seen = before.jobs[token]
            fine = seen.job.ended and not (seen.kept and seen.job.images) and now - self.ended_at[token] >= DAY
            self._require(fine and len(self.sight.jobs) >= JOBS_KEPT, f"I23: {token} was dropped too early")
            del self.world.jobs[token]
            self.past.forget(token)
        for token, seen in self.sight.jobs.items():
            if seen.job.ended:
                self.ended_at.setdefault(token, now)

    def _linearise(self, request: Request, changed: list[str], named: set[tuple[str, str]]) -> None:
        """Take the model's step for what a request has just stored; both must agree."""
        ask = request.ask
        expected = self.world.judge(ask)
        self._require(not request.changed, f"I3: {ask} stored something twice")
        self._require(expected.answer == "ok", f"I3, I13, I25, I26: {ask} stored something; expected {expected}")
        target = expected.made or expected.after
        token = changed[0] if expected.made and changed else ask.token
        found = [self.sight.jobs[one].job for one in changed]
        self._require(found == ([target] if target else []), f"I3, I13, I25: {ask} made {found}; expected {expected}")
        self._require(
            named == ({(_sender(ask.by), ask.message)} if ask.message else set()), f"I25: {ask} named {named}"
        )
        if ask.verb is not Verb.SEND and target:
            line = (ask.by.name, str(ask.by.proof), str(ask.verb), token if ask.verb is Verb.CREATE else ask.token)
            self._require(line in self.sight.audit, f"D3: there is no line about {ask}")
        request.changed = True
        request.result = token
        if ask.message:
            self.world.answered[ask.by, ask.message] = ask
        if expected.made and ask.verb is Verb.RELEASE:
            self.world.removed.add(ask.token)
            self.past.ended.add(token)
            self.past.released.add(ask.token)
        if ask.verb is Verb.END:
            self.past.ended.add(token)
        elif ask.verb is Verb.CANCEL:
            self.past.cancel_stored.add(token)

    def _judge_all(self) -> None:
        """Note for each request on its way what it would be answered now."""
        for request in self.requests.values():
            judgement = self.world.judge(request.ask)
            if judgement.answer == "RequestReused":  # I26 wants a fault and no effect; a fault of the verb is one, too
                nameless = self.world.judge(replace(request.ask, message=""))
                request.possible |= {nameless.answer} - {"ok"}
            if judgement.after is None and judgement.made is None:
                request.possible.add(judgement.answer)
            if request.ask.verb is Verb.END and request.ask.token in self.engine.uploads:
                request.possible.add("Unavailable")
            if request.ask.verb is Verb.RELEASE and request.ask.token in self.past.released:
                request.possible.add(SpoolFull.__name__)  # the other release took the images away under its hands
            if request.ask.verb is Verb.GET and request.ask.token in self.world.jobs:
                request.seen.append(self.world.jobs[request.ask.token])

    def _note_faults(self, actor: Actor, order: str, locked: bool) -> None:
        request = self.requests.get(actor)
        if request is None:
            return
        if locked:
            request.possible.add(StoreBusy.__name__)
        if order == "disk":
            request.possible.add(SpoolFull.__name__)
        if order == "vanish":
            request.possible.add(ConnectionError.__name__)

    def _hear(self, actor: Actor) -> None:
        """Judge the answer of a request, and remember what it promised."""
        request = self.requests.pop(actor, None)
        if request is None:
            fine = actor.error is None or isinstance(actor.error, StoreBusy | Killed)
            self._require(fine, f"{actor.name} broke: {actor.error!r}")
            return
        ask, answer = request.ask, _answer(actor.error)
        self.steps.append(f"{ask} -> {answer}")
        allowed = {"ok"} if request.changed else request.possible
        self._require(answer in allowed, f"I3, I11: {ask} was answered {answer}; expected one of {sorted(allowed)}")
        known = isinstance(actor.error, PostscanError | ConnectionError | None)
        self._require(known, f"I31: {ask} raised {actor.error!r}")
        if isinstance(actor.error, JobNotFound):
            self._require(str(actor.error) == str(JobNotFound(ask.token)), f"I13: {ask} was told {actor.error}")
        if answer == "ok":
            self._keep(actor, request)

    def _keep(self, actor: Actor, request: Request) -> None:
        ask = request.ask
        if ask.verb is Verb.CREATE and ask.message:
            first = self.sight.answers[_sender(ask.by), ask.message]
            self._require(actor.answer == first, f"I25: {ask} was answered {actor.answer} and {first} before")
        if ask.token and ask.token not in self.world.jobs:
            return  # it was dropped meanwhile, or a named request was repeated after that
        if ask.verb is Verb.SEND:
            self.past.sent[ask.token, ask.document] = ask.content
        elif ask.verb is Verb.CANCEL:
            self.past.cancel_answered.add(ask.token)
            state = actor.answer.state
            self._require(state in ("Terminating", "Canceled"), f"I11: {ask} was answered {state}")
        elif ask.verb is Verb.GET:
            views = {(job.state, len(job.images), job.filters) for job in request.seen}
            got = actor.answer
            filters = tuple(
                type(known)(step.dialect, str(step.state), step.attempt, step.crashes)
                for step, known in zip(got.steps, request.seen[0].filters, strict=True)
            )
            self._require((got.state, got.images_received, filters) in views, f"I2, I6: {ask} saw {got}")

    def _require(self, true: bool, what: str) -> None:
        if not true:
            raise Violation("\n  ".join([what, *self.steps]))


def _who(actor: Actor) -> tuple[str, str]:
    kind, _, token = actor.name.partition(" ")
    return (kind, token) if kind in ("job", "scheduler", "sweeper") else ("request", "")


def _sender(by: Principal) -> str:
    return f"{by.proof}:{by.name}"


def _answer(error: BaseException | None) -> str:
    if isinstance(error, InvalidArgument):
        return f"InvalidArgument {error.argument}"
    return "ok" if error is None else type(error).__name__
