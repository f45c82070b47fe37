"""Whether one URI lies below another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.soap.xml.uris import is_below

SEGMENTS = st.lists(st.text("abc%2", min_size=1, max_size=3), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("asked", "ours", "below"),
    [
        ("http://a.example/x", "http://a.example/x", True),
        ("http://a.example/x/", "http://a.example/x", True),
        ("http://A.EXAMPLE/x", "http://a.example/x/y", True),
        ("http://a.example", "http://a.example/x/y", True),
        ("http://a.example/x", "http://a.example/xy", False),
        ("http://a.example/X", "http://a.example/x", False),
        ("http://a.example/x/y", "http://a.example/x", False),
        ("https://a.example/x", "http://a.example/x", False),
        ("http://b.example/x", "http://a.example/x", False),
        ("http://a.example/x/../y", "http://a.example/x/../y", False),
        ("http://[/x", "http://a.example/x", False),
    ],
)
def test_whole_segments_decide(asked: str, ours: str, below: bool) -> None:
    """dpws.md section 8.1 (RFC 2396): what has dots in it matches nothing."""
    assert is_below(asked, ours) is below


@given(SEGMENTS, SEGMENTS)
def test_a_path_is_below_each_beginning_of_it_and_nothing_else(segments: list[str], others: list[str]) -> None:
    """However it is cut."""
    ours = f"http://a.example/{'/'.join(segments)}"

    assert all(is_below(f"http://a.example/{'/'.join(segments[:n])}", ours) for n in range(len(segments) + 1))
    assert is_below(f"http://a.example/{'/'.join(others)}", ours) == (others == segments[: len(others)])
