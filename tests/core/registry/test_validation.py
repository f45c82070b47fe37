"""What filters have to say about instructions before a job is made of them, and that the server only listens."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import databases
import documents
import pytest
from conftest import ANNA, AnyProcess
from works import PATIENCE, SID, Works

from postscan.core.engine import Engine
from postscan.core.errors import InvalidArgument, Unavailable
from postscan.core.filters import parameters
from postscan.core.filters.parameters import element
from postscan.core.model.process import FilterInstructions, Instructions, ScanProcess
from postscan.core.model.records import RequestKey
from postscan.core.model.states import FilterState
from postscan.core.registry import probe, validation
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.core.registry.validation import InstructionValidator
from postscan.core.settings import Settings
from postscan.core.workers import protocol
from postscan.core.workers.slot import Closed
from postscan.plugins.testing.runner import FakeClock

PRINT, MOODY = "urn:acme:print", "urn:acme:moody"


@pytest.fixture
def works(works: Works, monkeypatch: pytest.MonkeyPatch) -> Works:
    """An engine that runs, and whose filters have time to judge, however busy the machine is."""
    for limit in ("SECONDS", "TURN_SECONDS", "TOGETHER"):
        monkeypatch.setattr(validation, limit, PATIENCE)
    return works


def asking(*filters: tuple[str, str]) -> Instructions:
    """Make instructions of dialects and their XML."""
    return Instructions("Invoice", tuple(FilterInstructions(dialect, xml.encode()) for dialect, xml in filters))


def printing(inside: str) -> tuple[str, str]:
    """Ask the filter Print, which declares what it takes."""
    return PRINT, f"<Order xmlns='{PRINT}'>{inside}</Order>"


def moody(mood: str) -> tuple[str, str]:
    """Ask the filter Moody, which judges by itself."""
    return MOODY, f"<do xmlns='urn:acme'>{mood}</do>"


ANYTHING = ("urn:acme:copy", "<do/>")


def refused(works: Works, *filters: tuple[str, str]) -> InvalidArgument:
    """Return why no job is made of these filters."""
    with pytest.raises(InvalidArgument) as caught:
        works.service.create(ANNA, SID, "P", asking(*filters))
    return caught.value


def unanswered(works: Works, mood: str) -> str:
    """Return in which words the server excuses itself."""
    with pytest.raises(Unavailable) as caught:
        works.service.create(ANNA, SID, "P", asking(ANYTHING, moody(mood)))
    return str(caught.value)


# --- by what is declared --------------------------------------------------------------------------------------------


def test_an_element_that_does_not_fit_is_named_with_its_filter(works: Works) -> None:
    """Before there is a job: which filter, by number and name, which element, and what was expected."""
    error = refused(works, ANYTHING, printing("<Copies>12</Copies>"))

    assert (error.argument, error.value) == (f"{{{PRINT}}}Copies", "12")
    assert error.expected == f"a whole number, at least 1, at most 9, in filter 2 (Print, {PRINT})"
    assert works.service.active(ANNA) == []


def test_a_config_that_has_no_namespace_is_not_taken_for_an_argument_of_the_service(works: Works) -> None:
    """A bare name would mean an element of the processing service."""
    assert refused(works, (PRINT, "<Order/>")).argument == "{}Order"


def test_what_is_refused_as_declared_is_not_asked_about(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    """The filter before it, whose own code would break, is never asked."""
    error = refused(works, moody("break"), printing("<Colour>blue</Colour>"))

    assert error.expected.startswith("one of grey, red, in filter 2")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_dialect_that_nobody_has_is_not_judged(works: Works) -> None:
    """O-7: the job is made; its filter ends with errors."""
    token = works.service.create(ANNA, SID, "P", asking(ANYTHING, ("urn:nobody", "<do/>")))
    works.send(token)
    works.service.end(token, ANNA)

    assert [step.reasons for step in works.ended(token).steps] == [(), ("InvalidArgs",)]


def test_without_workers_nobody_is_asked(core: Engine) -> None:
    """The command line makes no jobs of its own; what it opens does not start anything."""
    assert core.service.create(ANNA, SID, "P", asking(printing("<Copies>12</Copies>"), moody("refuse")))


def test_when_the_engine_stops_nobody_is_asked_any_more(core: Engine) -> None:
    """Its workers have ended."""
    with core.running():
        pass

    assert core.service.create(ANNA, SID, "P", asking(moody("refuse")))


# --- by the author's own code ---------------------------------------------------------------------------------------


def test_a_rule_of_the_class_is_asked_of_a_worker(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sentence, the element, and the filter; and the server has not imported the plugin."""
    monkeypatch.delitem(sys.modules, "acme_filters", raising=False)  # a test before this one may have imported it
    error = refused(works, printing("<Pages><First>5</First><Last>3</Last></Pages>"))

    assert error.argument == f"{{{PRINT}}}Order"
    assert error.expected == (f"what it takes, but: First is 5, after Last, which is 3, in filter 1 (Print, {PRINT})")
    assert "acme_filters" not in sys.modules


