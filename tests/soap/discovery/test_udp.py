"""Interfaces of the machine that come, go, or cannot be used while the server receives discovery messages."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator, Mapping

import pytest

from postscan.soap.discovery import udp
from postscan.soap.discovery.interfaces import Interface
from postscan.soap.discovery.udp import UdpSocket

FIRST, SECOND = Interface(2, "192.0.2.1"), Interface(3, "192.0.2.2")


class FailingJoins(socket.socket):
    """A socket that cannot join the group: with the errors in `errors`, by the number of the interface."""

    errors: Mapping[int, int]

    def setsockopt(self, *arguments: object) -> None:  # type: ignore[override]  # as the real one is called here
        """Fail to join on an interface that is named."""
        membership = arguments[2]
        if isinstance(membership, bytes) and (code := self.errors.get(int.from_bytes(membership[-4:], "little"))):
            raise OSError(code, os.strerror(code))


@pytest.fixture
def errors() -> dict[int, int]:
    """The errors of joins, by the number of the interface."""
    return {}


@pytest.fixture
def receiving(errors: dict[int, int]) -> Iterator[UdpSocket]:
    """A socket of a server that listens everywhere."""
    with FailingJoins(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.errors = errors
        yield UdpSocket(raw, "0.0.0.0", lenient=False)


def present(monkeypatch: pytest.MonkeyPatch, *interfaces: Interface) -> None:
    """Let the machine have these interfaces."""
    monkeypatch.setattr(udp.interfaces, "multicast_interfaces", lambda *_: list(interfaces))


def test_an_interface_that_appears_is_joined_once_and_one_that_is_gone_is_left(
    receiving: UdpSocket, errors: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only new ones get a Hello."""
    present(monkeypatch, FIRST)
    assert receiving.update_memberships() == [FIRST]
    present(monkeypatch, FIRST, SECOND)
    errors[FIRST.index] = errno.EADDRINUSE
    assert receiving.update_memberships() == [SECOND]
    present(monkeypatch, SECOND)
    errors[SECOND.index] = errno.EADDRINUSE
    assert receiving.update_memberships() == []

    assert receiving.joined == {SECOND}


def test_an_interface_that_cannot_be_joined_is_logged_once_and_tried_again(
    receiving: UdpSocket,
    errors: dict[int, int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A cable that is plugged in later works without a restart."""
    present(monkeypatch, FIRST)
    errors[FIRST.index] = errno.ENODEV
    assert [receiving.update_memberships() for _ in range(2)] == [[], []]
    errors.clear()
    assert receiving.update_memberships() == [FIRST]

    assert [one.message for one in caplog.records] == ["multicast group not joined"]


def test_interfaces_that_cannot_be_listed_change_nothing(
    receiving: UdpSocket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One may be removed in the middle of the list."""
    present(monkeypatch, FIRST)
    receiving.update_memberships()

    def fail(*_arguments: object) -> list[Interface]:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(udp.interfaces, "multicast_interfaces", fail)
    with caplog.at_level(logging.INFO):
        assert receiving.update_memberships() == []

    assert receiving.joined == {FIRST}
    assert [one.message for one in caplog.records] == ["interfaces not listed"]
