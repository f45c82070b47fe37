"""One connection: what ends it, what a client may not do, and which limits it meets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import random
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import mail_inlet
import pytest
from mail_inlet import OTHER, RECIPIENT, Certified, MailInlet, RawClient, mail, page, stuffed
from works import PATIENCE, until

from postscan.core.filters.source.messages import EndRequest, InletBusy, PasswordRequest
from postscan.plugins.sources.smtp.connection import session
from postscan.plugins.sources.smtp.incoming import disk_errors


def encoded(text: str) -> str:
    """Return a text in base64."""
    return base64.b64encode(text.encode()).decode()


# --- ends of lines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\n\r\n", b"\n", b"MAIL FROM:<a@b>\nRCPT TO:<x>\r\n"])
def test_a_command_ends_with_cr_lf(inlet: MailInlet, line: bytes) -> None:
    """Anything else ends the connection: a server before this one may have read it in another way."""
    with inlet.client() as client:
        client.channel.sendall(line)

        assert client.reply() == "521 5.5.2 a command ends with CR LF, and has no other CR or LF"
        assert client.reply() == ""


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r\r\n"])
def test_a_smuggled_mail_is_no_mail(inlet: MailInlet, end: bytes) -> None:
    """What one server takes for the text of a mail, another one may take for the next mail."""
    smuggled = f"MAIL FROM:<boss@office.example>\r\nRCPT TO:<{OTHER}>\r\nDATA\r\n".encode() + mail(page(b"evil"))
    with inlet.client() as client:
        assert client.envelope().startswith("354")
        client.channel.sendall(stuffed(mail(page(b"good")))[:-2] + end + smuggled + b".\r\n")

        assert client.reply() == "521 5.5.2 the mail has a dot between line ends other than CR LF"
        assert client.reply() == ""
    assert inlet.server.jobs == []


def test_single_lfs_within_a_mail_are_content(inlet: MailInlet) -> None:
    """Scanners exist that write them."""
    content = mail(page()).replace(b"\r\n.", b"\r\n:").replace(b"\r\n", b"\n")

    with inlet.client() as client:
        assert client.envelope().startswith("354")
        client.channel.sendall(content + b"\r\n.\r\n")
        assert client.reply().startswith("250")
    assert inlet.jobs()[0].pages == [page()]


# --- connections that break off -------------------------------------------------------------------------------------


def test_a_mail_that_breaks_off_is_no_job(inlet: MailInlet) -> None:
    """At any byte, whether the connection ends properly or is reset; the next one is stored."""
    content = stuffed(mail(page(size=200_000))) + b".\r\n"
    cuts = random.Random(5)
    for _ in range(20):
        with inlet.client() as client:
            assert client.envelope().startswith("354")
            client.channel.sendall(content[: cuts.randrange(len(content) - 1)])
            if cuts.random() < 0.5:
                client.reset()

    with inlet.client() as client:
        assert client.send(mail(page(size=200_000))).startswith("250")
    assert [job.pages for job in inlet.server.jobs] == [[page(size=200_000)]]


@pytest.mark.parametrize("implicit", [False, True])
def test_an_end_of_tls_in_a_mail_is_no_end_of_the_mail(tmp_path: Path, certified: Certified, implicit: bool) -> None:
    """Neither a proper end nor one that an attacker forges by ending TCP."""
    settings = {"tls": "implicit" if implicit else "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet:
        for proper in (True, False):
            with inlet.client(certified.context if implicit else None) as client:
                if not implicit:
                    client.say("EHLO scanner")
                    client.start_tls(certified.context)
                assert client.envelope().startswith("354")
                client.channel.sendall(stuffed(mail(page())))
                if proper:
                    assert isinstance(client.channel, ssl.SSLSocket)
                    with contextlib.suppress(ssl.SSLError, OSError):
                        client.channel.unwrap()
        until(lambda: inlet.leftovers() == [])
        assert inlet.server.jobs == []


def test_a_client_that_leaves_counts_until_its_mail_is_stored(tmp_path: Path) -> None:
    """Else a client that sends and leaves, again and again, would have any number of mails in work."""
    asked, go_on = threading.Event(), threading.Event()

    def wait(_request: object) -> None:
        asked.set()
        assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path, {"connections_per_address": 1}) as inlet:
        inlet.server.on_request = wait
        with inlet.client() as client:
            client.envelope()
            client.channel.sendall(stuffed(mail(page())) + b".\r\n")
            assert asked.wait(PATIENCE)
            client.reset()

        def has_ended() -> bool:
            with socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as channel:
                return channel.recv(100).startswith(b"220 ")

        assert not any(has_ended() for _ in range(20))
        go_on.set()
        until(has_ended)
    assert len(inlet.jobs()) == 1


# --- deadlines ----------------------------------------------------------------------------------------------------


def test_a_client_that_proves_nothing_has_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it sends meanwhile."""
    monkeypatch.setattr(session, "PROOF_SECONDS", 0.5)
    with mail_inlet.serving(tmp_path, devices=()) as inlet, inlet.client() as client:
        replies = [""]
        with contextlib.suppress(OSError):
            while len(replies) < 100 and replies[-1] in ("", "250 OK"):
                replies.append(client.say("NOOP"))
                time.sleep(0.05)

        assert replies[-1] in ("250 OK", "421 4.4.2 the time is over")
        assert len(replies) < 100


