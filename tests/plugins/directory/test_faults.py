"""Servers that are slow, silent, wrong or hostile: the question has no answer, and no password is sent to them."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sansldap
from certificates import Authority
from directory_entries import AMELIE_SID
from free_ports import free_port
from ldap_server import Answer, LdapServer, ldap_server
from sansldap import BindRequest, ExtendedRequest, LDAPMessage, LDAPResultCode, PartialAttribute, SearchRequest

from postscan.plugins import DirectoryAway
from postscan.plugins.directory import LdapDirectory
from postscan.plugins.directory.client import connection
from postscan.plugins.directory.security.sids import sid_bytes

Make = Callable[..., LdapDirectory]
Serve = Callable[..., LdapServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """What starts a server with these answers; all end behind the test."""
    with ExitStack() as opened:
        yield lambda answer=lambda _server, _message: None, **more: opened.enter_context(
            ldap_server(tmp_path, answer, **more)
        )


@pytest.fixture
def asking(plugin: Make) -> Callable[..., LdapDirectory]:
    """What makes a plugin that asks these servers, by the CA of the first."""

    def make(*servers: LdapServer, seconds: float = 30.0, **more: Any) -> LdapDirectory:
        table = {
            "servers": tuple(one.server for one in servers),
            "ca_file": str(servers[0].ca),
            "kind": "openldap",
            "user": "cn=postscan",
            "password": "right",
            "base": "dc=x",
            "processes": "ou=p,dc=x",
        }
        return plugin(seconds, **{**table, **more})

    return make


def on(kind: type[LDAPMessage], action: Callable[[sansldap.LDAPServer, Any], bytes | None]) -> Answer:
    """Return what answers requests of one kind in this way, and all others as usual."""
    return lambda server, message: action(server, message) if isinstance(message, kind) else None


def passwords(server: LdapServer) -> int:
    """Return how many log-ins a server has seen."""
    return sum(isinstance(one, BindRequest) for one in server.seen)


@pytest.mark.parametrize("starttls", [False, True])
def test_who_is_not_there_is_not_found(serve: Serve, asking: Make, starttls: bool) -> None:
    """The usual case, without which the others would show nothing."""
    server = serve(starttls=starttls)
    directory = asking(server, tls="starttls" if starttls else "ldaps")

    assert directory.postscan_find_user(sid=AMELIE_SID) is None
    assert passwords(server) == 1
    assert b"right" not in server.clear


@pytest.mark.parametrize("starttls", [False, True])
def test_a_certificate_of_another_ca_gets_no_password(
    serve: Serve, asking: Make, tmp_path: Path, starttls: bool
) -> None:
    """And the message names the certificate (T-L1)."""
    server = serve(starttls=starttls)
    other = Authority("Other CA").write(tmp_path, "other")

    with pytest.raises(DirectoryAway, match="the certificate is not accepted"):
        asking(server, ca_file=str(other), tls="starttls" if starttls else "ldaps").postscan_find_user(login="amelie")
    assert passwords(server) == 0


def test_a_certificate_of_another_host_gets_no_password(serve: Serve, asking: Make) -> None:
    """It names 127.0.0.1 alone (T-L1)."""
    server = serve()

    with pytest.raises(DirectoryAway, match="the certificate is not accepted: Hostname mismatch"):
        asking(server, servers=(server.server.replace("127.0.0.1", "localhost"),)).postscan_find_user(login="amelie")
    assert passwords(server) == 0


def test_a_server_that_refuses_starttls_gets_no_password(serve: Serve, asking: Make) -> None:
    """There is no way back to plain text (T-L1)."""

    def refuse(server: sansldap.LDAPServer, message: ExtendedRequest) -> bytes:
        server.extended_response(message.message_id, result_code=LDAPResultCode.UNAVAILABLE)
        return server.data_to_send()

    server = serve(on(ExtendedRequest, refuse), starttls=True)

    with pytest.raises(DirectoryAway, match="StartTLS: unavailable"):
        asking(server, tls="starttls").postscan_find_user(login="amelie")
    assert passwords(server) == 0
    assert b"right" not in server.clear


def test_an_answer_in_the_clear_behind_starttls_is_not_read(serve: Serve, asking: Make) -> None:
    """A user who is not there stays so, whatever came behind the answer to StartTLS (T-L1)."""

    def more(server: sansldap.LDAPServer, message: ExtendedRequest) -> bytes:
        server.extended_response(message.message_id)
        early = sansldap.BindResponse(
            message_id=1,
            controls=[],
            result=sansldap.LDAPResult(LDAPResultCode.SUCCESS, "", "", None),
            server_sasl_creds=None,
        )
        return server.data_to_send() + early.pack(server._packing_options)

    server = serve(on(ExtendedRequest, more), starttls=True)

    with pytest.raises(DirectoryAway):
        asking(server, tls="starttls", seconds=2.0).postscan_find_user(login="amelie")
    assert passwords(server) == 0


@pytest.mark.parametrize("kind", [BindRequest, SearchRequest])
def test_a_silent_server_ends_with_the_time_of_the_question(
    serve: Serve, asking: Make, kind: type[LDAPMessage]
) -> None:
    """Whatever it is silent at (T-L2)."""
    server = serve(lambda _, message: _silent(message, kind))
    began = time.monotonic()

    with pytest.raises(DirectoryAway, match="no answer in time"):
        asking(server, seconds=1.0).postscan_find_user(login="amelie")
    assert time.monotonic() - began >= 0.7


def _silent(message: LDAPMessage, kind: type[LDAPMessage]) -> bytes | None:
    return b"" if isinstance(message, kind) else None


def test_a_server_that_is_silent_at_tls_ends_with_the_time_of_a_connection(asking: Make, serve: Serve) -> None:
    """The system accepts connections for a program that hangs (T-L2)."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        host, port = hanging.getsockname()
        directory = asking(serve(), servers=(f"{host}:{port}",), connect_seconds=0.5)

        with pytest.raises(DirectoryAway, match="no answer to TLS in time"):
            directory.postscan_find_user(login="amelie")


