"""A cancel at every moment of the conversation with a mail server: a mail is sent whole, or not at all."""

from __future__ import annotations

import itertools
import os
import threading

import pytest
from odd_hosts import full_host, silent_host
from smtp import HANG, MailServer, certified

from postscan.core.model.states import FilterState
from postscan.plugins.filters.email import Email
from postscan.plugins.testing import run_filter


@pytest.fixture
def pages(tmp_path):
    """Two pages of 100 kB."""
    paths = [tmp_path / "1.png", tmp_path / "2.png"]
    for path in paths:
        path.write_bytes(os.urandom(100_000))
    return paths


def run(port, pages, filter=None, cancel_at=None, **more):
    """Run the filter against a mail server."""
    settings = {"host": "127.0.0.1", "port": port, "sender": "scans@fabrikam.example", "seconds": 20, "tries": 2}
    return run_filter(
        filter or Email(),
        pages,
        instructions=Email.Instructions(addresses=("anna@fabrikam.example",)),
        settings={**settings, **more},
        cancel_at=cancel_at,
    )


class Stopped(Email):
    """The filter, in a job that is cancelled as soon as something has happened."""

    def __init__(self, happened):
        self.happened, self.cancelled = happened, threading.Event()

    def run(self, job, token):
        """Cancel from another thread, as the server does."""

        def cancel():
            self.happened.wait(100)
            job.parent.source.cancel("cancelled by the test")
            self.cancelled.set()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            return super().run(job, token)
        finally:
            thread.join()


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA"])
def test_a_server_that_hangs_keeps_no_cancel_waiting(pages, tmp_path, verb):
    """At every verb: the filter has stopped, and nothing was sent (F-R15, I11); within the body, see below."""
    tls, ca_file = certified(tmp_path)
    login = {"user": "postscan", "password": "hush-hush"}
    with MailServer({verb: [HANG]}, tls=tls, accounts={"postscan": "hush-hush"}) as server:
        more = {"tls": "starttls", "ca_file": ca_file, "seconds": 600, **login}
        result = run(server.port, pages, filter=Stopped(server.stuck), **more)

    assert (result.outcome, result.published) == (FilterState.CANCELED, [])
    assert server.messages == []


def test_a_server_that_takes_no_more_of_a_large_mail_keeps_no_cancel_waiting(tmp_path):
    """All buffers are full, and the filter hangs in the middle of its body."""
    page = tmp_path / "large.png"
    page.write_bytes(bytes(12_000_000))
    with MailServer({"BODY": [HANG]}) as server:
        result = run(server.port, [page], filter=Stopped(server.stuck), seconds=600)

    assert (result.outcome, result.published, server.messages) == (FilterState.CANCELED, [], [])


def test_a_handshake_that_hangs_keeps_no_cancel_waiting(pages, tmp_path):
    """Not even TLS is let begin."""
    _, ca_file = certified(tmp_path)
    with silent_host() as (port, came):
        result = run(port, pages, filter=Stopped(came), tls="implicit", ca_file=ca_file, seconds=600)

    assert result.outcome is FilterState.CANCELED


def test_a_connection_that_does_not_come_about_keeps_no_cancel_waiting(pages):
    """The host drops every packet."""
    soon = threading.Event()
    timer = threading.Timer(0.2, soon.set)
    timer.start()
    with full_host() as port:
        result = run(port, pages, filter=Stopped(soon), seconds=600)
    timer.join()

    assert result.outcome is FilterState.CANCELED


def test_after_the_dot_a_cancel_does_not_wait_much_longer(pages):
    """The mail may have arrived, so it counts as sent, and the log says why."""
    with MailServer({".": [HANG]}) as server:
        result = run(server.port, pages, filter=Stopped(server.stuck), seconds=600)

    assert len(result.published) == 1
    assert "no answer before the cancel; the mail may have arrived" in result.log[-1][1]


def test_a_mail_that_is_accepted_during_the_cancel_is_a_mail_that_was_sent(pages):
    """The dot cannot be taken back, and the record says so."""
    dot = threading.Event()
    filter = Stopped(dot)

    def slowly():
        dot.set()
        filter.cancelled.wait(100)
        return "250 taken"

    with MailServer({".": [slowly]}) as server:
        result = run(server.port, pages, filter=filter)

    assert (len(server.messages), len(result.published)) == (1, 1)


def test_whenever_it_is_cancelled_the_server_has_whole_mails_or_none(pages):
    """At every look at the token, with two mails to send: what was published was accepted, and nothing else (I11)."""
    seen = set()
    for number in itertools.count(1):
        with MailServer() as server:
            result = run(server.port, pages, most_bytes=150_000, cancel_at=number)

        ids = [mail.parsed["Message-ID"] for mail in server.messages]
        assert ids == [name for _, _, name in result.published]
        assert all(len(mail.attachments) == 1 for mail in server.messages)
        seen.add((result.outcome, len(ids)))
        if result.outcome is not FilterState.CANCELED:
            break

    assert {(FilterState.CANCELED, 0), (FilterState.CANCELED, 1), (FilterState.SUCCEEDED, 2)} <= seen


def test_between_two_tries_a_cancel_ends_it(pages):
    """Nobody waits for a server that says later."""
    said = threading.Event()

    def later():
        said.set()
        return "451 later"

    with MailServer({"MAIL": [later]}) as server:
        result = run(server.port, pages, filter=Stopped(said))

    assert (result.outcome, server.connections) == (FilterState.CANCELED, 1)