def test_a_client_that_is_silent_is_told_and_left(tmp_path: Path) -> None:
    """Before a command, and within a mail."""
    with mail_inlet.serving(tmp_path, {"idle_seconds": 0.3}) as inlet:
        with inlet.client() as client:
            assert client.reply() == "421 4.4.2 the time is over"
            assert client.reply() == ""
        with inlet.client() as client:
            assert client.envelope().startswith("354")
            client.channel.sendall(b"Subject: s\r\n")
            assert client.reply() == "421 4.4.2 the time is over"
        assert inlet.server.jobs == []


def test_a_mail_that_comes_slowly_has_an_end(tmp_path: Path) -> None:
    """One byte now and then does not hold a connection for ever."""
    with mail_inlet.serving(tmp_path, {"data_seconds": 0.5}) as inlet, inlet.client() as client:
        assert client.envelope().startswith("354")
        begin = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begin < PATIENCE:
                client.channel.sendall(b"x")
                time.sleep(0.02)

        assert time.monotonic() - begin < PATIENCE


def test_a_client_that_reads_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its replies would wait for ever."""
    monkeypatch.setattr(session, "LINGER_SECONDS", 0.1)
    monkeypatch.setattr(session, "MOST_LINES", 10**9)
    with mail_inlet.serving(tmp_path, {"idle_seconds": 0.5}) as inlet, inlet.client() as client:
        client.channel.settimeout(PATIENCE)
        with pytest.raises((ConnectionError, BrokenPipeError)):
            while True:
                client.channel.sendall(b"EHLO scanner\r\n" * 1000)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00", b"no handshake\r\n" * 100])
@pytest.mark.parametrize("implicit", [False, True])
def test_a_handshake_that_does_not_end_is_left(
    tmp_path: Path, certified: Certified, monkeypatch: pytest.MonkeyPatch, implicit: bool, sent: bytes
) -> None:
    """And its place is free again: there is one here."""
    monkeypatch.setattr(session, "HANDSHAKE_SECONDS", 0.3)
    monkeypatch.setattr("asyncio.constants.SSL_HANDSHAKE_TIMEOUT", 10**6)
    monkeypatch.setattr("postscan.plugins.sources.smtp.connection.listener.HANDSHAKE_SECONDS", 0.3)
    settings = {"tls": "implicit" if implicit else "starttls", "certificate": str(certified.file), "connections": 1}
    with mail_inlet.serving(tmp_path, settings) as inlet:
        with socket.create_connection(("127.0.0.1", inlet.port), PATIENCE) as channel:
            if not implicit:
                channel.recv(1000)
                channel.sendall(b"EHLO scanner\r\nSTARTTLS\r\n")
                received = b""
                while b"220 Ready" not in received:
                    received += channel.recv(1000)
            channel.sendall(sent)
            with contextlib.suppress(ConnectionError):
                while channel.recv(1000):
                    pass

        def is_free() -> bool:
            with contextlib.suppress(OSError, AssertionError), inlet.client(certified.context if implicit else None):
                return True
            return False

        until(is_free)


def test_what_comes_in_the_clear_behind_starttls_is_not_read(tmp_path: Path, certified: Certified) -> None:
    """Else an attacker could put commands before those of the client (RFC 3207 section 4.2)."""
    settings = {"tls": "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.channel.sendall(b"STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@office.example>\r\n")
        assert client.reply().startswith("220 ")
        client.wrap(certified.context)

        assert client.say(f"RCPT TO:<{RECIPIENT}>") == "503 Error: send HELO first"


def test_tls_begins_once(tmp_path: Path, certified: Certified) -> None:
    """aiosmtpd would begin another one within the first."""
    settings = {"tls": "starttls", "certificate": str(certified.file)}
    with mail_inlet.serving(tmp_path, settings) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.start_tls(certified.context)
        assert "STARTTLS" not in client.say("EHLO scanner")

        assert client.say("STARTTLS") == "503 5.5.1 TLS is active"
        assert client.send(mail(page())).startswith("250")


# --- who may send ---------------------------------------------------------------------------------------------------


def test_a_stranger_sends_nothing(tmp_path: Path) -> None:
    """Not even the name of a destination is confirmed."""
    with mail_inlet.serving(tmp_path, devices=()) as inlet, inlet.client() as client:
        assert "AUTH" not in client.say("EHLO scanner")
        for command in ("MAIL FROM:<a@b>", f"RCPT TO:<{RECIPIENT}>", "DATA", f"VRFY {RECIPIENT}"):
            assert client.say(command).startswith(("530 5.7.0 ", "252 2.5.2 "))


def test_no_password_is_taken_in_the_clear(tmp_path: Path) -> None:
    """Unless the settings of the inlet allow it; then the server hears how it came."""
    plain = "AUTH PLAIN " + encoded("\0ann\0secret")
    for clear in (False, True):
        home = tmp_path / str(clear)
        home.mkdir()
        with mail_inlet.serving(home, devices=(), accounts={"ann": "secret"}, allow_clear=clear) as inlet:
            with inlet.client() as client:
                assert ("AUTH LOGIN PLAIN" in client.say("EHLO scanner")) is clear
                assert client.say(plain)[:3] == ("235" if clear else "538")
                assert inlet.server.passwords == ([("ann", "secret")] if clear else [])
                if clear:
                    client.send(mail(page()))
            assert [job.request.proof for job in inlet.jobs()] == (["clear"] if clear else [])


def test_tls_can_be_required(tmp_path: Path, certified: Certified) -> None:
    """Of devices, too."""
    settings = {"tls": "starttls", "certificate": str(certified.file), "require_tls": True}
    with mail_inlet.serving(tmp_path, settings) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        assert client.say("MAIL FROM:<a@b>") == "530 Must issue a STARTTLS command first"
        client.start_tls(certified.context)
        assert client.send(mail(page())).startswith("250")


@pytest.mark.parametrize(
    ("first", "more", "reply"),
    [
        ("AUTH PLAIN", [encoded("\0ann\0secret")], "235 2.7.0 Authentication successful"),
        ("AUTH PLAIN " + encoded("ann\0ann\0secret"), [], "235 2.7.0 Authentication successful"),
        ("AUTH LOGIN", [encoded("ann"), encoded("secret")], "235 2.7.0 Authentication successful"),
        ("AUTH LOGIN " + encoded("ann"), [encoded("secret")], "235 2.7.0 Authentication successful"),
        ("AUTH PLAIN " + encoded("\0ann\0wrong"), [], "535 5.7.8 Authentication credentials invalid"),
        ("AUTH LOGIN =", [encoded("")], "535 5.7.8 Authentication credentials invalid"),
        ("AUTH LOGIN", [encoded("a" * 400), encoded("secret")], "535 5.7.8 Authentication credentials invalid"),
        ("AUTH PLAIN " + encoded("boss\0ann\0secret"), [], "501 5.5.2 Cannot decode the response"),
        ("AUTH PLAIN nonsense!", [], "501 5.5.2 Cannot decode the response"),
        ("AUTH PLAIN " + encoded("ann"), [], "501 5.5.2 Cannot decode the response"),
        ("AUTH PLAIN =", [], "501 5.5.2 Cannot decode the response"),
        ("AUTH LOGIN", ["/w=="], "501 5.5.2 Cannot decode the response"),
        ("AUTH LOGIN", ["*"], "501 5.7.0 Auth aborted"),
        ("AUTH CRAM-MD5", [], "504 5.5.4 Unrecognized authentication type"),
        ("AUTH", [], "501 Not enough value"),
    ],
)
def test_account_and_password_are_read_as_the_standards_say(
    tmp_path: Path, first: str, more: list[str], reply: str
) -> None:
    """RFC 4616 and 4954; an account does not act for another one."""
    with (
        mail_inlet.serving(tmp_path, devices=(), accounts={"ann": "secret"}, allow_clear=True) as inlet,
        inlet.client() as client,
    ):
        client.say("EHLO scanner")
        replies = [client.say(line) for line in (first, *more)]

        assert [one[:4] for one in replies[:-1]] == ["334 "] * len(more)
        assert replies[-1] == reply
        assert client.say("NOOP").startswith("250")


def test_a_response_that_is_too_long_ends_the_connection(tmp_path: Path) -> None:
    """Its rest would be read as a command, and shown in the reply."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        client.say("AUTH LOGIN")

        assert client.say("a" * 5000) == "500 5.5.6 the response is too long"
        assert client.reply() == ""


