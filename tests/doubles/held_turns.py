"""Turns on the event loop that come when a test says so."""

from __future__ import annotations

from collections.abc import Callable

from postscan.soap.http.turns import LoopTurn, LoopTurns


class HeldTurns(LoopTurns):
    """Turns each of which waits until `give` is called; `waiting` are those, and `asked` the clients of all."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.waiting: list[LoopTurn] = []

    def take(self, address: str, work: Callable[[], None]) -> LoopTurn:
        """Note the client, and let it wait."""
        self.asked.append(address)
        turn = LoopTurn(self, address, work, len(self.asked))
        self.waiting.append(turn)
        return turn

    def remove(self, _address: str, turn: LoopTurn) -> None:
        """Let the turn be waited for no more."""
        if turn in self.waiting:
            self.waiting.remove(turn)

    def give(self) -> None:
        """Give the turn that has waited longest."""
        self.waiting.pop(0).work()
