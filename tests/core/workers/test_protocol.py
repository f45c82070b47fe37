"""Messages between the server and a worker."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.filters.facts import Document, JobFacts
from postscan.core.model import json_lines
from postscan.core.model.principal import User
from postscan.core.workers import protocol

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
tables = st.dictionaries(st.text(), values, max_size=5)
TEXT = st.text(max_size=50)
ABOUT = {"document": 1, "destination": "d", "name": "n"}
FILTER = {"dialect": "urn:x", "title": "X", "summary": "", "grace": 1.5, "lacks": [], "checks": False}
DECLARED = FILTER | {"instructions": None, "settings": []}


@given(tables)
def test_an_order_arrives_as_it_was_sent(settings: dict[str, Any]) -> None:
    """Whatever JSON can say crosses the socket unchanged."""
    order = protocol.RunOrder(
        plugin="acme",
        dialect="urn:acme",
        workdir=Path("/run/x"),
        instructions="<do/>",
        settings=settings,
        job=JobFacts("job", "Test", datetime(2026, 3, 2, 9, 41, 7, tzinfo=UTC)),
        user=User("S-1-0-0", "anna"),
        documents=(Document(1, "png", 7, "00", Path("/spool/1"), "one.png"),),
        earlier=(protocol.EarlierOutput(document=None, destination="d", name="n"),),
    )

    assert protocol.read_order(protocol.write(order)) == order


@given(tables)
def test_a_message_is_one_line(settings: dict[str, Any]) -> None:
    """Messages are separated by line ends, so none may hold one."""
    line = protocol.write(protocol.ProbeOrder(plugin="acme", settings=settings))

    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")


@given(st.none() | st.integers(1, (1 << 31) - 1), TEXT, TEXT)
def test_what_a_filter_sends_arrives_in_a_form_that_every_database_takes(
    document: int | None, destination: str, name: str
) -> None:
    """T-P6: the rest of the text is unchanged."""
    message = protocol.GrantRequest(document=document, destination=destination, name=name)
    arrived = protocol.read_message(protocol.write(message))

    assert arrived == message
    assert "\0" not in message.name + message.destination
    assert message.name == name.replace("\0", "?")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[1]", "expected an object, got list"),
        (b'"cancel"', "expected an object, got str"),
        (b"{\xff}", "can't decode"),
        (b"\x80\x04N.", "can't decode"),
        (b"[" * 100_000, "recursion"),
        (b'{"a":"\\u0000","b":' + b"[" * 700 + b"]" * 700 + b"}", "more than 32 lists"),
        (b'{"type":"done","documents":' + b"[" * 32 + b"]" * 32 + b"}", "more than 32 lists"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(data: bytes, problem: str) -> None:
    """Cut off, no object, a pickle, nested without end: an error that says which (a worker is not trusted)."""
    with pytest.raises(protocol.BadMessage, match=problem):
        protocol.read_message(data)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({}, "Unable to extract tag"),
        ({"type": None}, "Input tag 'None'"),
        ({"type": ["done"]}, "Input tag"),
        ({"type": "x" * 1000}, "Input tag 'xxx"),
        ({"type": "run"}, "Input tag 'run'"),
        ({"end": "done"}, "Unable to extract tag"),
        ({"type": "done", "more": 1}, "done.more: "),
        ({"type": "done", "warnings": 7}, "done.warnings: "),
        ({"type": "done", "warnings": [7]}, "done.warnings.0: "),
        ({"type": "done", "warnings": ["x" * (protocol.SENTENCE + 1)]}, "done.warnings.0: .* at most 2000"),
        ({"type": "done", "documents": "all"}, "done.documents: "),
        ({"type": "failed", "reasons": 7, "error": ""}, "failed.reasons: "),
        ({"type": "failed", "reasons": [["x"], {}, None] * 1000, "error": ""}, "failed.reasons.0: "),
        ({"type": "failed", "reasons": [], "error": None}, "failed.error: "),
        ({"type": "broken", "error": {"x": 1}}, "broken.error: "),
        ({"type": "broken", "error": "", "traceback": "x" * (protocol.TRACEBACK + 1)}, "broken.traceback: "),
        ({"type": "picture-made", "pages": 0}, "picture-made.pages: "),
        ({"type": "picture-made", "pages": "1"}, "picture-made.pages: "),
        ({"type": "diagnosed", "found": ["x"] * (protocol.SENTENCES + 1)}, "diagnosed.found: "),
        ({"type": "grant"} | ABOUT | {"document": 0}, "grant.document: "),
        ({"type": "grant"} | ABOUT | {"document": 1 << 31}, "grant.document: "),
        ({"type": "grant"} | ABOUT | {"document": 1.0}, "grant.document: "),
        ({"type": "grant"} | ABOUT | {"document": True}, "grant.document: "),
        ({"type": "grant"} | ABOUT | {"document": "1"}, "grant.document: "),
        ({"type": "grant"} | ABOUT | {"document": float("inf")}, "grant.document: "),
        ({"type": "grant"} | ABOUT | {"name": "x" * (protocol.NAME + 1)}, "grant.name: "),
        ({"type": "published"} | ABOUT | {"destination": 7}, "published.destination: "),
        ({"type": "withdrawn", "document": 1, "name": "n"}, "withdrawn.destination: "),
        ({"type": "progress", "done": "1", "total": 2, "unit": "pages"}, "progress.done: "),
        ({"type": "progress", "done": 1, "total": 10**400, "unit": "pages"}, "progress.total: "),
        ({"type": "log", "level": 7, "text": ""}, "log.level: "),
        ({"type": "log", "level": "info", "text": "x" * (protocol.SENTENCE + 1)}, "log.text: "),
        ({"type": "declared", "filters": [DECLARED | {"grace": float("nan")}]}, "declared.filters.0.grace: "),
        ({"type": "declared", "filters": [DECLARED | {"grace": 10**400}]}, "declared.filters.0.grace: "),
        ({"type": "declared", "filters": [DECLARED | {"grace": -1}]}, "declared.filters.0.grace: "),
        ({"type": "declared", "filters": [DECLARED | {"checks": "yes"}]}, "declared.filters.0.checks: "),
        ({"type": "declared", "filters": [FILTER]}, "declared.filters.0.instructions: "),
    ],
)
def test_a_message_that_is_not_of_the_protocol_is_refused(message: dict[str, Any], problem: str) -> None:
    """T-P6: unknown type, wrong kind, missing, unknown or too long field; the reason is one short line."""
    with pytest.raises(protocol.BadMessage, match=problem) as caught:
        protocol.read_message(json.dumps(message).encode())

    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


def test_an_order_and_a_message_of_a_worker_are_never_the_same() -> None:
    """A worker cannot send an order, and the server sends no result."""
    kinds = [one.model_fields["type"].default for union in MESSAGES for one in get_args(union)]

    assert len(kinds) == len(set(kinds))


MESSAGES = (protocol.Order, protocol.RunMessage, protocol.Result)


@pytest.mark.parametrize(
    ("text", "stored"), [("\ud800\0", "??"), ("a\udfffb", "a?b"), ("\u00e9\U0001f600", "\u00e9\U0001f600")]
)
def test_unprintable_halves_and_nul_become_question_marks(text: str, stored: str) -> None:
    """T-P6: no database takes them; whichever side makes the message."""
    sent = json.dumps({"type": "grant", "document": None, "destination": text, "name": "n"}).encode()
    arrived = protocol.read_message(sent)

    assert isinstance(arrived, protocol.GrantRequest)
    assert arrived.destination == stored
    assert protocol.OrderBroken(error=text).error == stored


def test_a_message_may_be_as_deep_as_the_limit_and_have_many_lists() -> None:
    """What is deeper is refused: see above."""
    for documents in ("[" * 31 + "]" * 31, "[" + ",".join(["[1,null,0]"] * 100) + "]"):
        assert protocol.read_message(f'{{"type":"done","documents":{documents}}}'.encode())


def test_a_destination_fits_into_an_index() -> None:
    """T-P6: it is part of a key, and PostgreSQL takes 2,704 bytes."""
    most = {"type": "grant", "document": 1, "destination": "\u20ac" * 833 + "x", "name": "n"}

    assert protocol.read_message(json.dumps(most).encode())
    with pytest.raises(protocol.BadMessage, match="2501 bytes in UTF-8; expected at most 2500"):
        protocol.read_message(json.dumps(most | {"destination": "\u20ac" * 833 + "xy"}).encode())


def test_a_message_may_be_as_long_as_the_limit_and_no_longer() -> None:
    """What a filter sends beyond the limit is refused by its length, before it is parsed."""
    frame = b'{"type":"done","documents":[""]}'
    longest = frame.replace(b'""', b'"' + b"x" * (json_lines.LONGEST - len(frame)) + b'"')

    assert len(longest) == json_lines.LONGEST
    assert isinstance(protocol.read_message(longest), protocol.FilterDone)
    with pytest.raises(protocol.BadMessage, match="bytes"):
        protocol.read_message(longest + b" ")
