"""The page about callers, sources and subscriptions, and what stops and starts them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conftest import ANNA, BORIS
from console_browser import Browser
from works import SID, instructions

from postscan.console.pages.administration import devices
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof, Role
from postscan.core.model.records import AuditLine
from postscan.core.model.subscription import EventService, Sink, Subscription
from postscan.core.settings import Settings

EVIL = "<img src=x onerror=alert(1)>"
LOCAL = Principal("local:root", Proof.LOCAL, admin=True)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Settings with an inlet, whose source no test starts."""
    table = settings.model_dump(by_alias=True)
    process = "7B0E9C54-2D1A-4F6B-8C3E-91A5D0F2B6E7"
    table["destinations"] = {"archive": {"label": "Archive", "process": process, "user": SID}}
    table["sources"] = {"desk": {"plugin": "acme", "destinations": ["archive"]}}
    return Settings.model_validate(table)


@pytest.fixture
def site(browser: Callable[..., Browser]) -> Browser:
    """An administrator's browser."""
    return browser(Role.ADMINISTRATOR)


def subscribe(core: Engine, by: Principal = ANNA) -> Subscription:
    """Subscribe a device."""
    sink = Sink(f"http://192.0.2.7/{EVIL}", "192.0.2.7")
    return core.subscriptions.add(EventService.PROCESSING, by, sink, sink, (), str, False, 3600.0)


def test_callers_are_listed_with_what_they_did(site: Browser, core: Engine) -> None:
    """Jobs, refusals, and their share of the spool; their names stay text."""
    evil = Principal(EVIL, Proof.ADDRESS)
    token = core.service.create(ANNA, SID, "P", instructions("copy"))
    with core.service.open_image(token, ANNA, 1, "png") as image:
        image.write(b"x" * 3000)
    core.store.record(*(AuditLine.of(evil, "get", "x", core.clock.now(), "refused") for _ in range(3)))
    site.get("/devices")

    assert site.sees(ANNA.name)
    assert site.sees("2.9 KiB of 20.0 GiB")
    assert site.sees(EVIL)
    assert EVIL not in site.page
    assert ">3</a>" in site.page


def test_the_page_says_what_is_empty(site: Browser, core: Engine) -> None:
    """Without callers and subscriptions."""
    site.get("/devices")

    assert site.sees("No device is subscribed to events.")
    assert site.sees("desk")


def test_a_subscription_is_ended_after_a_look_at_it(site: Browser, core: Engine) -> None:
    """The page before says whose it is and what waits; then it is gone, and the trail has who did it."""
    one = subscribe(core)
    core.service.create(ANNA, SID, "P", instructions("copy"))
    site.get("/devices")
    listed = site.page
    site.get(f"/devices/subscriptions/{one.id}/end")
    asked = site.page
    done = site.post(f"/devices/subscriptions/{one.id}/end")
    line = core.service.audit(LOCAL, one.id)[-1]

    assert f"/devices/subscriptions/{one.id}/end" in listed
    assert ANNA.name in asked
    assert EVIL not in listed + asked
    assert (done.status_code, done.headers["location"]) == (303, "/devices#subscriptions")
    assert (line.verb, line.who) == ("unsubscribe", "link:administrator")
    assert site.get(f"/devices/subscriptions/{one.id}/end").status_code == 404
    assert site.post(f"/devices/subscriptions/{one.id}/end").status_code == 404


def test_subscriptions_come_in_pages(site: Browser, core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one once."""
    monkeypatch.setattr(devices, "MOST_SUBSCRIPTIONS", 2)
    ids = sorted(subscribe(core, by).id for by in (ANNA, ANNA, BORIS))
    site.get("/devices")
    first = [id for id in ids if id in site.page.partition("/devices?subscription=")[0]]
    site.get(f"/devices?subscription={ids[2]}")

    assert first == ids[:2]
    assert [id in site.page for id in ids] == [False, False, True]


def test_a_source_is_stopped_and_started(site: Browser, core: Engine) -> None:
    """The order is stored with a line of the trail, as that of the command is."""
    stopped = site.post("/devices/sources/desk/stop")
    row = core.inlets.list(LOCAL)["desk"]
    site.get("/devices")
    shown = site.page
    site.post("/devices/sources/desk/start")

    assert (stopped.status_code, stopped.headers["location"]) == (303, "/devices#sources")
    assert row.stopped
    assert "/devices/sources/desk/start" in shown
    assert not core.inlets.list(LOCAL)["desk"].stopped
    assert [line.verb for line in core.service.audit(LOCAL, "source desk")] == ["stop", "start"]


def test_a_source_that_fetches_scans_has_a_button(site: Browser, core: Engine) -> None:
    """Beside a server, while it runs; with its destinations."""
    site.get("/devices")
    without = site.page
    core.origins.begin()
    core.inlets.begin()
    with core.store.served(lambda _: None):
        core.inlets.record_state("desk", "ready", EVIL, pulls=True)
        site.get("/devices")
        shown = site.page
        done = site.post("/devices/sources/desk/scan", {"destination": "archive"})
        again = site.post("/devices/sources/desk/scan", {"destination": "archive"})
        wrong = site.post("/devices/sources/desk/scan", {"destination": "elsewhere"})

    assert "/devices/sources/desk/scan" not in without
    assert "/devices/sources/desk/scan" in shown
    assert "<option>archive</option>" in shown
    assert EVIL not in shown
    assert (done.status_code, again.status_code, wrong.status_code) == (303, 503, 400)
    assert core.inlets.list(LOCAL)["desk"].pull


def test_an_unknown_source_is_not_there(site: Browser) -> None:
    """Whatever is wanted of it; nor has anything a name that PostgreSQL does not take."""
    assert site.get("/devices/subscriptions/%00/end").status_code == 404
    for verb in ("start", "stop", "scan"):
        assert site.post(f"/devices/sources/none-such/{verb}").status_code == 404
