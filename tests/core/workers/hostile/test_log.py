"""What is logged of filters that do harm: with bounds, in one piece, and enough for their authors."""

from __future__ import annotations

import logging
import time

import pytest
from evil_runs import Den

from postscan.core.workers import supervisor


def test_what_a_filter_logs_has_so_many_lines_of_so_many_bytes(den: Den, caplog: pytest.LogCaptureFixture) -> None:
    """T-P6: the first 20 of its 25 lines, the first 99 bytes of its 10,000, and how much is missing of each."""
    with caplog.at_level(logging.INFO):
        token = den.start_evil("log-much")
        den.ended(token)

    lines = [vars(one) for one in caplog.records if vars(one).get("job") == token]
    logged = [one for one in lines if one["message"] == "filter logged"]
    assert [one["text"] for one in logged] == ["é" * 49, *(f"line {number:03}" for number in range(19))]
    assert logged[0]["dropped_bytes"] == 10_000 - 98
    [dropped] = [one for one in lines if one["message"] == "lines of a filter dropped"]
    assert (dropped["lines"], dropped["bytes"], dropped["filter"]) == (5, 40, "log-much")


def test_an_error_that_a_filter_does_not_expect_is_logged_with_its_traceback(
    den: Den, caplog: pytest.LogCaptureFixture
) -> None:
    """F-R8: its author needs to know where it was raised."""
    token = den.start_evil("raise-something")
    den.ended(token)

    [line] = [vars(one) for one in caplog.records if one.getMessage() == "filter failed" and vars(one)["job"] == token]
    assert line["reason"] == "Odd: half a sign ? and a nul ?"
    assert 'raise Odd("half a sign' in line["traceback"]


def test_what_a_filter_prints_is_logged_up_to_its_cap_and_cannot_trick_a_terminal(
    den: Den, caplog: pytest.LogCaptureFixture
) -> None:
    """20 MB do not fill the log; escape sequences are replaced."""
    with caplog.at_level(logging.DEBUG, logger="postscan.core.workers.slot"):
        den.ended(den.start_evil("print-much"))

    records = [vars(one) for one in caplog.records if vars(one).get("plugin") == "evil"]
    printed = [one["text"] for one in records if one["msg"] == "plugin printed"]
    assert printed[0] == "\N{REPLACEMENT CHARACTER}[2J the first line"
    assert [one["bytes"] for one in records if one["msg"] == "plugin printed more than is logged"] == [20_000_040]
    assert sum(len(line) for line in printed) < supervisor.PRINTED + 1000


def test_a_filter_that_looks_away_for_longer_than_its_grace_is_named_in_the_log(
    den: Den, caplog: pytest.LogCaptureFixture
) -> None:
    """ "Must check" is enforced: the warning names the filter, how long it was, and what it declares."""
    token = den.start_evil("hang")
    den.await_trace(token, "begun")
    time.sleep(0.5)
    den.cancelled(token)

    message = "token not checked within the grace time"
    lines = [vars(record) for record in caplog.records if record.getMessage() == message]
    [warning] = [line for line in lines if line["job"] == token]  # the neighbour may have waited for the processor
    assert (warning["filter"], warning["grace_seconds"]) == ("hang", 0.3)
    assert warning["seconds"] >= 0.5