def test_a_server_that_sends_byte_by_byte_has_one_deadline(serve: Serve, asking: Make) -> None:
    """Each byte comes in time, and the answer does not (T-L2)."""

    def drip(_server: sansldap.LDAPServer, _message: SearchRequest) -> bytes:
        stream = server._streams[-1]
        stream.sendall(b"\x30\x84\x00\x00\x00\x40")
        while not server.over.wait(0.05):
            stream.sendall(b"\0")
        return b""

    server = serve(on(SearchRequest, drip))

    with pytest.raises(DirectoryAway, match="no answer in time"):
        asking(server, seconds=1.0).postscan_find_user(login="amelie")


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"\x30\x84\x7f\xff\xff\xff", "a message has 2,147,483,653 bytes; expected at most 4,194,304"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what came is not LDAP"),
        (b"\x30\x03\x02\x01\x02", "a message breaks off|the connection failed"),
        (b"\x30\x05\x02\x01\x63\x42\x00", "the connection failed"),
        (b"\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x05", "a message breaks off|the connection failed"),
    ],
)
def test_what_is_no_answer_is_none(serve: Serve, asking: Make, sent: bytes, problem: str) -> None:
    """Too large, another protocol, half a message, another kind of message (T-L2, T-L3)."""
    server = serve(on(SearchRequest, lambda _server, _message: sent))

    with pytest.raises(DirectoryAway, match=problem):
        asking(server, seconds=2.0).postscan_find_user(login="amelie")


