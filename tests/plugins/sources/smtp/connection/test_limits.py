"""Connections at a time: in all, from one address, and who gives way."""

from __future__ import annotations

import pytest

from postscan.plugins.sources.smtp.connection.limits import ConnectionCount, CountedConnection
from postscan.plugins.sources.smtp.replies import Rejected


def admitted(limits: ConnectionCount, *addresses: str, proven: bool = False) -> list[CountedConnection]:
    """Admit connections of these addresses, in this order."""
    return [limits.admit(address, proven=proven) for address in addresses]


def test_an_address_has_so_many_connections() -> None:
    """Whether its clients have proven themselves or not; others are not hindered."""
    limits = ConnectionCount(10, 2)
    first, _ = admitted(limits, "a", "a", proven=True)

    with pytest.raises(Rejected) as caught:
        limits.admit("a", proven=True)
    assert caught.value.reply == "421 4.7.0 too many connections from this address"
    admitted(limits, "b")
    first.leave()
    admitted(limits, "a")
    assert len(limits) == 3


def test_strangers_give_way_when_there_is_no_room() -> None:
    """The oldest of the address with the most."""
    limits = ConnectionCount(4, 4)
    left = []
    for name, connection in zip("1234", admitted(limits, "a", "b", "b", "b"), strict=True):
        connection.give_way = lambda name=name: left.append(name)  # type: ignore[misc]

    admitted(limits, "c")
    admitted(limits, "d")

    assert (left, len(limits)) == (["2", "3"], 4)


def test_a_client_that_may_send_keeps_its_connection() -> None:
    """Nobody gives way to an address that has as many itself."""
    limits = ConnectionCount(2, 2)
    left = []
    (sender,) = admitted(limits, "a", proven=True)
    (stranger,) = admitted(limits, "b")
    sender.give_way = lambda: left.append("a")
    stranger.give_way = lambda: left.append("b")
    admitted(limits, "c")

    assert left == ["b"]
    with pytest.raises(Rejected, match="too many connections"):
        limits.admit("c", proven=True)
    assert len(limits) == 2


def test_a_connection_counts_until_its_last_use() -> None:
    """A mail is stored after its client has left."""
    limits = ConnectionCount(1, 1)
    (connection,) = admitted(limits, "a", proven=True)
    connection.hold()
    connection.leave()

    with pytest.raises(Rejected):
        limits.admit("a", proven=True)
    connection.leave()
    admitted(limits, "a")


def test_one_that_gave_way_is_not_counted_twice() -> None:
    """Its end comes later."""
    limits = ConnectionCount(1, 1)
    (first,) = admitted(limits, "a")
    (second,) = admitted(limits, "b")
    first.leave()

    assert len(limits) == 1
    second.leave()
    assert len(limits) == 0
