"""Operations that the state of the job does not allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from acceptance.bad_input.scene import Scene, Send, failed, nothing_left_behind, unknown
from acceptance.scanning import CANCELED, Refusal, Scanner, good, refusal
from device import Answer


def canceled() -> Refusal:
    return Refusal(500, "soap:Receiver", "dsp:ServerErrorPostScanJobCanceled", CANCELED, None, "")


def to_completed(scene: Scene) -> None:
    good(scene.device.end(scene.token))
    Scanner(scene.server).ended(scene.token)


def to_canceled(scene: Scene) -> None:
    good(scene.device.cancel(scene.token))


def end(scene: Scene) -> Answer:
    return scene.device.end(scene.token, message_id=scene.message_id)


def cancel(scene: Scene) -> Answer:
    return scene.device.cancel(scene.token, message_id=scene.message_id)


STATES: dict[str, tuple[Callable[[Scene], None], Send, Callable[[Scene], Refusal]]] = {
    "SendImage after the end": (to_completed, lambda s: s.send(), lambda _s: failed()),
    "a large SendImage after the end": (to_completed, lambda s: s.send(data=bytes(1 << 20)), lambda _s: failed()),
    "EndPostScanJob after the end": (
        to_completed,
        end,
        lambda _s: failed(),
    ),
    "CancelPostScanJob after the end": (
        to_completed,
        cancel,
        lambda s: unknown(s.token),
    ),
    "SendImage after the cancel": (to_canceled, lambda s: s.send(), lambda _s: canceled()),
    "EndPostScanJob after the cancel": (
        to_canceled,
        end,
        lambda _s: canceled(),
    ),
    "CancelPostScanJob after the cancel": (
        to_canceled,
        cancel,
        lambda s: unknown(s.token),
    ),
}


@pytest.mark.parametrize(("arrange", "send", "expected"), STATES.values(), ids=STATES)
def test_what_the_state_does_not_allow_is_refused(
    scene: Scene, arrange: Callable[[Scene], None], send: Send, expected: Callable[[Scene], Refusal]
) -> None:
    """DSP-039, DSP-049, O-8, O-12, O-13."""
    arrange(scene)
    with nothing_left_behind(scene.server):
        fault = refusal(send(scene))

        assert fault == scene.related(expected(scene))