def test_more_than_was_asked_for_is_no_answer(serve: Serve, asking: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, and by bytes (T-L2)."""

    def many(server: sansldap.LDAPServer, message: SearchRequest) -> bytes:
        for number in range(10):
            values = [PartialAttribute("uid", [b"amelie"]), PartialAttribute("description", [bytes(5000)])]
            server.search_result_entry(message.message_id, f"uid={number},dc=x", values)
        return server.data_to_send()

    server = serve(on(SearchRequest, many))

    with pytest.raises(DirectoryAway, match="more than 2 entries below dc=x"):
        asking(server).postscan_find_user(login="amelie")
    monkeypatch.setattr(connection, "LARGEST_ANSWER", 8000)
    with pytest.raises(DirectoryAway, match="an answer has more than 8,000 bytes"):
        asking(server).postscan_find_user(login="amelie")


def test_a_search_that_fails_is_no_answer(serve: Serve, asking: Make) -> None:
    """Nor is a reference to another server, which is not asked (T-L6)."""
    for code in (LDAPResultCode.REFERRAL, LDAPResultCode.BUSY, LDAPResultCode.SIZE_LIMIT_EXCEEDED):

        def fail(server: sansldap.LDAPServer, message: SearchRequest, code: LDAPResultCode = code) -> bytes:
            server.search_result_done(message.message_id, result_code=code, diagnostics_message="see\nldap://elsewhere")
            return server.data_to_send()

        with pytest.raises(DirectoryAway, match=f"search: {code.name.lower().replace('_', ' ')}: see ldap://elsewhere"):
            asking(serve(on(SearchRequest, fail))).postscan_find_user(login="amelie")


def test_the_second_server_answers_if_the_first_does_not(serve: Serve, asking: Make) -> None:
    """It may be gone, or hang; and it is asked last from then on."""
    good = serve()
    gone, hangs = f"127.0.0.1:{free_port()}", serve(lambda _server, _message: b"")
    directory = asking(good, servers=(gone, hangs.server, good.server), seconds=4.0)

    for _ in range(3):
        assert directory.postscan_find_user(login="amelie") is None
    assert (hangs.calls, good.calls) == (1, 1)


def test_a_connection_that_ended_meanwhile_is_opened_again(serve: Serve, asking: Make) -> None:
    """A server may close connections that are idle; the user is found nevertheless."""
    server = serve()
    directory = asking(server)
    assert directory.postscan_find_user(login="amelie") is None

    for stream in server._streams:
        stream.close()

    assert directory.postscan_find_user(login="amelie") is None
    assert server.calls == 2


def test_a_password_that_was_refused_is_tried_once(serve: Serve, asking: Make) -> None:
    """On one server, whatever the number of questions: attempts lock the account (T-L5)."""
    first, second = serve(), serve()
    directory = asking(first, second, password="wrong")

    for _ in range(5):
        with pytest.raises(DirectoryAway, match="does not accept the service account"):
            directory.postscan_find_user(login="amelie")
    assert (passwords(first), passwords(second)) == (1, 0)


def test_a_log_in_without_a_password_is_not_sent(serve: Serve) -> None:
    """An empty password would log in no user, and succeed (RFC 4513 section 5.1.2; T-L1)."""
    server = serve()
    deadline = connection.AnswerDeadline(30.0)
    host, port = server.server.split(":")
    context = ssl.create_default_context(cafile=server.ca)
    opened = connection.LdapConnection.open(host, int(port), context, start_tls=False, deadline=deadline, seconds=30.0)

    for user, password in (("cn=postscan", ""), ("", "right")):
        with pytest.raises(DirectoryAway, match="user or password of the service account is empty"):
            opened.log_in(user, password, deadline)
    opened.close()
    assert passwords(server) == 0


def entries(server: sansldap.LDAPServer, number: int, *found: tuple[str, dict[str, list[bytes]]]) -> bytes:
    """Return an answer with these entries, as bytes."""
    for dn, values in found:
        server.search_result_entry(number, dn, [PartialAttribute(name, value) for name, value in values.items()])
    server.search_result_done(number)
    return server.data_to_send()


@pytest.mark.parametrize("uid", ["am\u00e9lie", "amelie2", "amelie\0"])
def test_a_user_with_another_name_is_not_the_one_who_was_asked_for(serve: Serve, asking: Make, uid: str) -> None:
    """A directory may compare more loosely than postscan does (T-O2)."""
    values = {"uid": [uid.encode()], "postscanSid": [AMELIE_SID.encode()]}
    server = serve(on(SearchRequest, lambda one, message: entries(one, message.message_id, ("uid=x,dc=x", values))))

    assert asking(server).postscan_find_user(login="amelie") is None


@pytest.mark.parametrize(
    ("left_out", "problem"),
    [("tokenGroups", "cannot read tokenGroups"), ("userAccountControl", "cannot read userAccountControl")],
)
def test_what_the_service_account_cannot_read_is_not_taken_for_empty(
    serve: Serve, asking: Make, left_out: str, problem: str
) -> None:
    """A user without groups, or without a mark of being disabled, could do more than is right (T-L6)."""
    sid = sid_bytes(AMELIE_SID)
    user = {"objectSid": [sid], "sAMAccountName": [b"amelie"], "userAccountControl": [b"512"], "tokenGroups": [sid]}
    root = {"defaultNamingContext": [b"DC=x"], "configurationNamingContext": [b"CN=Configuration,DC=x"]}
    user.pop(left_out)
    answers = {"": ("", root), "CN=Partitions,CN=Configuration,DC=x": ("CN=X", {"nETBIOSName": [b"X"]})}

    def answer(one: sansldap.LDAPServer, message: SearchRequest) -> bytes:
        return entries(one, message.message_id, answers.get(message.base_object, ("CN=amelie,DC=x", user)))

    directory = asking(serve(on(SearchRequest, answer)), kind="active-directory", base="", processes="")

    with pytest.raises(DirectoryAway, match=problem):
        directory.postscan_find_user(sid=AMELIE_SID)
