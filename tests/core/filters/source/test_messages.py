"""Messages between the server and a source."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.filters.source import messages
from postscan.core.model import json_lines

TEXT = st.text(max_size=50)
OPEN = {"type": "open", "id": 1, "key": "k", "destination": "d", "proof": "device", "subject": "10.0.0.9"}
SERVER: list[messages.ServerMessage] = [
    messages.InletStarted(
        plugin="folder",
        inlet="front-desk",
        settings={"every": 2.5, "names": ["a", "b"]},
        destinations=(
            {"id": "d1", "label": "Invoices"},
            {"id": "d2", "label": "Notes", "ticket": {"formats": ["jfif", "pdf-a"], "x_resolution": 300}},
        ),
        folder="/var/lib/inlet",
        workdir="/run/inlet",
    ),
    messages.JobOpened(id=1, job="7B0E"),
    messages.KeyTaken(id=2, job="7B0E"),
    messages.InletBusy(id=3, seconds=2.5, full=True),
    messages.RequestRefused(id=4, reason="no such destination"),
    messages.RequestLate(id=5, reason="the job was cancelled"),
    messages.RequestDone(id=6),
    messages.AccountChecked(id=7, right=True),
    messages.StateReply(id=8, state="Processing", reasons=("x",)),
    messages.JobCancelled(job="7B0E", reason="by an administrator"),
    messages.InletStop(reason="the server stops"),
    messages.PullRequest(destination="d1"),
    messages.DestinationsChanged(destinations=({"id": "d1", "label": "Invoices", "ticket": {"images": 2}},)),
]


@given(TEXT, TEXT, TEXT, st.sampled_from(get_args(messages.ProofKind)))
def test_an_open_arrives_in_a_form_that_every_database_takes(key: str, subject: str, name: str, proof: Any) -> None:
    """Keys and names come from mails and file systems; the rest of the text is unchanged."""
    sent = messages.OpenRequest(id=1, key=key, destination="d", proof=proof, subject=subject, name=name)
    arrived = messages.read_source(messages.write(sent))

    assert arrived == sent
    assert sent.key == key.replace("\0", "?")
    assert "\0" not in sent.subject + sent.name


@pytest.mark.parametrize("message", SERVER, ids=lambda message: message.type)
def test_a_message_of_the_server_arrives_as_it_was_sent(message: messages.ServerMessage) -> None:
    """In one line, whatever is in it."""
    line = messages.write(message)

    assert messages.read_server(line) == message
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")


def test_every_message_of_the_server_is_among_those() -> None:
    """The list above."""
    assert {type(message) for message in SERVER} == set(get_args(messages.ServerMessage))


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({}, "Unable to extract tag"),
        ({"type": "opened", "id": 1, "job": "x"}, "Input tag 'opened'"),
        (OPEN | {"id": -1}, "open.id: "),
        (OPEN | {"id": "1"}, "open.id: "),
        (OPEN | {"id": True}, "open.id: "),
        (OPEN | {"user": "S-1-5-18"}, "open.user: "),
        (OPEN | {"proof": "local-ish"}, "open.proof: "),
        (OPEN | {"key": 7}, "open.key: "),
        (OPEN | {"key": "\u20ac" * 833 + "xy"}, "2501 bytes in UTF-8; expected at most 2500"),
        (OPEN | {"subject": "x" * (json_lines.NAME + 1)}, "open.subject: "),
        (OPEN | {"remember_seconds": float("inf")}, "open.remember_seconds: "),
        (OPEN | {"remember_seconds": -1.0}, "open.remember_seconds: "),
        ({"type": "leave", "id": 1, "job": "x", "bytes": -1}, "leave.bytes: "),
        ({"type": "leave", "id": 1, "job": "x" * 65, "bytes": 1}, "leave.job: "),
        ({"type": "page", "id": 1, "job": "x", "path": None}, "page.path: "),
        ({"type": "page", "id": 1, "job": "x", "path": "p", "whole": 1}, "page.whole: "),
        ({"type": "fail", "id": 1, "job": "x", "reason": "x" * (json_lines.SENTENCE + 1)}, "fail.reason: "),
        ({"type": "told", "id": 1, "job": "x", "outcome": "maybe"}, "told.outcome: "),
        ({"type": "health", "state": "fine"}, "health.state: "),
        ({"type": "log", "level": "info", "message": "m", "fields": {"a": 1}}, "log.fields.a: "),
        ({"type": "log", "level": "info", "message": "m", "fields": {str(n): "" for n in range(21)}}, "log.fields: "),
        ({"type": "declared", "title": "t", "api": 1, "proofs": ["all"], "grace": 1.0}, "declared.proofs.0: "),
        ({"type": "declared", "title": "t", "api": 1, "proofs": [], "grace": float("nan")}, "declared.grace: "),
    ],
)
def test_a_message_that_is_not_of_the_protocol_is_refused(message: dict[str, Any], problem: str) -> None:
    """Unknown type, wrong kind, missing, unknown or too long field; the reason is one short line."""
    with pytest.raises(json_lines.BadMessage, match=problem) as caught:
        messages.read_source(json.dumps(message).encode())

    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


def test_a_source_and_the_server_never_send_the_same() -> None:
    """But for `state`, which is a question and its reply: no side can speak for the other."""
    kinds = [
        {one.model_fields["type"].default for one in get_args(union)}
        for union in (messages.SourceMessage, messages.ServerMessage)
    ]

    assert kinds[0] & kinds[1] == {"state"}


def test_no_password_is_shown_with_its_message() -> None:
    """Messages are in tracebacks and log lines."""
    sent = messages.PasswordRequest(id=1, account="ann", password="correct horse")

    assert "horse" not in repr(sent) + str(sent)
    assert b"horse" in messages.write(sent)


@pytest.mark.parametrize(
    "fields", [{"account": 7}, {"account": "a", "password": ["correct horse"]}, {"passwort": "horse"}]
)
def test_no_password_is_shown_in_an_error_about_its_message(fields: dict[str, Any]) -> None:
    """T-S6: it goes to a log, or to the origin."""
    with pytest.raises(ValueError) as caught:
        messages.PasswordRequest(**({"id": 1, "account": "ann", "password": "correct horse"} | fields))

    assert "horse" not in str(caught.value)
