"""The server's log: one event, one line; fixed messages, values as fields."""

from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("core", "soap", "plugins", "migrations", "doctor", "cli")
METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
RESERVED = {"event", "level", "logger", "timestamp", "exception"} | logging.makeLogRecord({}).__dict__.keys()


def log_of(form: str, code: str) -> str:
    """Return what a process with this log writes to stderr."""
    program = f"import logging; from postscan.cli.output import logs; logs.to_stderr({form!r})\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60).stderr


def test_an_event_is_one_line_of_text() -> None:
    """A value from a device cannot add a second line."""
    log = log_of("text", "logging.getLogger('a').warning('said %s', 'x\\n2026 info forged', extra={'token': '5\\n6'})")

    assert log.count("\n") == 1
    assert "warning said x\\n2026 info forged" in log
    assert 'token="5\\n6"' in log


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


def test_fields_follow_the_message() -> None:
    """As text each is `key=value`, in the order in which the call gives them."""
    code = "logging.getLogger('a').warning('worker killed', extra={'job': '5', 'grace': 2.5, 'path': Path('/a')})"
    log = log_of("text", "from pathlib import Path; " + code)

    assert log.endswith("warning worker killed logger=a job=5 grace=2.5 path=/a\n")


def test_a_value_cannot_be_read_as_another_field() -> None:
    """As text a value that is not one word is quoted."""
    shown = {
        "two words": '"two words"',
        "a job=6": '"a job=6"',
        '"': r'"\""',
        "": '""',
        "a\x1b[2J": r"a\x1b[2J",
        "Löwe": "Löwe",
        None: "None",
    }
    log = log_of(
        "text",
        f"for value in {list(shown)!r}: logging.getLogger('a').info('sent', extra={{'to': value, 'tries': 2}})",
    )

    assert [line.partition(" to=")[2] for line in log.splitlines()] == [f"{one} tries=2" for one in shown.values()]


def test_fields_keep_their_type_in_json() -> None:
    """A number stays a number; what JSON does not know is written as its text."""
    code = "logging.getLogger('a').info('sent', extra={'tries': 2, 'path': Path('/a'), 'gap': None})"
    event = json.loads(log_of("json", "from pathlib import Path; " + code))

    assert (event["tries"], event["path"], event["gap"]) == (2, "/a", None)


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield every call of a logger in the shipped packages, with its file and line."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method)) if method in METHODS:
                        yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_log_line_has_a_fixed_message_and_its_values_as_fields() -> None:
    """Then one message finds all events of a kind, and a field all events of a job."""
    calls = list(log_calls())

    assert len(calls) > 30
    assert [where for where, call in calls if not _is_fixed(call)] == []


def _is_fixed(call: ast.Call) -> bool:
    assert isinstance(call.func, ast.Attribute)
    messages = call.args[1:] if call.func.attr == "log" else call.args
    extra = next((one.value for one in call.keywords if one.arg == "extra"), None)
    keys = extra.keys if isinstance(extra, ast.Dict) else []
    match messages:
        case [ast.Constant(value=str(message))]:
            return "%" not in message and not RESERVED & {key.value for key in keys if isinstance(key, ast.Constant)}
    return False


LEVELS = ("debug", "info", "warning", "error")


def test_the_log_begins_at_its_level() -> None:
    """Of our own packages; what other libraries log below INFO is never there."""
    code = (
        f"for level in {LEVELS!r}:\n"
        "    logs.set_level(level)\n"
        f"    for one in {LEVELS!r}:\n"
        "        for name in ('postscan.core', 'a'):\n"
        "            getattr(logging.getLogger(name), one)(f'at {level}: {one} of {name}')\n"
    )
    found = [line.partition(" at ")[2].partition(" logger=")[0] for line in log_of("text", code).splitlines()]

    assert found == [
        f"{level}: {one} of {name}"
        for level in LEVELS
        for one in LEVELS[LEVELS.index(level) :]
        for name in ("postscan.core", "a")
        if (name, one) != ("a", "debug")
    ]
