"""The dashboard: what is wrong, what runs, what needs attention, the last day; and how often figures are read."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

import certificates as made
import databases
import pytest
from conftest import AnyProcess
from console_browser import Browser, person
from job_scene import HOSTILE, deliver, fail_second, put
from works import until

from postscan.console.pages.problems import problems
from postscan.core.engine import Engine
from postscan.core.model.job import JobTurn
from postscan.core.model.principal import Role
from postscan.core.registry.catalogue import Catalogue, Plugin, PluginState
from postscan.core.registry.remembered import RememberedCatalogue
from postscan.core.service.administration.metrics.overview import DayOfFilters
from postscan.core.settings import Settings
from postscan.doctor.findings import Severity

Open = Callable[..., Browser]


def shown(one: Browser) -> str:
    """Return the text of the last page with single spaces."""
    return " ".join(re.sub(r"<[^>]*>", " ", one.page).split())


def test_without_jobs_the_dashboard_says_what_to_do(browser: Open) -> None:
    """And each part of it says that it is empty."""
    one = browser(Role.VIEWER)

    assert one.get("/").status_code == 200
    assert one.sees("No jobs yet. Scan something, or send a test page through a scan process.")
    assert one.sees("No job is processed now.")
    assert one.sees("No failed job waits for a decision.")
    assert one.sees("Nothing was delivered in 24 hours.")


def test_the_dashboard_has_the_jobs_that_run_and_those_in_need(browser: Open, core: Engine) -> None:
    """With numbers of the others, and each with what can be done about it."""
    runs, failed, silent = put(core, "Processing"), put(core, "Failed"), put(core, "TimedOut")
    for way in ("Pending", "Pending-Held", "Creating"):
        put(core, way)
    core.store.record_progress(JobTurn(runs, 1), 0, "3/10 pages")
    one = browser(Role.OPERATOR)

    one.get("/")

    text = shown(one)
    assert f"1 of {core.settings.running.slots} slots at work Receiving 1 Waiting 1 Held 1" in text
    assert "copy runs 3/10 pages" in text
    assert "sleep : no room on the share" in text
    assert "All 2 in Jobs" in text
    links = [f"/jobs/{runs}/cancel", f"/jobs/{failed}/retry", f"/jobs/{silent}/release"]
    assert [f'href="{link}"' in one.page for link in links] == [True] * 3
    assert "6 jobs: Aborted 2, open 4" in text


def test_destinations_are_judged_by_what_was_delivered(browser: Open, core: Engine) -> None:
    """With a link to the jobs that delivered there."""
    token = put(core, "Processing")
    deliver(core, token, "/srv/scans & more")
    one = browser(Role.VIEWER)

    one.get("/")

    assert '<a href="/jobs?destination=/srv/scans%20%26%20more">' in one.page


def test_a_filter_that_fails_is_a_warning_with_its_jobs(browser: Open, core: Engine) -> None:
    """What corrects it is in the same place: one click opens it."""
    token = put(core, "Processing", name=HOSTILE)
    with core.store.change(token) as job:
        fail_second(job)
    one = browser(Role.VIEWER)

    one.get("/")

    [found] = re.findall(r"<details class=\"problem problem-warning\">.*?</details>", one.page, re.DOTALL)
    assert "Filter sleep of Test process failed once in 24 hours: no room on the share" in found
    assert "Correct what it says" in found
    assert 'href="/jobs?tab=attention&amp;process=P"' in found


def test_a_certificate_that_ends_soon_is_a_warning_with_what_corrects_it(settings: Settings, tmp_path: Path) -> None:
    """Before devices refuse it."""
    folder = tmp_path / "tls"
    folder.mkdir()
    table = made.server_table(folder, made.Authority())
    databases.migrated(settings.storage.url)
    engine = Engine(settings.model_validate({**dict(settings), "tls": table}), AnyProcess())
    with contextlib.closing(engine):
        found = problems(engine, person(Role.ADMINISTRATOR), DayOfFilters([], [], 0))

    [one] = [one for one in found if one.sentence.startswith("TLS certificate: ")]
    assert "expires on" in one.sentence
    assert (one.severity, one.url) == (Severity.WARNING, "/health")
    assert "docs/tls.md" in one.fix


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.VIEWER])
def test_a_plugin_in_quarantine_is_a_problem_that_leads_to_its_page(
    browser: Open, core: Engine, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    """Those who may open it; no process is started for the dashboard while no server runs."""
    broken = Plugin("a/b", "acme", "1", PluginState.QUARANTINED, HOSTILE)
    one = browser(role)
    monkeypatch.setattr(core, "remembered_catalogue", RememberedCatalogue(lambda: Catalogue((broken,)), core.clock))
    before = problems(core, person(Role.VIEWER), DayOfFilters([], [], 0))
    core.remembered_catalogue.current(60)

    one.get("/")

    assert not any("quarantine" in found.sentence for found in before)
    assert one.sees("Problem: Plugin a/b is in quarantine: <img src=x")
    assert ('href="/plugins/a%2Fb"' in one.page) is (role is Role.ADMINISTRATOR)


def test_a_missing_server_is_a_problem(browser: Open, core: Engine) -> None:
    """At once, as soon as it is gone; none while it runs."""
    one = browser(Role.VIEWER)
    with core.running():
        one.get("/")
        with_server = one.sees("No server runs")
        until(lambda: not core.remembered_catalogue.is_under_way, "for the plugins that the dashboard has loaded")
    one.get("/")

    assert not with_server
    assert one.sees("Problem: No server runs: nothing is received or processed now.")
    assert "<code><bdi>postscan serve</bdi></code>" in one.page


def test_owners_have_no_dashboard(browser: Open, core: Engine) -> None:
    """Names of destinations and problems of the server are not theirs."""
    token = put(core, "Processing")
    deliver(core, token)
    one = browser(Role.OWNER)

    one.get("/")

    assert not one.sees("No server runs")
    assert "/srv/scans" not in one.page
    assert f'<tr id="row-{token}"' in one.page


def test_figures_are_read_once_for_all_who_look(browser: Open, core: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes some time is not read for each page."""
    reads = []
    monkeypatch.setattr(core.listing, "hours", lambda by: reads.append(by) or [])
    for role in (Role.VIEWER, Role.OPERATOR, Role.VIEWER):
        assert browser(role).get("/").status_code == 200

    assert len(reads) == 1
