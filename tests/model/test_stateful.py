"""Long random runs of the engine beside the model, shrunk to the shortest one that fails: Hypothesis drives them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from model.actors import AT_WORK
from model.chance import FILTERS, NOBODYS
from model.trial import DAY, SILENCE, Trial
from model.workers import ENDS
from model.world import ADMIN, ANNA, BORIS, MIMIC, Ask, Verb

CALLERS = st.sampled_from((ANNA, BORIS, MIMIC))
NAMES = st.sampled_from(("", "", "m1", "m2"))
WHICH = st.integers(0, 7)


class Server(RuleBasedStateMachine):
    """Two devices, one that has the first one's name but not its proof, an administrator, and bad luck."""

    def __init__(self) -> None:
        super().__init__()
        self.trial = Trial()

    @rule(by=CALLERS, filters=st.sampled_from(FILTERS), go_on=st.booleans(), message=NAMES)
    def create(self, by, filters, go_on, message):
        """CreatePostScanJob arrives."""
        dialects = tuple(f"urn:model:{one}" for one in filters)
        self.trial.ask(Ask(Verb.CREATE, by, filters=dialects, go_on=go_on, message=message))

    @rule(
        by=CALLERS,
        which=WHICH,
        document=st.integers(1, 3),
        content=st.sampled_from((b"page one", b"page two", b"")),
        message=NAMES,
    )
    def send(self, by, which, document, content, message):
        """SendImage arrives."""
        self.trial.ask(Ask(Verb.SEND, by, self.token(which), document, content, message=message))

    @rule(by=CALLERS, which=WHICH, verb=st.sampled_from((Verb.END, Verb.CANCEL)), message=NAMES)
    def end_or_cancel(self, by, which, verb, message):
        """EndPostScanJob or CancelPostScanJob arrives."""
        self.trial.ask(Ask(verb, by, self.token(which), message=message))

    @rule(by=CALLERS, which=WHICH)
    def get(self, by, which):
        """GetPostScanJobElements arrives."""
        self.trial.ask(Ask(Verb.GET, by, self.token(which)))

    @rule(which=WHICH, verb=st.sampled_from((Verb.HOLD, Verb.RELEASE, Verb.CANCEL)))
    def administer(self, which, verb):
        """An administrator holds, releases or cancels."""
        self.trial.ask(Ask(verb, ADMIN, self.token(which)))

    @rule()
    def look(self):
        """The scheduler looks."""
        self.trial.look()

    @rule()
    def sweep(self):
        """The sweeper sweeps."""
        self.trial.sweep()

    @precondition(lambda self: self.trial.live())
    @rule(which=WHICH, said=st.sampled_from((*ENDS, "publish", "progress")), times=st.integers(1, 6))
    def step(self, which, said, times):
        """One actor goes on for some steps; a filter does what is said."""
        live = self.trial.live()
        actor = live[which % len(live)]
        for _ in range(times):
            if not actor.over:
                self.trial.step(actor, said if actor.at in AT_WORK else "")

    @precondition(lambda self: any(actor.at == "image" for actor in self.trial.live()))
    @rule(fault=st.sampled_from(("vanish", "disk")))
    def lose_an_image(self, fault):
        """The device goes away in the middle of an image, or the disk of the spool is full."""
        self.trial.step(next(actor for actor in self.trial.live() if actor.at == "image"), fault)

    @precondition(lambda self: any(actor.at in ("read", "write") for actor in self.trial.live()))
    @rule(which=WHICH)
    def lock(self, which):
        """Another process has the database when somebody needs it."""
        asking = [actor for actor in self.trial.live() if actor.at in ("read", "write")]
        self.trial.step(asking[which % len(asking)], locked=True)

    @rule(kind=st.sampled_from(("crash", "reboot", "restart")))
    def die(self, kind):
        """The server is killed, with or without its machine, or stopped; and another one starts."""
        getattr(self.trial, kind)()

    @rule(years=st.sampled_from((-10, 0, 10)))
    def set_the_clock(self, years):
        """Somebody sets the wall clock."""
        self.trial.engine.clock.set_wall(years)

    @rule(seconds=st.sampled_from((1.0, SILENCE, DAY)))
    def wait(self, seconds):
        """Time passes."""
        self.trial.engine.clock.advance(seconds)

    def token(self, which):
        """Return the token of a job, or one that nobody has."""
        return [*self.trial.world.jobs, NOBODYS][which % (len(self.trial.world.jobs) + 1)]

    def teardown(self):
        """Whatever happened: in the end every job ends, and nothing is left."""
        try:
            self.trial.settle()
        finally:
            self.trial.close()


Server.TestCase.settings = settings(max_examples=20, stateful_step_count=25, suppress_health_check=list(HealthCheck))
TestTheServerKeepsItsInvariants = Server.TestCase
