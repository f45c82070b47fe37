"""How long, or until when: read and written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from postscan.soap.xml import durations

NOW = datetime(2026, 3, 2, 9, 41, 7, 125_000, tzinfo=UTC)
EXPIRATION = etree.XMLSchema(
    etree.fromstring(
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="d" type="xs:duration"/>'
        '<xs:element name="t" type="xs:dateTime"/></xs:schema>'
    )
)
COUNT = st.integers(0, 10_000)


def is_valid(name: str, text: str) -> bool:
    """Return whether XML Schema takes the text."""
    element = etree.Element(name)
    element.text = text
    return EXPIRATION.validate(element)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT1H", 3600),
        ("PT60M", 3600),
        ("P0Y0M0DT30H0M0S", 108_000),
        ("P1Y2M3DT4H5M6.75S", (365 + 60 + 3) * 86_400 + 4 * 3600 + 5 * 60 + 6.75),
        ("P1D", 86_400),
        ("PT0S", 0),
        ("-PT5M", -300),
    ],
)
def test_every_field_of_a_duration_counts(text: str, seconds: float) -> None:
    """dpws.md section 8.1."""
    expiry = durations.read(text)

    assert expiry.lasts(NOW) == seconds
    assert (expiry.text, expiry.absolute) == (text, False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-02T10:41:07.125Z", 3600),
        ("2026-03-02T10:41:07.125", 3600),
        ("2026-03-02T12:41:07.125000000+02:00", 3600),
        ("2026-03-02T09:41:07Z", -0.125),
    ],
)
def test_a_date_lasts_until_it_comes(text: str, seconds: float) -> None:
    """DPW-064: with a zone, or else in UTC."""
    expiry = durations.read(text)

    assert expiry.lasts(NOW) == seconds
    assert expiry.absolute


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1DT", "1H", "PT1H ", "pt1h", "PT1.S", "P1S", "PT-1H", "PT١S", "P1W", "PT1H\n"),
        *(f"PT{'9' * 255}S", "tomorrow", "2026-03-02", "2026-13-02T10:41:07Z", "2026-03-02T25:41:07Z"),
        *("2026-03-02T10:41:07+25:00", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Neither a duration nor a date; the error has a sentence."""
    with pytest.raises(ValueError, match=r"\w"):
        durations.read(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "PT0S"),
        (0.1, "PT1S"),
        (60, "PT1M"),
        (3600, "PT1H"),
        (7032, "PT1H57M12S"),
        (86_400, "P1D"),
        (90_000, "P1DT1H"),
    ],
)
def test_a_duration_is_written_without_fields_that_are_zero(seconds: float, text: str) -> None:
    """What has just begun to run out is still there: fractions are rounded up."""
    assert durations.write(seconds) == text


def test_a_moment_is_written_in_utc() -> None:
    """Whole seconds will do."""
    assert durations.write_moment(NOW, 3600) == "2026-03-02T10:41:07Z"


@given(COUNT, COUNT, COUNT, COUNT, COUNT, COUNT)
def test_what_schema_takes_for_a_duration_is_read(y: int, mo: int, d: int, h: int, mi: int, s: int) -> None:
    """And it is as long as its fields say."""
    text = f"P{y}Y{mo}M{d}DT{h}H{mi}M{s}S"

    assert is_valid("d", text)
    assert durations.read(text).seconds == (y * 365 + mo * 30 + d) * 86_400 + h * 3600 + mi * 60 + s


@given(st.integers(0, 10**9))
def test_what_is_written_is_read_as_what_it_was(seconds: int) -> None:
    """By us, and by XML Schema."""
    text, moment = durations.write(seconds), durations.write_moment(NOW, seconds)

    assert is_valid("d", text)
    assert is_valid("t", moment)
    assert durations.read(text).seconds == seconds
    assert durations.read(moment).lasts(NOW.replace(microsecond=0)) == seconds


@given(st.text("PTYMDHS0123456789.-:+Z", max_size=24))
def test_nothing_is_read_that_schema_refuses(text: str) -> None:
    """But for the dates of a calendar that ours does not have."""
    try:
        expiry = durations.read(text)
    except ValueError:
        return

    assert is_valid("t" if expiry.absolute else "d", text)


@given(st.datetimes(), st.integers(-840, 840))
def test_dates_of_every_zone_are_read(moment: datetime, minutes: int) -> None:
    """To the microsecond."""
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{moment.isoformat()}{sign}{hours:02}:{rest:02}"

    try:
        expected = (moment - timedelta(minutes=minutes)).replace(tzinfo=UTC)
    except OverflowError:
        return  # there is no such year in UTC

    assert durations.read(text).moment == expected
