"""SIDs: one rule for settings, certificates and requests."""

from __future__ import annotations

import pytest

from postscan.core.model.principal import is_sid


@pytest.mark.parametrize(
    "text",
    [
        "S-1-5-21-1-2-3-1001",
        "S-1-1-0",
        "S-1-0x100000000-1",
        "S-1-4294967295-4294967295",
        "S-1-5" + "-1" * 15,
    ],
)
def test_a_sid_is_recognised(text: str) -> None:
    """Decimal authorities, hexadecimal ones, and up to fifteen sub-authorities of 32 bits (ws-dsp.md section 10)."""
    assert is_sid(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "anna", "S-1", "S-1-5", "S-1-5-", "S-1-anna", "S-2-5-1", "s-1-5-1", " S-1-5-1", "S-1-5-1\n"),
        *("S-1-4294967296-1", "S-1-5-4294967296", "S-1-0xg-1", "S-1-0x1234567890123-1", "S-1-5-\u0663"),
        "S-1-5" + "-1" * 16,
    ],
)
def test_what_only_looks_like_a_sid_is_none(text: str) -> None:
    """Numbers beyond 32 bits, other digits than ASCII, and too many or too few parts are refused."""
    assert not is_sid(text)