def test_a_filters_own_check_is_asked_of_a_worker(works: Works) -> None:
    """Also one that reads its XML itself."""
    error = refused(works, ANYTHING, moody("refuse"))

    assert (error.argument, error.value) == ("{urn:acme}do", moody("refuse")[1])
    assert error.expected == f"what it takes, but: it does not want to, in filter 2 (Moody, {MOODY})"


def test_what_is_taken_reaches_the_filter_as_its_class(works: Works) -> None:
    """With the defaults filled in."""
    token = works.service.create(ANNA, SID, "P", asking(printing("<Copies>3</Copies>"), moody("well")))
    works.send(token)
    works.service.end(token, ANNA)

    assert {step.state for step in works.ended(token).steps} == {FilterState.SUCCEEDED}
    assert [line[:-1] for line in works.trace(token)] == [["print", "3", "grey", "1", "9999"], ["moody"]]


def test_a_filter_never_runs_with_what_its_check_refuses(core: Engine, works: Works) -> None:
    """A job that was made without being judged ends with the reason of the protocol."""
    with contextlib.closing(Engine(core.settings, AnyProcess())) as idle:
        token = idle.service.create(ANNA, SID, "P", asking(moody("refuse")))
    works.send(token)
    works.service.end(token, ANNA)
    (step,) = works.ended(token).steps

    assert (step.state, step.reasons, step.detail) == (FilterState.ERRORS, ("InvalidArgs",), "it does not want to")
    assert works.trace(token) == []


def test_a_filter_that_lacks_something_is_not_asked(works: Works) -> None:
    """Its check may need what is missing; its run says what that is."""
    token = works.service.create(ANNA, SID, "P", asking(("urn:acme:helpless", "<do>break</do>")))
    works.send(token)
    works.service.end(token, ANNA)

    assert works.ended(token).steps[0].detail == "there is no moon here"


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("break", "RuntimeError: a secret of the inside"),
        ("leave", "SystemExit: 0"),
        ("die", "its process died during the check (exit code -9)"),
        ("sleep", "the check took longer than 0.3 s"),
    ],
)
def test_a_check_that_gives_no_answer_makes_no_job_and_does_no_harm(
    works: Works, mood: str, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-P5, F-R8: nobody has said whether the instructions are right; the log says why, and the next job runs."""
    with monkeypatch.context() as patch:
        if mood == "sleep":
            patch.setattr(validation, "SECONDS", 0.3)
        said = unanswered(works, mood)

    assert said == f"filter 2 (Moody, {MOODY}) did not check its instructions: {why}"
    [logged] = [vars(record) for record in caplog.records if record.levelno == logging.ERROR]
    assert (logged["msg"], logged["plugin"], logged["reason"]) == ("instructions not checked", "acme", why)
    assert works.service.active(ANNA) == []
    assert works.ended(works.start("copy", "moody well")).steps[1].state is FilterState.SUCCEEDED


SLOW = """
import pathlib, time

if pathlib.Path({slow!r}).exists():
    time.sleep(3)

from postscan.plugins import Filter, hookimpl

class Slow(Filter):
    dialect = "urn:test:slow"
    title = "Slow"
    def check(self, instructions):
        pass
    def run(self, job, token):
        token.check()

@hookimpl
def postscan_filters():
    return [Slow()]
"""


@pytest.fixture
def slowly_loaded(core: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine that runs, with a filter that takes 3 s to load from now on."""
    site = tmp_path / "site"
    site.mkdir()
    documents.install(site, "slow_module", SLOW.format(slow=str(tmp_path / "slow")), "slow")
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])
    with core.running():
        (tmp_path / "slow").touch()
        yield core


