"""The conversation with the mail server, and every way in which it can go wrong."""

from __future__ import annotations

import base64
import os
import socket

import pytest
from certificates import Authority
from odd_hosts import chatterbox
from smtp import CUT, HANG, LOST, MailServer, certified

from postscan.core.model.states import FilterState
from postscan.plugins.filters.email import Email
from postscan.plugins.testing import run_filter

ANNA, BEN = "anna@fabrikam.example", "ben@fabrikam.example"
LOGIN = {"user": "postscan", "password": "hush-hush"}


@pytest.fixture(scope="module")
def _certified(tmp_path_factory):
    return certified(tmp_path_factory.mktemp("mail"))


@pytest.fixture
def tls(_certified):
    """How the mail server speaks TLS."""
    return _certified[0]


@pytest.fixture
def ca_file(_certified):
    """The certificate that a client needs for it."""
    return _certified[1]


@pytest.fixture
def pages(tmp_path):
    """Two pages of 100 kB."""
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path in paths:
        path.write_bytes(os.urandom(100_000))
    return paths


def run(port, pages, *addresses, **more):
    """Run the filter against a mail server."""
    settings = {"host": "127.0.0.1", "port": port, "sender": "scans@fabrikam.example", "seconds": 20, "tries": 2}
    return run_filter(
        Email(),
        pages,
        instructions=Email.Instructions(addresses=addresses or (ANNA,)),
        settings={**settings, **more},
    )


def verdict(result):
    return result.outcome, result.reasons


INVALID = (FilterState.ERRORS, ("InvalidSMTPServer",))
UNSENT = (FilterState.ERRORS, ("UnableToSendEmail",))


# --- what may go better in a moment ------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "BODY", "."])
@pytest.mark.parametrize("answer", ["451 4.3.0 later", "421 4.3.2 busy", CUT])
def test_what_may_go_better_in_a_moment_is_tried_again(pages, pauses, verb, answer):
    """At every verb, on a new connection, and the mail arrives once (F-R15)."""
    with MailServer({verb: [answer]}) as server:
        result = run(server.port, pages)

    assert result.outcome is FilterState.SUCCEEDED, result.detail
    assert (len(server.messages), server.connections) == (1, 2)
    assert [text.endswith("; next attempt in 0.5 s") for _, text in result.log] == [True]
    assert pauses == [0.5]
    assert len(result.published) == 1


@pytest.mark.parametrize(
    ("verb", "expected"),
    [("CONNECT", INVALID), ("EHLO", INVALID), ("MAIL", UNSENT), ("RCPT", UNSENT), ("DATA", UNSENT), (".", UNSENT)],
)
def test_it_is_not_tried_for_ever(pages, pauses, verb, expected):
    """`tries` times in all; then the server's words are the detail."""
    with MailServer({verb: ["451 4.3.0 come back later"] * 9}) as server:
        result = run(server.port, pages)

    assert verdict(result) == expected
    assert (server.connections, pauses) == (2, [0.5])
    assert "451 4.3.0 come back later" in result.detail
    assert (server.messages, result.published) == ([], [])


def test_if_the_answer_to_the_dot_is_lost_the_same_mail_comes_again(pages):
    """At least once; and a mailbox can tell the second copy by its Message-ID, and by every byte (F-R15, F-S16)."""
    with MailServer({".": [LOST]}) as server:
        result = run(server.port, pages)

    first, second = server.messages
    assert result.outcome is FilterState.SUCCEEDED
    assert first.content == second.content
    assert [name for _, _, name in result.published] == [first.parsed["Message-ID"]]


def test_if_the_answer_to_the_dot_stays_lost_the_detail_says_so(pages, pauses):
    """Nobody knows whether it was sent."""
    with MailServer({".": [CUT, LOST]}) as server:
        result = run(server.port, pages)

    assert verdict(result) == UNSENT
    assert "the mail may have arrived nevertheless" in result.detail
    assert pauses == [0.5]