def test_devices_are_asked_in_the_words_that_they_wait_for(tmp_path: Path) -> None:
    """Some compare the challenges of LOGIN byte for byte."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        client.say("EHLO scanner")

        assert client.say("AUTH LOGIN") == "334 " + encoded("Username:")
        assert client.say(encoded("ann")) == "334 " + encoded("Password:")


def test_wrong_passwords_end_the_connection(tmp_path: Path) -> None:
    """After three; each is in the log, without the password."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        client.say("EHLO scanner")
        replies = [client.say("AUTH PLAIN " + encoded(f"\0ann\0wrong{n}")) for n in range(3)]

        assert [reply[:3] for reply in replies] == ["535", "535", "421"]
        assert client.reply() == ""
        inlet.server.wait_for(lambda: len(inlet.log) == 3)
        assert inlet.log == [("wrong password", {"source": "127.0.0.1", "user": "ann"})] * 3


def test_a_server_that_checks_no_passwords_now_makes_the_client_come_again(tmp_path: Path) -> None:
    """After too many wrong ones, for example."""
    with mail_inlet.serving(tmp_path, devices=(), allow_clear=True) as inlet, inlet.client() as client:
        inlet.server.on_request = lambda request: (
            InletBusy(id=request.id, seconds=9.0) if isinstance(request, PasswordRequest) else None
        )
        client.say("EHLO scanner")

        assert client.say("AUTH PLAIN " + encoded("\0ann\0secret")).startswith("454 4.7.0 ")


