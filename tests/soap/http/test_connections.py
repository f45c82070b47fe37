"""The places of connections: how many there are, and who makes room."""

from __future__ import annotations

import contextlib
import resource
from functools import partial
from pathlib import Path

import pytest
from acceptance import rawhttp
from acceptance.scanning import Scanner
from acceptance.server import running

from postscan.soap.http.connections import (
    KEPT,
    MOST_DESCRIPTORS,
    ConnectionPlace,
    Connections,
    most_connections,
    open_to_all,
    raise_descriptor_limit,
)


def places(connections: Connections, *addresses: str) -> list[ConnectionPlace]:
    """Return the places of these addresses; each must get one."""
    found = [connections.admit(address) for address in addresses]
    assert None not in found
    return [place for place in found if place is not None]


def test_an_address_has_as_many_connections_as_the_limit() -> None:
    """T-H4: one more is refused, until one of them is closed; other addresses are not affected."""
    connections = Connections(10, 2)
    first, _ = places(connections, "a", "a")

    assert connections.admit("a") is None
    places(connections, "b")

    first.release()
    first.release()
    places(connections, "a")
    assert connections.admit("a") is None
    assert len(connections) == 3


def test_there_are_as_many_connections_as_the_limit() -> None:
    """T-H4: a client that has as many as the others waits when all are in use."""
    connections = Connections(3, 3)
    places(connections, "a", "b", "c")

    assert [connections.admit(address) for address in "abc"] == [None, None, None]


def test_a_client_without_a_connection_gets_one() -> None:
    """T-H4: also when many addresses have one each; the oldest of these ends."""
    connections = Connections(3, 3)
    closed: list[str] = []
    for place in places(connections, "a", "b", "c"):
        place.closed_by(partial(closed.append, place.address))
    places(connections, "d", "e")

    assert closed == ["a", "b"]


def test_the_client_with_the_most_connections_makes_room() -> None:
    """T-H4: it loses its oldest one, and the number stays within the limit."""
    connections = Connections(3, 3)
    closed: list[str] = []
    for number, place in enumerate(places(connections, "a", "a", "b")):
        place.closed_by(partial(closed.append, f"connection {number}"))
    places(connections, "c")

    assert closed == ["connection 0"]
    assert len(connections) == 3


def test_clients_with_about_as_many_connections_take_none_from_each_other() -> None:
    """T-H4: each would connect again, and take another one."""
    connections = Connections(9, 9)
    places(connections, *"aaaaabbbb")

    assert connections.admit("b") is None
    places(connections, "c")
    assert connections.admit("b") is None


def test_a_request_that_is_being_served_is_not_ended() -> None:
    """T-H4: the next one is; and if all are being served, there is no room."""
    connections = Connections(3, 3)
    closed: list[str] = []
    first, second, third = places(connections, "a", "a", "a")
    first.is_served = True
    second.closed_by(lambda: closed.append("second"))
    places(connections, "b")
    third.is_served = True

    assert closed == ["second"]
    assert connections.admit("c") is None


def test_a_client_with_few_connections_gets_one_while_all_of_the_others_are_being_served() -> None:
    """T-H4: some are left to such clients, since requests that are sent ahead are served without an end."""
    connections = Connections(2 * KEPT, 2 * KEPT)
    while place := connections.admit("a"):
        place.is_served = True

    assert len(connections) == open_to_all(2 * KEPT) == 2 * KEPT - 2
    places(connections, "b", "c")
    assert connections.admit("d") is None


def test_connections_have_a_third_of_the_descriptors() -> None:
    """The others are for uploads, the database and the workers."""
    assert most_connections(1000, 3000) == 1000
    assert most_connections(1000, 2999) == 999
    assert most_connections(1000, resource.RLIM_INFINITY) == 1000


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        (1024, 4096, 4096),
        (1024, resource.RLIM_INFINITY, MOST_DESCRIPTORS),
        (1024, 1 << 20, MOST_DESCRIPTORS),
        (4096, 4096, 4096),
        (1 << 20, 1 << 20, 1 << 20),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_the_limit_of_descriptors_is_raised_as_far_as_it_may_be(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int
) -> None:
    """T-H4: and never lowered; the hard limit stays that of the administrator."""
    limits = {resource.RLIMIT_NOFILE: (soft, hard)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)

    assert raise_descriptor_limit() == raised
    assert limits == {resource.RLIMIT_NOFILE: (raised, hard)}


def test_a_client_with_fewer_connections_is_served_while_others_have_them_all(tmp_path: Path) -> None:
    """T-H4: 20 addresses take all they can; a bystander's requests, and the server's own files, still work."""
    with contextlib.ExitStack() as stack:
        table = {"connections": 20, "connections_per_address": 15}
        server = stack.enter_context(running(tmp_path, {"server": {"port": 0, **table}}))
        taken = [stack.enter_context(rawhttp.connected(server.url, f"127.0.1.{number % 20}")) for number in range(60)]
        token = Scanner(server).create("copy")

        assert token
        assert sum(not line.has_hung_up() for line in taken) <= 20
        one = [stack.enter_context(rawhttp.connected(server.url, "127.0.2.1")) for _ in range(2)]
        assert any(not line.has_hung_up() for line in one)


def test_an_address_has_so_many_connections(tmp_path: Path) -> None:
    """T-H4: one more is closed at once."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(tmp_path, {"server": {"port": 0, "connections_per_address": 3}}))
        taken = [stack.enter_context(rawhttp.connected(server.url, "127.0.0.3")) for _ in range(3)]
        more = stack.enter_context(rawhttp.connected(server.url, "127.0.0.3"))

        assert more.is_closed()
        assert [line.has_hung_up() for line in taken] == [False] * 3
    assert "connection refused: too many connections" in server.log()
