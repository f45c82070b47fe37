"""Filters of a scan process are moved, added and removed; each that stays has the bytes that it had."""

from __future__ import annotations

import messages
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.errors import InvalidArgument
from postscan.core.model.process import FilterInstructions
from postscan.soap.processes.arrangement import arrange
from postscan.soap.processes.folder import _check_schema, read_process

NEW = FilterInstructions("urn:test:new&more", b'<New xmlns="urn:test:new&amp;more">\n  <A>1</A>\n</New>')


def filter(number: int) -> str:
    """Return a filter that no other one equals, with a comment that no form knows."""
    return (
        f"<psp:Filter><!-- {number} --><psp:Dialect>urn:test:{number}</psp:Dialect>"
        f'<psp:Instructions>\n<C  xmlns="urn:test:{number}"/></psp:Instructions></psp:Filter>'
    )


def process(*filters: str, between: str = "\n      ") -> bytes:
    """Return a process with these filters, each behind a line end."""
    inside = "".join(between + one for one in filters)
    return messages.PROCESS.replace(messages.FILTERS, inside + "\n    ").encode()


THREE = process(filter(1), filter(2), filter(3))


def dialects(xml: bytes) -> list[str]:
    """Return the dialects of a process that the schema of stored processes accepts."""
    _check_schema(xml)
    return [one.dialect for one in read_process(xml)[1].filters]


@given(st.permutations([1, 2, 3]), st.integers(1, 3))
def test_filters_are_in_the_new_order_with_their_bytes(order: list[int], count: int) -> None:
    """Those that are not named are removed, and all else is as before."""
    assert arrange(THREE, order[:count]) == process(*map(filter, order[:count]))


def test_the_same_order_changes_no_byte() -> None:
    """Whatever the layout is."""
    odd = process(filter(1), "<!-- between -->", filter(2), between=" ")

    assert arrange(odd, [1, 2]) == odd


def test_what_is_between_filters_keeps_its_place() -> None:
    """A comment there belongs to no filter."""
    before = process(filter(1), "<!-- between -->", filter(2))

    assert arrange(before, [2, 1]) == process(filter(2), "<!-- between -->", filter(1))


def test_a_new_filter_is_laid_out_like_the_others() -> None:
    """Before, between or behind them; its instructions are read as they were written."""
    xml = arrange(THREE, [3, NEW, 1, NEW])

    assert dialects(xml) == ["urn:test:3", NEW.dialect, "urn:test:1", NEW.dialect]
    assert b"\n      <psp:Filter>\n        <psp:Dialect>urn:test:new&amp;more</psp:Dialect>" in xml
    assert b"\n          <New " in xml
    assert (
        read_process(xml)[1].filters[1].xml
        == read_process(
            process(filter(1).replace('<C  xmlns="urn:test:1"/>', NEW.xml.decode().replace("\n", "\n          ")))
        )[1]
        .filters[0]
        .xml
    )


def test_a_new_filter_has_the_prefix_of_the_others() -> None:
    """Another prefix may stand for another namespace, or for none."""
    renamed = THREE.replace(b"xmlns:psp=", b"xmlns:other=").replace(b"psp:", b"other:")

    assert dialects(arrange(renamed, [NEW, 2])) == [NEW.dialect, "urn:test:2"]


@pytest.mark.parametrize("order", [[], [1, 1], [0], [4], [-1]])
def test_an_order_that_no_process_can_have_is_refused(order: list[int]) -> None:
    """A form that was made by hand may send anything."""
    with pytest.raises(InvalidArgument, match="at least one filter"):
        arrange(THREE, order)