def test_a_server_that_is_not_there_is_named(pages, pauses):
    """InvalidSMTPServer, with address and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = run(port, pages)

    assert verdict(result) == INVALID
    assert (
        result.detail == f"127.0.0.1:{port}: cannot be reached: Connection refused; given up: the limit is 2 attempts"
    )
    assert pauses == [0.5]


def test_a_host_whose_name_cannot_be_one_is_not_there_either(pages, pauses):
    """The resolver refuses it by itself: a label may have 63 characters."""
    result = run(25, pages, host="a" * 70)

    assert verdict(result) == INVALID
    assert pauses == [0.5]


def test_a_server_that_says_nothing_has_its_time(pages):
    """`seconds` for each answer."""
    with MailServer({"EHLO": [HANG]}) as server:
        result = run(server.port, pages, seconds=3, tries=1)

    assert verdict(result) == INVALID
    assert result.detail.endswith("the connection broke: no answer within 3 s")


@pytest.mark.parametrize(
    ("line", "words"), [(b"220-hi\r\n", "its answer is longer than"), (b"220 hi ", "Line too long.")]
)
def test_a_server_that_never_stops_talking_is_left(pages, line, words):
    """Its greeting has its size, in lines and in characters (T-F9, F-R15)."""
    with chatterbox(line) as port:
        result = run(port, pages, tries=1, seconds=600)

    assert verdict(result) == INVALID
    assert words in result.detail


# --- what does not go better -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "answer", "expected"),
    [
        ("CONNECT", "554 no service", INVALID),
        ("CONNECT", "HTTP/1.1 400 Bad Request", INVALID),
        ("EHLO", "550 go away", INVALID),
        ("MAIL", "550 not from you", UNSENT),
        ("RCPT", "550 no such user", UNSENT),
        ("DATA", "554 no", UNSENT),
        (".", "552 5.3.4 too much", UNSENT),
        (".", "554 spam", UNSENT),
    ],
)
def test_a_refusal_is_final(pages, verb, answer, expected):
    """It is tried once, and the server's words are the detail."""
    with MailServer({verb: [answer]}) as server:
        result = run(server.port, pages)

    assert verdict(result) == expected
    assert answer.partition(" ")[2] in result.detail
    assert (server.connections, server.messages, result.published) == (1, [], [])


def test_some_refused_recipients_keep_nobody_else_from_it(pages):
    """The others get it; then it has failed, and says for whom (P-8)."""
    with MailServer({"RCPT": ["550 5.1.1 no such user"]}) as server:
        result = run(server.port, pages, ANNA, BEN)

    assert server.messages[0].recipients == [BEN]
    assert verdict(result) == UNSENT
    assert result.detail == f"{ANNA} was refused: 550 5.1.1 no such user"
    assert len(result.published) == 1


def test_a_recipient_who_is_refused_for_now_gets_it_together_with_the_others(pages, pauses):
    """Nobody gets it twice."""
    with MailServer({"RCPT": ["451 greylisted"]}) as server:
        result = run(server.port, pages, ANNA, BEN)

    assert result.outcome is FilterState.SUCCEEDED
    assert [mail.recipients for mail in server.messages] == [[ANNA, BEN]]
    assert pauses == [0.5]


def test_a_recipient_who_is_refused_for_too_long_keeps_nobody_else_from_it(pages, pauses):
    """At the last try the others get it."""
    with MailServer({"RCPT": ["451 greylisted", "250 ok", "451 greylisted"]}) as server:
        result = run(server.port, pages, ANNA, BEN)

    assert [mail.recipients for mail in server.messages] == [[BEN]]
    assert pauses == [0.5]
    assert result.detail == f"{ANNA} was refused: 451 greylisted"


def test_what_a_server_says_comes_out_as_one_short_line(pages):
    """No control characters in details and logs (T-F12)."""
    with MailServer({"MAIL": ["550 no\x1b[31m\tway " + "x" * 400]}) as server:
        result = run(server.port, pages)

    assert result.detail.isprintable()
    assert len(result.detail) < 300


# --- encryption --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
def test_the_mail_and_the_password_go_through_tls(pages, tls, ca_file, kind):
    """Both ways of it, with a login."""
    with MailServer(tls=tls, implicit=kind == "implicit", accounts={"postscan": "hush-hush"}) as server:
        result = run(server.port, pages, tls=kind, ca_file=ca_file, **LOGIN)

    assert result.outcome is FilterState.SUCCEEDED, result.detail
    assert (server.encrypted, server.logins) == ([True], ["postscan"])


@pytest.mark.parametrize("script", [{}, {"STARTTLS": ["502 not today"]}], ids=["not offered", "refused"])
def test_without_starttls_nothing_is_said_in_the_clear(pages, tls, ca_file, script):
    """No falling back, and no mail (T-F9)."""
    with MailServer(script, tls=tls if script else None) as server:
        result = run(server.port, pages, tls="starttls", ca_file=ca_file, **LOGIN)

    assert verdict(result) == INVALID
    assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(server.heard)


def test_what_somebody_adds_in_the_clear_is_not_taken_for_an_answer(pages, tls, ca_file):
    """What came before TLS is forgotten, even if it came together with the answer to STARTTLS (RFC 3207)."""
    with MailServer({"READY": ["250-mail.test\r\n250 SIZE 1000"]}, tls=tls) as server:
        result = run(server.port, pages, tls="starttls", ca_file=ca_file)

    assert "READY" in server.heard
    assert result.outcome is FilterState.SUCCEEDED, result.detail


