"""Text of strangers on the terminal and in the log."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from postscan.cli.output.terminal import plain
from postscan.core.model.process import short_name


def test_text_of_a_stranger_cannot_steer_the_terminal() -> None:
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


def log_of(form: str, code: str) -> str:
    """Return what a process with this log writes to stderr."""
    program = f"import logging; from postscan.cli.output import logs; logs.to_stderr({form!r})\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60).stderr


def test_an_event_is_one_line_of_text() -> None:
    """What a device said cannot make a second line in the log."""
    log = log_of("text", "logging.getLogger('a').warning('said %s', 'x\\n2026 info forged', extra={'token': '5\\n6'})")

    assert log.count("\n") == 1
    assert "warning said x\\n2026 info forged" in log
    assert "token=5\\n6" in log


def test_an_event_is_one_json_object() -> None:
    """For a collector: one object a line, extras as fields."""
    log = log_of("json", "logging.getLogger('a').error('said %s', 'x\\ny', extra={'token': '5'})")
    event = json.loads(log)

    assert log.count("\n") == 1
    assert (event["event"], event["level"], event["logger"], event["token"]) == ("said x\ny", "error", "a", "5")


def test_an_exception_brings_its_traceback() -> None:
    """In the text form it stands below its event, every line of it printable."""
    code = "try: raise ValueError('a\\x1b[2Jb')\nexcept ValueError: logging.getLogger('a').exception('it broke')"
    head, *traceback = log_of("text", code).splitlines()

    assert "it broke" in head
    assert traceback[-1] == "ValueError: a\\x1b[2Jb"


def test_debug_is_not_logged() -> None:
    """The log begins at INFO."""
    log = log_of("text", "logging.getLogger('a').debug('small'); logging.getLogger('a').info('large')")

    assert "small" not in log
    assert "large" in log