def test_the_time_of_a_check_begins_when_its_filter_is_loaded(
    slowly_loaded: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F-R31: ruling 11 gives 2 s to the code of the filter, and not to the machine that loads it."""
    monkeypatch.setattr(probe, "START_SECONDS", PATIENCE)

    assert slowly_loaded.service.create(ANNA, SID, "P", asking(("urn:test:slow", "<do/>")))


def test_a_filter_that_is_not_loaded_in_time_makes_no_job_and_may_be_asked_again(
    slowly_loaded: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R31: nobody has said whether the instructions are right; that is a matter of the machine, so a warning."""
    monkeypatch.setattr(probe, "START_SECONDS", 0.5)
    monkeypatch.setattr(validation, "SECONDS", 0.5)

    with pytest.raises(Unavailable) as caught:
        slowly_loaded.service.create(ANNA, SID, "P", asking(("urn:test:slow", "<do/>")))

    why = "the check did not begin within 0.5 s"
    assert str(caught.value) == f"filter 1 (Slow, urn:test:slow) did not check its instructions: {why}"
    [logged] = [vars(one) for one in caplog.records if one.getMessage() == "instructions not checked"]
    assert (logged["levelname"], logged["plugin"], logged["reason"]) == ("WARNING", "slow", why)


class Refusing:
    """A judge who takes nothing."""

    def check(self, instructions: Instructions) -> None:
        """Refuse them."""
        raise InvalidArgument("{}do", "", "nothing")


def test_the_same_request_is_not_judged_again(core: Engine) -> None:
    """D14: it has its answer already, whatever the filters think by now."""
    request = RequestKey("urn:uuid:1", "digest")
    first = core.service.create(ANNA, SID, "P", asking(ANYTHING), request)
    with core.filters.active(Catalogue(()), Refusing()):
        again = core.service.create(ANNA, SID, "P", asking(ANYTHING), request)
        with pytest.raises(InvalidArgument):
            core.service.create(ANNA, SID, "P", asking(ANYTHING))

    assert again == first


def test_what_does_not_equal_the_stored_process_is_not_judged(settings: Settings) -> None:
    """A device has no business with the filters before it was admitted."""

    class Strict(AnyProcess):
        def admit(self, process: ScanProcess, sent: Instructions) -> None:
            raise InvalidArgument("Dialect", "", "another")

    databases.migrated(settings.storage.url)
    with (
        contextlib.closing(Engine(settings, Strict())) as core,
        core.filters.active(Catalogue(()), Refusing()),
        pytest.raises(InvalidArgument, match="Dialect"),
    ):
        core.service.create(ANNA, SID, "P", asking(ANYTHING))


def test_checks_that_hang_do_not_keep_filters_from_running(works: Works, tmp_path: Path) -> None:
    """They have processes of their own. When they answer at last, their jobs are made."""
    waiting = asking(moody(str(tmp_path / "now")))
    with ThreadPoolExecutor(validation.AT_ONCE) as pool:
        created = [pool.submit(works.service.create, ANNA, SID, "P", waiting) for _ in range(validation.AT_ONCE)]
        try:
            job = works.ended(works.start("copy"))
            hung = not any(one.done() for one in created)
        finally:
            (tmp_path / "now").touch()

    assert job.steps[0].state is FilterState.SUCCEEDED
    assert hung
    assert len({one.result() for one in created}) == validation.AT_ONCE


# --- what is asked, and what is made of the answer ------------------------------------------------------------------


@dataclass
class Order:
    """Order: something."""

    copies: int = element("Copies", default=1)


def judge(
    answer: Callable[[protocol.Order, float], protocol.Result], *, lacks: tuple[str, ...] = ()
) -> InstructionValidator:
    """Make a judge whose workers give this answer; the filter `urn:test` has a check of its own."""
    info = FilterInfo("urn:test", "Test", "", 1.0, lacks, parameters.schema(Order), checks=True)
    return InstructionValidator(Catalogue((Plugin("test", "", "", PluginState.READY, filters=(info,)),)), answer)


ASKED = ("urn:test", "<Order xmlns='urn:test'/>")


def test_a_worker_gets_the_instructions_and_no_settings() -> None:
    """They hold secrets."""
    orders: list[tuple[protocol.Order, float]] = []

    def answer(order: protocol.Order, seconds: float) -> protocol.Result:
        orders.append((order, seconds))
        return protocol.InstructionsAccepted()

    judge(answer).check(asking(ANYTHING, ASKED))

    assert orders == [(protocol.CheckOrder(plugin="test", dialect="urn:test", instructions=ASKED[1]), 2.0)]


@pytest.mark.parametrize(
    "result",
    [
        protocol.FilterDone(),
        protocol.FilterCancelled(),
        protocol.PluginDeclared(filters=()),
        protocol.OrderBroken(error="its process was killed during the check: it sent an invalid message"),
        protocol.OrderFailed(reasons=(), error="no memory"),
    ],
)
def test_an_answer_that_is_none_makes_no_job(result: protocol.Result) -> None:
    """T-P6: the worker is not trusted."""
    with pytest.raises(Unavailable, match=r"filter 1 \(Test, urn:test\) did not check its instructions: "):
        judge(lambda _order, _seconds: result).check(asking(ASKED))


def test_a_sentence_is_cut() -> None:
    """T-P6: a fault has room for 255 characters of it."""
    refused = protocol.InstructionsRefused(error="x" * protocol.SENTENCE)

    with pytest.raises(InvalidArgument) as caught:
        judge(lambda _order, _seconds: refused).check(asking(ASKED))

    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("error", [Closed("the server is stopping"), OSError("no more processes"), EOFError()])
def test_if_no_worker_can_be_started_there_is_no_job(error: Exception) -> None:
    """The same request may work later."""

    def answer(_order: protocol.Order, _seconds: float) -> protocol.Result:
        raise error

    with pytest.raises(Unavailable, match="cannot be asked"):
        judge(answer).check(asking(ASKED))


def test_filters_that_take_long_one_after_another_are_not_all_asked(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T-Q1: nobody can keep a thread of the server with a process of a thousand filters."""
    monkeypatch.setattr(validation, "time", SimpleNamespace(monotonic=clock.ticks))
    asked = []

    def answer(order: protocol.Order, seconds: float) -> protocol.Result:
        asked.append(order)
        clock.advance(seconds)
        return protocol.InstructionsAccepted()

    with pytest.raises(Unavailable, match="is not asked any more: those before it took 6 s"):
        judge(answer).check(asking(*[ASKED] * 1000))
    assert len(asked) == 4


def test_only_a_few_are_asked_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """T-Q1: the next one waits for a turn, and not for ever; afterwards there are turns again."""
    monkeypatch.setattr(validation, "TURN_SECONDS", 0.05)
    begun, over = threading.Semaphore(0), threading.Event()

    def answer(_order: protocol.Order, _seconds: float) -> protocol.Result:
        begun.release()
        over.wait()
        return protocol.InstructionsAccepted()

    one = judge(answer)
    with ThreadPoolExecutor(validation.AT_ONCE) as pool:
        first = [pool.submit(one.check, asking(ASKED)) for _ in range(validation.AT_ONCE)]
        try:
            for _ in first:
                begun.acquire()
            with pytest.raises(Unavailable, match="the instructions of 4 other jobs are being checked"):
                one.check(asking(ASKED))
        finally:
            over.set()

    assert [future.result() for future in first] == [None] * validation.AT_ONCE
    one.check(asking(ASKED))