def test_starttls_that_is_refused_for_now_is_tried_again(pages, pauses, tls, ca_file):
    """454 says so (RFC 3207)."""
    with MailServer({"STARTTLS": ["454 later"]}, tls=tls) as server:
        result = run(server.port, pages, tls="starttls", ca_file=ca_file)

    assert result.outcome is FilterState.SUCCEEDED
    assert server.encrypted == [True]
    assert pauses == [0.5]


@pytest.mark.parametrize("kind", ["starttls", "implicit"])
def test_a_certificate_of_somebody_else_ends_it(pages, tls, tmp_path, kind):
    """InvalidSMTPServer, at once; nothing was said before."""
    other = str(Authority("Another CA").write(tmp_path, "other"))
    with MailServer(tls=tls, implicit=kind == "implicit") as server:
        result = run(server.port, pages, tls=kind, ca_file=other, **LOGIN)

    assert verdict(result) == INVALID
    assert "its certificate is not accepted: " in result.detail
    assert not {"AUTH", "MAIL"} & set(server.heard)


def test_a_certificate_for_another_name_ends_it(pages, tls, ca_file):
    """It is for 127.0.0.1, and the settings say localhost."""
    with MailServer(tls=tls) as server:
        result = run(server.port, pages, tls="starttls", ca_file=ca_file, host="localhost")

    assert verdict(result) == INVALID
    assert "its certificate is not accepted: Hostname mismatch" in result.detail


def test_implicit_tls_with_a_server_that_has_none_ends_it(pages, ca_file):
    """The sentence says that it is TLS that failed."""
    with MailServer() as server:
        result = run(server.port, pages, tls="implicit", ca_file=ca_file)

    assert verdict(result) == INVALID
    assert "TLS failed" in result.detail


def test_a_ca_file_without_certificates_is_named(pages, tls, tmp_path):
    """It may have changed since the settings were read."""
    broken = tmp_path / "ca.pem"
    broken.write_text("nothing")
    with MailServer(tls=tls) as server:
        result = run(server.port, pages, tls="starttls", ca_file=str(broken))

    assert verdict(result) == INVALID
    assert result.detail.startswith("filters.email.ca_file cannot be used")


# --- the password ------------------------------------------------------------------------------------------------

HIDDEN = ["hush-hush", *(base64.b64encode(text).decode() for text in (b"hush-hush", b"\0postscan\0hush-hush"))]


@pytest.mark.parametrize(
    ("answers", "code"),
    [(["535 you sent " + HIDDEN[2]] * 3, 535), (["454 hush-hush"] * 9, 454), (["334 !"] * 9, None)],
    ids=["refused", "not now", "nonsense"],
)
def test_the_password_is_in_no_sentence(pages, pauses, tls, ca_file, answers, code):
    """Not even if a hostile server repeats it."""
    with MailServer({"AUTH": answers}, tls=tls) as server:
        result = run(server.port, pages, tls="starttls", ca_file=ca_file, **LOGIN)

    assert verdict(result) == INVALID
    assert f"the login of postscan is refused ({code})" in result.detail or code is None
    assert pauses == ([0.5] if code == 454 else [])
    assert [word for word in HIDDEN if word in f"{result.detail} {result.log} {result.warnings}"] == []


def test_a_wrong_password_ends_it(pages, tls, ca_file):
    """At once: a second try could lock the account."""
    with MailServer(tls=tls, accounts={"postscan": "another"}) as server:
        result = run(server.port, pages, tls="starttls", ca_file=ca_file, **LOGIN)

    assert verdict(result) == INVALID
    assert server.connections == 1


def test_a_server_that_takes_no_login_is_named(pages, tls, ca_file):
    """The settings say that there is one."""
    with MailServer({"EHLO": ["250-mail.test\r\n250 STARTTLS", "250 mail.test"]}, tls=tls) as server:
        result = run(server.port, pages, tls="starttls", ca_file=ca_file, **LOGIN)

    assert verdict(result) == INVALID
    assert "it offers no supported way to log in" in result.detail


def test_the_password_may_be_in_a_file(pages, tls, ca_file, tmp_path):
    """In its first line."""
    secret = tmp_path / "password"
    secret.write_text("hush-hush\n")
    more = {"tls": "starttls", "ca_file": ca_file, "user": "postscan", "password_file": str(secret)}
    with MailServer(tls=tls, accounts={"postscan": "hush-hush"}) as server:
        result = run(server.port, pages, **more)
        secret.write_text("")
        empty = run(server.port, pages, **more)

    assert (result.outcome, server.logins) == (FilterState.SUCCEEDED, ["postscan"])
    assert verdict(empty) == INVALID
    assert empty.detail == "filters.email.password_file: expected a password in ASCII in its first line"
