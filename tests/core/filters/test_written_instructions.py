"""Values as the XML of instructions: `Schema.write` is the inverse of `Schema.read`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_values import SHIPPED, TEXTS, complete, shipped, values

from postscan.core.errors import InvalidArgument
from postscan.core.filters import parameters
from postscan.core.filters.parameters import Parameter, Schema, element

NAMESPACE = "urn:test:letter?a=1&b='2'"


@dataclass(frozen=True)
class Letter:
    """Letter: all kinds of values, in groups, and defaults that no element stands for."""

    body: str = element("Body")
    signed: str = element("Body/Signed/By", default="")
    scale: float = element("Scale", default=-0.0)
    copies: int = element("Print/Copies", default=10**299)
    sizes: tuple[float, ...] = element("Print/Sizes/Size", default=())
    sides: tuple[int, ...] = element("Print/Side", default=(1, 2))
    duplex: bool = element("Duplex", default=False)
    corner: Literal["", "left", "a & b"] = element("Corner", default="")
    padded: str = element("Padded", default=" blanks around it ")
    nothing: str = element("Nothing", default=None)
    cut: str = element("Cut", default="longer than five", longest=5)


LETTER = parameters.schema(Letter)
NAMES = ["letter", *SHIPPED]


def schema_of(name: str) -> Schema:
    """Return a schema by the name of its plugin, or the odd one."""
    return LETTER if name == "letter" else shipped(name)[1]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_what_is_written_is_read_again(name: str, data: st.DataObject) -> None:
    """For the filters that we ship as for an odd one; what is left out has its default."""
    schema = schema_of(name)
    written = data.draw(values(schema))

    assert schema.read(schema.write(written, NAMESPACE), NAMESPACE) == complete(schema, written)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_what_was_read_can_be_written(name: str, data: st.DataObject) -> None:
    """Defaults as well, whatever an author has chosen."""
    schema = schema_of(name)
    found = schema.read(schema.write(data.draw(values(schema)), NAMESPACE), NAMESPACE)

    assert schema.read(schema.write(found, NAMESPACE), NAMESPACE) == found


@given(st.floats() | st.integers() | st.booleans() | TEXTS | st.text() | st.none())
def test_a_value_is_written_so_that_it_is_read_or_refused_by_its_name(value: Any) -> None:
    """Whatever a caller gives, for a field of any kind."""
    for kind in ("text", "whole number", "number", "true or false"):
        one = Parameter("field", kind, ("Field",), required=True)
        schema = Schema("Config", parameters=(one,))
        refused = None
        try:
            found = schema.read(schema.write({"field": value}, NAMESPACE), NAMESPACE)
        except InvalidArgument as error:
            refused = error

        assert found == {"field": value} if refused is None else refused.argument == f"{{{NAMESPACE}}}Field"
        assert refused is None or one.expected in refused.expected


@given(st.from_regex(r"[+-]?[0-9]{1,300}(\.[0-9]{0,100})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
def test_every_number_that_can_be_read_can_be_written(text: str) -> None:
    """Python has exponents of three digits where XML has other digits."""
    one = Parameter("field", "number", ("Field",))
    try:
        number = one.read("Field", text)
    except InvalidArgument:
        assert abs(float(text)) == float("inf")
    else:
        assert one.read("Field", one.write("Field", number)) == number


def test_a_number_without_end_is_refused() -> None:
    """However many digits it has: no filter gets an infinite value."""
    with pytest.raises(InvalidArgument, match="a number"):
        Parameter("scale", "number", ("Scale",)).read("Scale", "9" * 300 + "e99")


def test_elements_are_in_groups_and_in_the_order_of_the_fields() -> None:
    """As a person would write them, with the namespace on the config element."""
    values = {"body": "b", "sizes": (1.5, 2.0), "copies": 3, "duplex": True}

    assert LETTER.write(values, "urn:l").decode() == (
        '<Letter xmlns="urn:l">\n'
        "  <Body>b</Body>\n"
        "  <Print>\n"
        "    <Copies>3</Copies>\n"
        "    <Sizes>\n"
        "      <Size>1.5</Size>\n"
        "      <Size>2.0</Size>\n"
        "    </Sizes>\n"
        "  </Print>\n"
        "  <Duplex>true</Duplex>\n"
        "</Letter>"
    )


def test_line_ends_of_a_value_are_references() -> None:
    """A parser would change them, and a program that lays out the file could not tell them from layout."""
    xml = LETTER.write({"body": 'a\r\nb\tc <&>" d'}, NAMESPACE)

    assert b"a&#13;&#10;b&#9;c &lt;&amp;&gt;&quot; d" in xml
    assert ElementTree.fromstring(xml)[0].text == 'a\r\nb\tc <&>" d'


REFUSED = {
    "required": ({}, "Body", "a text of at most 255 characters, in Letter"),
    "too long": ({"body": "b" * 256}, "Body", "a text of at most 255 characters"),
    "blanks at an end": ({"body": "b "}, "Body", "without blanks at its begin and end"),
    "no character of XML": ({"body": "b\x00"}, "Body", "of characters that XML allows"),
    "half a character": ({"body": "b\ud800"}, "Body", "of characters that XML allows"),
    "a number for a text": ({"body": 1}, "Body", "a text"),
    "a text for a number": ({"body": "b", "copies": "1"}, "Copies", "a whole number"),
    "no choice": ({"body": "b", "corner": "right"}, "Corner", "one of , left, a & b"),
    "one of many": ({"body": "b", "sides": (1, 1.5)}, "Side", "a whole number"),
    "none, where some are the default": ({"body": "b", "sides": ()}, "Side", "beside its other values"),
    "too small for digits": ({"body": "b", "scale": 1e-250}, "Scale", "a number"),
    "without end": ({"body": "b", "scale": float("inf")}, "Scale", "a number"),
    "too many digits": ({"body": "b", "copies": 10**5000}, "Copies", "a whole number"),
}


@pytest.mark.parametrize(("values", "name", "expected"), REFUSED.values(), ids=REFUSED)
def test_values_that_no_element_stands_for_are_refused_by_their_name(
    values: dict[str, Any], name: str, expected: str
) -> None:
    """With what was expected; nothing is written that would be read as something else."""
    with pytest.raises(InvalidArgument) as refused:
        LETTER.write(values, NAMESPACE)

    assert refused.value.argument == f"{{{NAMESPACE}}}{name}"
    assert expected in refused.value.expected


def test_a_group_that_is_a_field_as_well_is_not_made_by_the_way() -> None:
    """Its empty element would be an empty text, which nobody asked for."""
    body = replace(LETTER.parameters[0], required=False, default="as usual")
    schema = replace(LETTER, parameters=(body, *LETTER.parameters[1:]))

    with pytest.raises(InvalidArgument, match="Body"):
        schema.write({"signed": "ann"}, NAMESPACE)
    assert schema.read(schema.write({"signed": "ann", "body": ""}, NAMESPACE), NAMESPACE)["body"] == ""
