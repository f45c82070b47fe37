"""Foreign text on the terminal."""

from __future__ import annotations

import pytest

from postscan.cli.output.terminal import plain
from postscan.core.model.process import short_name


def test_foreign_text_cannot_steer_the_terminal() -> None:
    """Escape sequences, line ends and text that runs backwards are shown, not obeyed."""
    assert plain("a\x1b[31mb\r\nc\x9b0m\u202ed") == "a\\x1b[31mb\\r\\nc\\x9b0m\\u202ed"


def test_printable_text_stays_as_it_is() -> None:
    """Names are names, in every script."""
    assert plain("Löwe 獅子 \\ [bold]") == "Löwe 獅子 \\ [bold]"


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [("http://example.org/filter/fileshare", "fileshare"), ("urn:postscan:2026:filter:stamp", "stamp"), ("x/", "x")],
)
def test_a_filter_is_called_by_the_last_word_of_its_dialect(dialect: str, expected: str) -> None:
    """People say fileshare, not its URI."""
    assert short_name(dialect) == expected
