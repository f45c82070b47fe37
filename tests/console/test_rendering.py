"""What templates show of values: durations, sizes, dates; and hostile texts, which stay text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import jinja2
import pytest
from console_browser import Browser

from postscan.console import rendering
from postscan.core.model.principal import Proof, Role, at_console

HOSTILE = ['<img src=x onerror="alert(1)">', "{{ 7 * 7 }}", "\u202egnp.exe", "'\"--></script><script>alert(1)</script>"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (12.4, "12 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (12_000, "3 h 20 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_has_the_unit_that_fits(seconds: float, shown: str) -> None:
    """A number, or a difference of two dates."""
    assert rendering.duration(seconds) == rendering.duration(timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1434, "1.4 KiB"), (3 << 20, "3.0 MiB"), (5 << 40, "5.0 TiB")]
)
def test_a_size_has_the_unit_that_fits(count: int, shown: str) -> None:
    """In powers of 1024."""
    assert rendering.size(count) == shown


def test_a_date_is_shown_in_utc() -> None:
    """Whatever its zone is; a script may show it in the browser's."""
    when = datetime(2026, 11, 30, 15, 0, 0, 250_000, timezone(timedelta(hours=1)))

    assert rendering.moment(when) == "2026-11-30 14:00:00 UTC"
    assert rendering.stamp(when) == "2026-11-30T14:00:00.250Z"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_stays_text(browser: Callable[..., Browser], text: str) -> None:
    """T-C2: here the name of a person, which is on each page."""
    one = browser(at_console(text, Proof.LINK, Role.VIEWER))
    page = one.get("/me").text

    assert "<img" not in page
    assert "<script>" not in page  # ours have attributes
    assert one.sees(text)


def test_a_long_text_is_cut(browser: Callable[..., Browser]) -> None:
    """A name of 500 characters, in the head of the page and in its heading."""
    page = browser(at_console("x" * 500, Proof.LINK, Role.VIEWER)).get("/me").text

    assert "x" * 201 not in page
    assert "x" * 39 + "…" in page


def test_an_unknown_name_in_a_template_is_an_error() -> None:
    """Else a page would leave out what it should show."""
    with pytest.raises(jinja2.UndefinedError):
        rendering.environment().from_string("{{ unknown }}").render()


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("/jobs?state=Held&after=3", "/jobs?state=Held&after=3"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("https://evil.example", "/"),
        ("jobs", "/"),
        ("", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_a_redirect_leads_to_a_path_of_the_console_alone(path: str, taken: str) -> None:
    """T-C1: the path may come from a request."""
    assert rendering.see_other(path).headers["location"] == taken
