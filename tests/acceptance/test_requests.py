"""Requests that come again, over the wire: a lost answer makes no second job, page or cancel (D14)."""

from __future__ import annotations

import uuid

import pytest
from acceptance.scanning import INVALID, Scanner, good, instructions, refusal
from acceptance.server import Server, running

FIXED = "uuid:UniqueMsgId"


def fresh() -> str:
    """Return a MessageID that was never used."""
    return f"urn:uuid:{uuid.uuid4()}"


def create(scanner: Scanner, message_id: str, root: str = "Invoice") -> str:
    """Ask for a job under a MessageID; return its token."""
    asked = instructions("copy", root=root)
    token = good(scanner.device.create(scanner.server.store(asked), asked, message_id=message_id)).find("JobToken")
    assert token
    return token


def test_every_request_of_a_job_may_come_twice(scanner: Scanner) -> None:
    """I25: equal answers, one effect; even when the job has moved on since."""
    ids = [fresh() for _ in range(4)]
    token = create(scanner, ids[0])
    for _ in range(2):
        good(scanner.device.send_image(token, 1, b"page", message_id=ids[1]))
    good(scanner.device.end(token, message_id=ids[2]))
    assert scanner.ended(token).state == "Completed"

    assert create(scanner, ids[0]) == token
    good(scanner.device.send_image(token, 1, b"page", message_id=ids[1]))
    good(scanner.device.end(token, message_id=ids[2]))

    assert scanner.status(token).images == 1


def test_a_cancel_may_come_twice(scanner: Scanner) -> None:
    """Although a job that has ended cannot be cancelled again (DSP-049)."""
    token, again = scanner.create("copy"), fresh()
    good(scanner.device.cancel(token, message_id=again))
    good(scanner.device.cancel(token, message_id=again))

    assert refusal(scanner.device.cancel(token)).subcode == "dsp:ClientErrorJobTokenNotFound"


@pytest.mark.parametrize("other", ["verb", "document", "bytes"])
def test_a_used_name_for_something_else_is_refused(scanner: Scanner, other: str) -> None:
    """I26: InvalidArgs, naming the MessageID; no effect."""
    token, used = scanner.create("copy"), fresh()
    good(scanner.device.send_image(token, 1, b"page", message_id=used))

    if other == "verb":
        answer = scanner.device.end(token, message_id=used)
    else:
        number, data = (2, b"page") if other == "document" else (1, b"other")
        answer = scanner.device.send_image(token, number, data, message_id=used)

    refused = refusal(answer)
    assert (refused.status, refused.subcode, refused.reason) == (400, "dsp:InvalidArgs", INVALID)
    assert refused.detail == ("MessageID", used)
    assert (scanner.status(token).state, scanner.status(token).images) == ("Creating", 1)


def test_a_text_that_names_nothing_is_not_taken_for_a_name(scanner: Scanner) -> None:
    """Some devices send a fixed text: two jobs under it are two jobs (ws-dsp.md quirk 2)."""
    assert create(scanner, FIXED) != create(scanner, FIXED)


def test_names_of_two_devices_have_nothing_to_do_with_each_other(server: Server, scanner: Scanner) -> None:
    """The device is part of the name."""
    used = fresh()

    assert create(scanner, used) != create(Scanner(server, "127.0.0.9"), used)


def test_an_answer_is_remembered_by_the_server_that_comes_after_a_kill(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """F-R20: across restarts, for it is stored with its effect."""
    with running(tmp_path_factory.mktemp("killed")) as server:
        scanner, used = Scanner(server), fresh()
        token = create(scanner, used)
        server.kill()
        server.start()

        assert create(Scanner(server), used) == token


def test_a_device_that_guesses_tokens_is_told_to_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    """T-O4: 20 in a minute; its own job still answers, and so does everybody else's."""
    with running(tmp_path_factory.mktemp("guessed"), {"limits": {"bad_tokens": 20}}) as server:
        guesser, other = Scanner(server, "127.0.0.5"), Scanner(server, "127.0.0.6")
        mine = guesser.create("copy")
        statuses = [guesser.device.elements(str(uuid.uuid4())).status for _ in range(21)]
        last = guesser.device.elements(str(uuid.uuid4()))

        assert statuses == [400] * 20 + [429]
        assert (last.status, last.body) == (429, b"")
        assert 0 < int(last.headers["retry-after"]) <= 60
        assert guesser.status(mine).state == "Creating"
        assert other.device.elements(str(uuid.uuid4())).status == 400
        assert server.log().count("request throttled") == 1