def test_a_password_that_is_checked_slowly_holds_up_nobody(tmp_path: Path) -> None:
    """Other connections go on meanwhile."""
    asked, go_on = threading.Event(), threading.Event()

    def on_request(request: object) -> None:
        if isinstance(request, PasswordRequest):
            asked.set()
            assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path, allow_clear=True, accounts={"ann": "secret"}) as inlet:
        inlet.server.on_request = on_request
        with inlet.client() as slow, inlet.client() as other:
            slow.say("EHLO scanner")
            slow.channel.sendall(b"AUTH PLAIN " + encoded("\0ann\0secret").encode() + b"\r\n")
            assert asked.wait(PATIENCE)
            assert other.send(mail(page())).startswith("250")
            go_on.set()
            assert slow.reply().startswith("235")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_the_size_of_a_mail_is_limited(tmp_path: Path) -> None:
    """Announced, or when its end is there; the connection goes on, and no file is left."""
    with mail_inlet.serving(tmp_path, {"most_bytes": 100_000}) as inlet:
        with inlet.client() as client:
            assert "250-SIZE 100000" in client.say("EHLO scanner")
            assert client.say("MAIL FROM:<a@b> SIZE=100001").startswith("552 ")
            assert client.send(mail(page(size=200_000))) == "552 5.3.4 the mail has more than 100,000 bytes"
            assert client.send(mail(page())).startswith("250")
        until(lambda: inlet.leftovers() == [])


def test_the_size_of_all_mails_is_limited(tmp_path: Path) -> None:
    """Of one client to the half; it comes again when there is room, and others have the rest."""
    content = mail(page(size=300_000))
    settings = {"most_bytes": 500_000, "spool_bytes": 2_000_000}
    full = "452 4.3.1 too many mails at once; try again later"
    with mail_inlet.serving(tmp_path, settings, devices=("127.0.0.0/8",)) as inlet:

        def is_full() -> bool:
            with inlet.client() as client:
                client.say("EHLO scanner")
                return client.say("MAIL FROM:<a@b> SIZE=500000") == full

        with inlet.client() as slow, inlet.client() as slower, inlet.client() as same:
            for client in (slow, slower):
                assert client.envelope().startswith("354")
                client.channel.sendall(b"x" * 499_000)
            until(is_full)
            assert same.send(content) == full
            with inlet.client(address="127.0.0.2") as other:
                assert other.send(content).startswith("250")
        until(lambda: inlet.leftovers() == [])
        with inlet.client() as client:
            assert client.send(content).startswith("250")


