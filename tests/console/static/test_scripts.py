"""The scripts and sheets of the console: what they weigh, and where they are from."""

from __future__ import annotations

import hashlib
import re

from documents import ROOT, page

STATIC = ROOT / "console" / "static"


def test_the_script_of_others_is_the_one_that_the_page_beside_it_names() -> None:
    """Nobody changes it unnoticed."""
    named = re.search(r"SHA-256 of `idiomorph.min.js`: `([0-9a-f]{64})`", page("console/static/README.md"))

    assert named
    assert hashlib.sha256((STATIC / "idiomorph.min.js").read_bytes()).hexdigest() == named[1]


def test_what_browsers_load_is_small() -> None:
    """A page on a slow line is there at once."""
    assert (STATIC / "live.js").stat().st_size <= 4 << 10
    assert (STATIC / "console.css").stat().st_size <= 16 << 10


def test_our_script_makes_no_code_of_text_and_asks_no_other_host() -> None:
    """The policy of the pages would forbid both; this finds it without a browser."""
    script = (STATIC / "live.js").read_text()

    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|Function\(|https?://", script) == []
    assert script.count("createHTML") == 2  # the policy, and the parser, whose documents run no scripts
