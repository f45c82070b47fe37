"""Workers whose filters do what the test says next: publish, end in any way, or die.

They stand where `postscan.core.workers.pool.Workers` stands, at the border of the process: the pipeline above is the
real one, and so is every answer that it gives them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from model.actors import gate

from postscan.core.filters.cancellation import CancelSource
from postscan.core.workers import protocol
from postscan.core.workers.protocol import Order, RunOrder
from postscan.core.workers.slot import Limits, OnMessage, RunEnd, RunEndKind

ENDS: Final = MappingProxyType(
    {
        "done": RunEnd(RunEndKind.REPORTED, protocol.FilterDone()),
        "warn": RunEnd(RunEndKind.REPORTED, protocol.FilterDone(warnings=("a page is empty",))),
        "fail": RunEnd(RunEndKind.REPORTED, protocol.OrderFailed(reasons=("acme:PaperJam",), error="it jammed")),
        "broken": RunEnd(RunEndKind.REPORTED, protocol.OrderBroken(error="KeyError: 'x'")),
        "nonsense": RunEnd(RunEndKind.INVALID, why="it sent an invalid message"),
        "die": RunEnd(RunEndKind.CRASHED, exit_code=-9),
        "late": RunEnd(RunEndKind.STOPPED, late=True),
        "stop": RunEnd(RunEndKind.REPORTED, protocol.FilterCancelled()),
        "killed": RunEnd(RunEndKind.STOPPED, exit_code=-15),
    }
)
"""How a filter can end. "killed" is said only of one that was asked to stop; "stop" may be a lie."""

OUTCOMES: Final = MappingProxyType(
    {
        "done": "CompletedSuccessfully",
        "warn": "CompletedWithWarnings",
        "fail": "CompletedWithErrors",
        "broken": "CompletedWithErrors",
        "nonsense": "CompletedWithErrors",
        "late": "CompletedWithErrors",
    }
)
"""What the filter's state becomes, whatever else happens."""


class ScriptedWorkers:
    """`shown` is the destination: what filters made visible, by job, position, document and name."""

    def __init__(self, shown: dict[tuple[str, int, int | None, str], str]) -> None:
        self._shown = shown

    @contextlib.contextmanager
    def slot(self) -> Iterator[ScriptedWorkers]:
        """Lend a slot for one order."""
        yield self

    def run(self, order: Order, source: CancelSource, limits: Limits, on_message: OnMessage) -> RunEnd:
        """Do what each step says until one is an end."""
        assert isinstance(order, RunOrder)
        documents = [document.id for document in order.documents]
        while True:
            said = gate("asked to stop" if source.cancelled else "filter")
            if said == "publish" and documents:
                self._publish(order, documents.pop(0), on_message)
            elif said == "progress":
                on_message(protocol.FilterProgress(done=1, total=2, unit="pages"))
            elif said in ENDS and (said != "killed" or source.cancelled):
                return ENDS[said]

    def _publish(self, order: RunOrder, document: int, on_message: OnMessage) -> None:
        about: dict[str, Any] = {"document": document, "destination": order.dialect, "name": f"{document}.png"}
        reply = on_message(protocol.GrantRequest(**about))
        if not reply or not reply.granted:
            return
        gate("granted")
        place = (order.job.token, _position(order), document, about["name"])
        self._shown[place] = next(one.sha256 for one in order.documents if one.id == document)
        gate("shown")
        on_message(protocol.OutputPublished(**about))


def _position(order: RunOrder) -> int:
    """Each filter of the model has a dialect of its own, so its dialect says where it stands."""
    return 0 if order.dialect.endswith("a") else 1
