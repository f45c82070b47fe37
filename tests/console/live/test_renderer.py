"""How often a region is rendered, and for whom."""

from __future__ import annotations

import pytest
from live_regions import ANN, OF_ALL, ShownTexts, key

from postscan.console.live import renderer as rendering
from postscan.console.live.regions import group_of, stream_url
from postscan.core.errors import JobNotFound, StoreBusy
from postscan.core.model.job import JobToken
from postscan.core.model.principal import Proof, Role, at_console
from postscan.core.service.administration.changes import Change

BORIS = at_console("boris", Proof.ACCOUNT, Role.ADMINISTRATOR)
DORA = at_console("dora", Proof.ACCOUNT, Role.OWNER)
EVE = at_console("eve", Proof.ACCOUNT, Role.OWNER)


@pytest.fixture(autouse=True)
def _without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region may be rendered again at once, however long the machine took for it."""
    monkeypatch.setattr(rendering, "REST", 0.0)


def test_those_who_may_change_all_jobs_share_a_rendering() -> None:
    """Owners, and viewers, who may cancel what is their own, have renderings of their own."""
    assert group_of(ANN) == group_of(BORIS)
    assert group_of(DORA) != group_of(EVE)
    viewers = [at_console(name, Proof.ACCOUNT, Role.VIEWER) for name in ("fay", "guy")]
    assert group_of(viewers[0]) != group_of(viewers[1])
    assert group_of(at_console("ann", Proof.ACCOUNT, Role.OPERATOR)) != group_of(ANN)


def test_the_url_of_a_stream_names_its_regions_and_what_they_show() -> None:
    """As a page puts it into the attribute that the script reads."""
    assert stream_url("rows", "job", rows="state=Open&text=a b") == (
        "/live?region=rows&region=job&rows=state%3DOpen%26text%3Da+b"
    )


def test_a_region_is_rendered_again_after_a_change_alone() -> None:
    """However many streams show it, and however often they look."""
    shown = ShownTexts()
    first = shown.renderer.update(key("running"), ANN)
    again = shown.renderer.update(key("running"), BORIS)
    shown.texts["running"] = "another"
    shown.renderer.mark(OF_ALL)
    changed = shown.renderer.update(key("running"), ANN)

    assert first is again
    assert shown.reads["running", ""] == 2
    assert changed is not None
    assert changed.html == "<p>another</p>"
    assert changed.event == b'data: "<p>another</p>"\n\n'


def test_what_looks_the_same_is_the_same_rendering() -> None:
    """So that a change of something else is not sent."""
    shown = ShownTexts()
    first = shown.renderer.update(key("running"), ANN)
    shown.renderer.mark(OF_ALL)

    assert shown.renderer.update(key("running"), ANN) is first
    assert shown.reads["running", ""] == 2


def test_a_region_is_not_rendered_more_often_than_it_may_be() -> None:
    """A thousand commits a second cost no more than four."""
    shown = ShownTexts(seconds=3600.0)
    for _ in range(5):
        shown.renderer.update(key("running"), ANN)
        shown.renderer.mark(OF_ALL)

    assert shown.reads["running", ""] == 1


def test_a_region_rests_in_proportion_to_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of a second must not keep all other pages from being live."""
    shown = ShownTexts()
    monkeypatch.setattr(rendering, "REST", 1e9)
    for _ in range(2):
        shown.renderer.update(key("rows", "text=a"), ANN)
        shown.renderer.mark(OF_ALL)

    assert shown.reads["rows", "text=a"] == 1


@pytest.mark.parametrize("region", [("job", "one"), ("log", "one"), ("log", "one/2")])
def test_the_page_of_a_job_is_rendered_for_its_own_changes(region: tuple[str, str]) -> None:
    """Not for those of the other jobs of a busy server."""
    shown = ShownTexts()
    shown.renderer.update(key(*region), ANN)
    shown.renderer.mark(Change(frozenset({JobToken("two")}), frozenset()))
    shown.renderer.update(key(*region), ANN)
    before = shown.reads[region]
    shown.renderer.mark(Change(frozenset({JobToken("one")}), frozenset()))
    shown.renderer.update(key(*region), ANN)

    assert (before, shown.reads[region]) == (1, 2)


