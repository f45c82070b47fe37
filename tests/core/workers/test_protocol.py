"""Messages between the server and a worker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.workers import protocol

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values, max_size=5))
def test_a_message_arrives_as_it_was_sent(message):
    """Whatever JSON can say crosses the pipe unchanged."""
    assert protocol.read(protocol.write(message)) == message


@given(st.dictionaries(st.text(), values, max_size=5))
def test_a_message_is_one_line(message):
    """Messages are told apart by line ends, so none may hold one."""
    assert b"\n" not in protocol.write(message)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[1]", "expected an object, got list"),
        (b'"cancel"', "expected an object, got str"),
        (b"{\xff}", "can't decode"),
        (b"\x80\x04N.", "can't decode"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason(data, problem):
    """Cut off, no object, a pickle, nested without end: an error that says which (a worker is a stranger)."""
    with pytest.raises(protocol.BadMessage, match=problem):
        protocol.read(data)


def test_a_message_may_be_as_long_as_the_limit_and_no_longer():
    """What a filter says beyond the limit is refused by its length, before it is parsed."""
    longest = b'{"a":"' + b"x" * (protocol.LONGEST - 8) + b'"}'

    assert len(longest) == protocol.LONGEST
    assert protocol.read(longest)["a"].startswith("xxx")
    with pytest.raises(protocol.BadMessage, match="bytes"):
        protocol.read(longest + b" ")
