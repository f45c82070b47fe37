"""What a source is told when its process begins."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sourced import Sources

from postscan.core.filters.source import messages
from postscan.core.filters.source.messages import InletStarted
from postscan.core.filters.source.ticket import ScanTicket
from postscan.core.sources import start

TICKET = ScanTicket(formats=("jfif",), input_source="ADFDuplex", color="Grayscale8", x_resolution=300, y_resolution=300)


def begin(sources: Sources) -> InletStarted:
    """Return the first message to the source `mail`, as it arrives."""
    sent = start.start_message("mail", sources.settings, sources.origins, Path("/folder"), Path("/workdir"))
    arrived = messages.read_server(messages.write(sent))
    assert isinstance(arrived, InletStarted)
    return arrived


def test_a_destination_has_the_scan_ticket_of_its_process(sources: Sources) -> None:
    """As it is stored when the source begins."""
    sources.processes.scan_ticket = TICKET
    (first,) = begin(sources).destinations
    sources.processes.scan_ticket = ScanTicket(images=1)
    (second,) = begin(sources).destinations

    assert (first.label, first.ticket) == ("Invoices (Anna)", TICKET)
    assert second.ticket == ScanTicket(images=1)


def test_a_ticket_that_cannot_be_used_is_empty_and_in_the_log(
    sources: Sources, caplog: pytest.LogCaptureFixture
) -> None:
    """The source begins all the same: people may send pages another way."""
    sources.processes.broken = "the scan ticket of P cannot be used: it is odd"
    with caplog.at_level(logging.WARNING):
        (found,) = begin(sources).destinations

    (line,) = [one for one in caplog.records if one.message == "scan ticket ignored"]
    assert found.ticket == ScanTicket()
    assert vars(line)["label"] == "Invoices (Anna)"
    assert vars(line)["reason"] == sources.processes.broken


def test_tickets_are_left_out_where_the_message_would_be_too_long(
    sources: Sources, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A source that cannot read its first message would not begin at all."""
    sources.processes.scan_ticket = TICKET
    monkeypatch.setattr(start, "TICKETS", 20)
    with caplog.at_level(logging.WARNING):
        (found,) = begin(sources).destinations

    assert found.ticket == ScanTicket()
    assert [one.message for one in caplog.records] == ["scan ticket ignored"]