def test_a_client_with_many_mails_leaves_a_thread_to_others(tmp_path: Path) -> None:
    """Its mails wait for one another."""
    go_on = threading.Event()

    def wait(request: object) -> None:
        if isinstance(request, EndRequest) and request.job != "job-4":
            assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path, devices=("127.0.0.0/8",)) as inlet, contextlib.ExitStack() as stack:
        inlet.server.on_request = wait
        clients = [stack.enter_context(inlet.client()) for _ in range(5)]
        for number, client in enumerate(clients):
            assert client.envelope().startswith("354")
            client.channel.sendall(stuffed(mail(page(b"%d" % number))) + b".\r\n")
        inlet.server.wait_for(lambda: len(inlet.server.jobs) == 3)
        with inlet.client(address="127.0.0.2") as other:
            assert other.send(mail(page(b"other"))).startswith("250")
        go_on.set()
        assert [client.reply()[:3] for client in clients] == ["250"] * 5


def test_a_client_that_leaves_before_its_turn_makes_no_job(tmp_path: Path) -> None:
    """Its mail is removed."""
    go_on = threading.Event()

    def wait(_request: object) -> None:
        assert go_on.wait(PATIENCE)

    with mail_inlet.serving(tmp_path) as inlet, contextlib.ExitStack() as stack:
        inlet.server.on_request = wait
        clients = [stack.enter_context(inlet.client()) for _ in range(4)]
        for number, client in enumerate(clients):
            assert client.envelope().startswith("354")
            client.channel.sendall(stuffed(mail(page(b"%d" % number))) + b".\r\n")
            if number < 3:
                inlet.server.wait_for(lambda: len(inlet.server.requests) == number + 1)  # noqa: B023
        clients[3].reset()
        with inlet.client() as next_one:
            assert next_one.say("NOOP") == "250 OK"
        go_on.set()
        assert [client.reply()[:3] for client in clients[:3]] == ["250"] * 3
        assert len(inlet.server.jobs) == 3


@pytest.mark.parametrize(
    ("number", "reply"),
    [
        (errno.ENOSPC, "452 4.3.1 the disk is full; try again later"),
        (errno.EDQUOT, "452 4.3.1 the disk is full; try again later"),
        (errno.EIO, "451 4.3.0 the mail cannot be kept now; try again later"),
    ],
)
def test_a_disk_that_takes_no_mail_makes_the_client_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reply: str
) -> None:
    """The reply is that to the end of the mail, and the next mail is taken when the disk is."""
    with mail_inlet.serving(tmp_path) as inlet, inlet.client() as client:
        monkeypatch.setattr("postscan.plugins.sources.smtp.incoming._write_all", _failing(number))
        assert client.send(mail(page())) == reply
        monkeypatch.undo()
        assert client.send(mail(page())).startswith("250")


def test_commands_without_a_mail_are_limited(inlet: MailInlet) -> None:
    """Also those that are none, are too long, or come all at once."""
    for flood in (b"NOOP\r\n", b"\r\n", b"RSET\r\n", b"x" * 2000 + b"\r\n"):
        with inlet.client() as client:
            client.channel.sendall(flood * 250)
            replies = []
            with contextlib.suppress(ConnectionError):
                while reply := client.reply():
                    replies.append(reply)

            assert len(replies) <= session.MOST_LINES + 1


def test_rejected_commands_are_limited(inlet: MailInlet) -> None:
    """A client that tries the names of destinations needs many connections."""
    with inlet.client() as client:
        client.say("EHLO scanner")
        client.say("MAIL FROM:<a@b>")
        replies = [client.say(f"RCPT TO:<x{n}@scan.example>")[:3] for n in range(20)]

        assert replies == ["550"] * 19 + ["421"]


