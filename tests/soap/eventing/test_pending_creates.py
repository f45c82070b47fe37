"""Nobody hears of a job before the answer to its Create is written, unless nobody reads that answer."""

from __future__ import annotations

import asyncio

from conftest import ANNA, BORIS

from postscan.soap.eventing.pending_creates import PendingCreates


def test_a_job_is_told_of_when_its_create_is_answered() -> None:
    """DSP-066: those that begin later are not waited for."""

    async def run() -> list[str]:
        creates, order = PendingCreates(), []
        first, later = creates.pending(ANNA), creates.pending(ANNA)
        first.__enter__()
        waiting = asyncio.create_task(creates.wait(ANNA))
        await asyncio.sleep(0)
        with later:
            order.append("answered")
            first.__exit__(None, None, None)
            await waiting
            order.append("told")
        return order

    assert asyncio.run(run()) == ["answered", "told"]


def test_an_answer_that_nobody_reads_silences_nobody_for_long() -> None:
    """Two devices may share an address; and another caller's Create is no reason to wait at all."""

    async def run() -> None:
        patient, hasty = PendingCreates(timeout=3600), PendingCreates(timeout=0.01)
        with patient.pending(BORIS), hasty.pending(ANNA):
            await patient.wait(ANNA)
            await hasty.wait(ANNA)

    asyncio.run(asyncio.wait_for(run(), 60))
