"""Commands: how many there may be, who has a turn between them, and the reply to odd ones."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest
from mail_inlet import MailInlet, RawClient, mail, page
from works import PATIENCE

from postscan.plugins.sources.smtp.connection import session


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