def test_jobs_that_run_are_followed_without_a_change() -> None:
    """Their time goes on, and so does the log of their filters."""
    shown = ShownTexts(follows_jobs=True)
    for token in ("one", "two"):
        shown.renderer.update(key("job", token), ANN)
    shown.renderer.follow(["one"])
    for token in ("one", "two"):
        shown.renderer.update(key("job", token), ANN)

    assert (shown.reads["job", "one"], shown.reads["job", "two"]) == (2, 1)


def test_what_changes_with_the_time_alone_is_rendered_again() -> None:
    """Two minutes ago becomes three minutes ago."""
    shown = ShownTexts(repeat_seconds=0.0)
    for _ in range(2):
        shown.renderer.update(key("running"), ANN)

    assert shown.reads["running", ""] == 2


@pytest.mark.parametrize("error", [JobNotFound("one"), ZeroDivisionError()], ids=["gone", "defect"])
def test_a_region_that_cannot_be_rendered_is_left_alone(error: Exception) -> None:
    """Each look at a job that is not there counts as a wrong token of the caller; a new stream looks once more."""
    shown = ShownTexts()
    shown.texts["job"] = error
    rendered = []
    for _ in range(3):
        rendered.append(shown.renderer.update(key("job", "one"), ANN))
        shown.renderer.mark(OF_ALL)
    before = shown.reads["job", "one"]
    shown.renderer.renew([key("job", "one")])
    shown.renderer.update(key("job", "one"), ANN)

    assert rendered == [None] * 3
    assert (before, shown.reads["job", "one"]) == (1, 2)


def test_an_outage_of_the_database_is_over_when_it_answers() -> None:
    """What changed meanwhile is rendered then."""
    shown = ShownTexts()
    shown.texts["running"] = StoreBusy("the database does not answer")
    with pytest.raises(StoreBusy):
        shown.renderer.update(key("running"), ANN)
    shown.texts["running"] = "here again"

    found = shown.renderer.update(key("running"), ANN)

    assert found is not None
    assert found.html == "<p>here again</p>"


def test_a_poll_reads_what_no_stream_has_shown() -> None:
    """While there is no stream, nothing marks what has changed."""
    shown = ShownTexts()
    shown.renderer.poll(key("running"), ANN)
    shown.texts["running"] = "another"

    found = shown.renderer.poll(key("running"), ANN)

    assert found is not None
    assert found.html == "<p>another</p>"


def test_polls_of_one_region_share_a_rendering_for_a_while() -> None:
    """However many pages poll."""
    shown = ShownTexts(seconds=3600.0)
    for _ in range(3):
        shown.renderer.poll(key("running"), ANN)

    assert shown.reads["running", ""] == 1


def test_a_bounded_number_of_renderings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a caller could fill the memory by queries that differ; those that streams show stay."""
    monkeypatch.setattr(rendering, "KEPT", 2)
    shown = ShownTexts(seconds=3600.0)
    queries = [f"text={number}" for number in range(6)]
    for query in queries:
        shown.renderer.update(key("rows", query), ANN)
    shown.renderer.forget([key("rows", queries[0])])
    for query in queries:
        shown.renderer.update(key("rows", query), ANN)

    assert [shown.reads["rows", query] for query in queries] == [1, 2, 2, 2, 1, 1]


def test_slow_regions_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each round the fast ones are rendered before them."""
    shown = ShownTexts()
    shown.renderer.update(key("running"), ANN)
    monkeypatch.setattr(rendering, "SLOW", -1.0)
    shown.renderer.update(key("rows"), ANN)

    assert shown.renderer.ordered([key("rows"), key("job", "new")])[0] == key("job", "new")