def test_others_have_their_turn_between_two_commands() -> None:
    """Also if thousands have arrived, and none of them waits for anything."""

    class Counting:
        line_length_limit = 1001
        lines = 0

        async def count_line(self) -> None:
            self.lines += 1

    async def read() -> tuple[int, int]:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = Counting()
        counting.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
        reader = session._CommandReader(counting)  # type: ignore[arg-type]
        reader.feed_data(b"NOOP\r\n" * 1000)
        task = asyncio.create_task(other())
        for _ in range(1000):
            assert await reader.readuntil() == b"NOOP\r\n"
        task.cancel()
        return turns, counting.lines

    turns, lines = asyncio.run(read())
    assert turns >= 999
    assert lines == 1000


def test_a_flood_of_commands_holds_up_nobody(inlet: MailInlet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two commands of one client, others have their turn."""
    monkeypatch.setattr(session, "MOST_LINES", 10**9)
    over = threading.Event()

    def flood(client: RawClient) -> None:
        with contextlib.suppress(OSError):
            while not over.is_set():
                client.channel.sendall(b"NOOP\r\n" * 1000)

    def read(client: RawClient) -> None:
        with contextlib.suppress(OSError):
            while client.reply():
                pass

    with inlet.client() as noisy, inlet.client() as other:
        threads = [threading.Thread(target=work, args=(noisy,)) for work in (flood, read)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                assert other.send(mail(page())).startswith("250")
        finally:
            over.set()
            noisy.channel.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(PATIENCE)


@pytest.mark.parametrize(
    "command",
    [
        "MAIL FROM:<" + "(" * 400 + "a@b>",
        'MAIL FROM:<"@' + "b>",
        "MAIL FROM:<a@b> SIZE=²",
        "MAIL FROM:<a@b> SIZE=-1",
        "MAIL FROM:<\udce4@b> BODY=8BITMIME",
        "RCPT TO:<>",
        "VRFY \udcff",
        "HELP \udcff",
        "EHLO \udce4",
    ],
)
def test_an_odd_command_has_one_reply_and_the_connection_goes_on(inlet: MailInlet, command: str) -> None:
    """Whatever the library makes of it; no error of Python goes over the wire."""
    with inlet.client() as client:
        client.say("EHLO scanner")
        client.channel.sendall(command.encode("utf-8", "surrogateescape") + b"\r\n")
        reply = client.reply()

        assert reply[:1] in "25"
        assert "Error(" not in reply
        assert "Error)" not in reply
        assert client.say("NOOP") == "250 OK"


@pytest.mark.parametrize(
    "command",
    [
        "MAIL FROM:<a@b> AUTH=<>",
        "MAIL FROM:<a@b> SIZE=10 auth=ann BODY=8BITMIME",
        "mail from: <a@b>",
        "MAIL FROM:a@b",
        "MAIL FROM:<a@b> SMTPUTF8",
        'MAIL FROM:<"an n"@b>',
        "MAIL FROM:<scanner>",
    ],
)
def test_what_devices_and_relays_write_is_read(inlet: MailInlet, command: str) -> None:
    """Blanks, brackets and parameters as the standards have them, and as some devices do."""
    with inlet.client() as client:
        client.say("EHLO my scanner_1")

        assert client.say(command) == "250 2.1.0 OK"


# --- stop -------------------------------------------------------------------------------------------------------------


def test_a_stop_ends_what_waits_and_lets_a_mail_be_stored(tmp_path: Path) -> None:
    """A mail that has not arrived comes again; one that has arrived is stored and acknowledged."""
    stored = threading.Event()

    def wait(_request: object) -> None:
        assert stored.wait(PATIENCE)

    with mail_inlet.serving(tmp_path) as inlet:
        with inlet.client() as idle, inlet.client() as sending, inlet.client() as waiting:
            sending.envelope()
            sending.channel.sendall(b"Subject: s\r\n")
            inlet.server.on_request = wait
            waiting.envelope()
            waiting.channel.sendall(stuffed(mail(page())) + b".\r\n")
            inlet.server.wait_for(lambda: inlet.server.requests)
            inlet.server.stop()

            assert idle.reply() == "421 4.3.2 the server stops; try again later"
            assert sending.reply() == "421 4.3.2 the server stops; try again later"
            with pytest.raises(ConnectionError):
                socket.create_connection(("127.0.0.1", inlet.port), PATIENCE)
            stored.set()
            assert waiting.reply().startswith("250")
        assert inlet.leftovers() == []


def _failing(number: int) -> Any:
    def fail(*_: object) -> None:
        with disk_errors():
            raise OSError(number, "no")

    return fail
