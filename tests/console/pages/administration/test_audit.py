"""The page of the audit trail, and its file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest
from conftest import ANNA
from console_browser import Browser

from postscan.console.pages.administration import audit_csv
from postscan.core.engine import Engine
from postscan.core.model.principal import Principal, Proof, Role
from postscan.core.model.records import AuditLine
from postscan.plugins.testing.runner import EXAMPLE_TIME

EVIL = "<script>alert(1)</script>"
FORMULA = '=HYPERLINK("http://evil.example")'


@pytest.fixture
def site(browser: Callable[..., Browser]) -> Browser:
    """An administrator's browser."""
    return browser(Role.ADMINISTRATOR)


def write(core: Engine, number: int, who: str = ANNA.name, outcome: str = "done", detail: str = "") -> None:
    """Write so many lines, one an hour."""
    by = Principal(who, Proof.ADDRESS)
    for place in range(number):
        at = EXAMPLE_TIME + timedelta(hours=place)
        core.store.record(AuditLine.of(by, "cancel", f"job-{place}", at, outcome, detail))


def rows(text: str) -> list[list[str]]:
    """Return the rows of a CSV file without its head."""
    return list(csv.reader(io.StringIO(text)))[1:]


def next_address(page: str) -> str:
    """Return where the link to the next page leads; "" without one."""
    before, found, _ = page.partition('" rel="next"')
    return before.rpartition('href="')[2].replace("&amp;", "&") if found else ""


def test_lines_are_filtered_by_the_fields_of_the_address(site: Browser, core: Engine) -> None:
    """And the fields keep their values; the text of a device stays text."""
    write(core, 2, who=EVIL, outcome="refused", detail=FORMULA)
    write(core, 3)
    site.get(f"/audit?who={ANNA.name}&from=2026-01-01&to=2027-01-01T08:00")

    assert [f"job-{place}" in site.page for place in range(4)] == [True, True, True, False]
    assert 'value="2027-01-01T08:00"' in site.page
    site.get("/audit?outcome=refused")
    assert site.sees(EVIL)
    assert EVIL not in site.page
    assert "job-2" not in site.page


def test_pages_lead_to_older_lines(site: Browser, core: Engine) -> None:
    """By the link to the next page, up to the oldest line; each line once."""
    write(core, 120)
    address, found = "/audit?verb=cancel", []
    while address:
        site.get(address)
        found += [place for place in range(120) if f">job-{place}<" in site.page]
        address = next_address(site.page)

    assert sorted(found) == list(range(120))


@pytest.mark.parametrize("wrong", ["from=yesterday", "to=99999999", "to=9999-12-31T23:59-12:00"])
def test_a_wrong_date_says_at_its_field_what_was_expected(site: Browser, wrong: str) -> None:
    """With a status of 400."""
    assert site.get(f"/audit?{wrong}").status_code == 400
    assert site.sees("expected a date or a time in UTC")


@pytest.mark.parametrize("wrong", ["before=x", "before=0", f"before={'9' * 5000}", "who=a%00b", "token=%00"])
def test_an_address_that_no_page_leads_to_is_refused(site: Browser, wrong: str) -> None:
    """Also one with a character that PostgreSQL does not take."""
    assert site.get(f"/audit?{wrong}").status_code == 400


@pytest.mark.parametrize(
    "odd", ["from=0001-01-01", "to=0001-01-01", "from=9999-12-31", f"who={'x' * 10_000}", "verb=%25"]
)
def test_an_odd_address_is_a_search_like_any_other(site: Browser, core: Engine, odd: str) -> None:
    """At the ends of time, and with a text of any length."""
    write(core, 3)

    assert site.get(f"/audit?{odd}").status_code == 200


def test_a_search_that_finds_nothing_says_so(site: Browser) -> None:
    """With what leads on."""
    site.get("/audit?who=nobody")

    assert site.sees("No line was found here.")
    assert 'href="/audit">Clear' in site.page


def test_the_file_has_the_lines_of_the_search_and_no_formula(site: Browser, core: Engine) -> None:
    """A spreadsheet would follow a cell that begins as a formula: names of devices are not ours."""
    write(core, 1, who="@evil", detail=FORMULA, outcome="refused")
    write(core, 3, who="nobody else")
    response = site.get("/audit.csv?outcome=refused")
    ((number, at, who, *_, detail),) = rows(response.text)

    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in response.headers["content-disposition"]
    assert (at, who, detail) == ("2026-03-02T09:41:07.000Z", "'@evil", f"'{FORMULA}")
    assert number.isdecimal()
    assert site.get("/audit.csv?from=x").status_code == 400


def test_a_file_that_would_be_too_long_says_that_it_is_not_complete(
    site: Browser, core: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its last row; one with the most lines is complete."""
    monkeypatch.setattr(audit_csv, "MOST", 7)
    monkeypatch.setattr(audit_csv, "LINES", 3)
    write(core, 7, who="exactly")
    complete = rows(site.get("/audit.csv?who=exactly").text)
    write(core, 1, who="exactly")
    cut = rows(site.get("/audit.csv?who=exactly").text)

    assert len(complete) == 7
    assert len(cut) == 8
    assert cut[-1] == ["more than 7 lines: this file is not complete; give a shorter time"]
