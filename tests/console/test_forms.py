"""Forms of schemas: what is submitted as it was shown changes nothing, and what is wrong has its error at the field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import messages
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schema_values import SHIPPED, complete, shipped, values

from postscan.console import forms
from postscan.console.forms import ControlKind, FormField
from postscan.core.filters import parameters
from postscan.core.filters.parameters import Parameter, Schema, element
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.soap.processes import drafts, new_process, properties
from postscan.soap.processes.fields import FilterFields
from postscan.soap.processes.files import ProcessFiles
from postscan.soap.processes.folder import read_process


@dataclass(frozen=True)
class Ticket:
    """Ticket: fields of all kinds."""

    number: int = element("Number", least=1, most=9, help="how many")
    title: str = element("Title", default="")
    greeting: str = element("Greeting", default="hello")
    colour: Literal["red", "blue"] = element("Colour", default="red")
    scale: float = element("Scale", default=1.5)
    signed: bool = element("Signed", default=False)
    to: tuple[str, ...] = element("To", default=())
    copies: tuple[int, ...] = element("Copy", default=(1, 2))
    big: int = element("Big", default=0)


TICKET = parameters.schema(Ticket)
URN = "urn:test:ticket"
STORED = complete(TICKET, {"number": 3})


def fields(stored: dict[str, Any] | None, schema: Schema = TICKET) -> dict[str, FormField]:
    """Return the fields of a form by the names of their controls."""
    return {one.name: one for one in forms.form_fields("f1.", schema.parameters, stored)}


def as_submitted(shown: dict[str, FormField]) -> dict[str, list[str]]:
    """Return what a browser submits of an unchanged form: line ends are CRLF, a line control has none."""
    texts = {}
    for name, one in shown.items():
        text = one.text
        if one.kind is ControlKind.LINE:
            text = text.replace("\r", "").replace("\n", "")
        if one.kind is not ControlKind.FIXED:
            texts[name] = [text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")]
    return texts


def submit(stored: dict[str, Any] | None = STORED, /, **texts: str) -> forms.Submitted:
    """Return what a form changes in which these controls were edited."""
    form = as_submitted(fields(stored)) | {f"f1.{name}": [text] for name, text in texts.items()}
    return forms.read("f1.", TICKET.parameters, stored, form)


# --- fields ----------------------------------------------------------------------------------------------------------


def test_every_kind_of_parameter_has_its_control() -> None:
    """With its bounds and choices as the browser knows them, and the help of the author."""
    shown = fields(STORED)

    assert {name: (one.kind, one.text) for name, one in shown.items()} == {
        "f1.number": (ControlKind.NUMBER, "3"),
        "f1.title": (ControlKind.LINE, ""),
        "f1.greeting": (ControlKind.LINE, "hello"),
        "f1.colour": (ControlKind.CHOICE, "red"),
        "f1.scale": (ControlKind.NUMBER, "1.5"),
        "f1.signed": (ControlKind.CHOICE, "false"),
        "f1.to": (ControlKind.LINES, ""),
        "f1.copies": (ControlKind.LINES, "1\n2"),
        "f1.big": (ControlKind.NUMBER, "0"),
    }
    number, colour = shown["f1.number"], shown["f1.colour"]
    assert (number.least, number.most, number.step, number.required, number.help) == ("1", "9", "1", True, "how many")
    assert (colour.choices, colour.label) == ((("red", "red"), ("blue", "blue")), "Colour")
    assert shown["f1.signed"].choices == (("true", "yes"), ("false", "no"))


def test_what_a_control_would_change_gets_another_one() -> None:
    """A browser empties a control for numbers that holds too large a one, and removes line ends from a line."""
    shown = fields(STORED | {"big": 10**300, "title": "two\nlines", "to": ("", "a"), "copies": ()})

    assert [shown[f"f1.{name}"].kind for name in ("big", "title", "to", "copies")] == [
        ControlKind.LINE,
        ControlKind.TEXT,
        ControlKind.FIXED,
        ControlKind.LINES,
    ]


# --- what is submitted -----------------------------------------------------------------------------------------------


def test_an_edited_field_is_the_only_change() -> None:
    """Of its own type; lines that are empty do not count."""
    assert submit(number="4").values == {"number": 4}
    assert submit(to="a@b.example\r\n\r\nc@d.example\r\n").values == {"to": ("a@b.example", "c@d.example")}
    assert submit(signed="true", colour="blue", scale="2").values == {"signed": True, "colour": "blue", "scale": 2.0}
    assert submit(number="4").errors == {}


def test_an_emptied_field_gets_its_default_or_is_empty() -> None:
    """A text whose default is another text can be empty; a number cannot."""
    stored = STORED | {"title": "t", "to": ("a",)}

    assert submit(stored, title="", to="", scale="", greeting="").values == {
        "title": None,
        "to": None,
        "scale": None,
        "greeting": "",
    }


def test_a_field_that_is_not_submitted_stays() -> None:
    """A form that an older page has may lack it."""
    assert forms.read("f1.", TICKET.parameters, STORED, {}) == ({}, {})


def test_a_new_form_has_the_values_that_are_given() -> None:
    """And the defaults for the others; what is required must be given."""
    assert submit(None, number="2", title="t").values["number"] == 2
    assert submit(None, number="").errors == {
        "number": "a value is missing; expected a whole number, at least 1, at most 9"
    }


@pytest.mark.parametrize(
    ("texts", "errors"),
    [
        ({"number": "10"}, {"number": "'10' is not valid; expected a whole number, at least 1, at most 9"}),
        ({"number": ""}, {"number": "a value is missing; expected a whole number, at least 1, at most 9"}),
        ({"colour": "green"}, {"colour": "'green' is not valid; expected one of red, blue"}),
        ({"copies": "1\nx"}, {"copies": "'x' is not valid; expected a whole number"}),
        ({"signed": "perhaps"}, {"signed": "'perhaps' is not valid; expected a true or false"}),
        (
            {"title": "\x00"},
            {
                "title": "'\\x00' is not valid; expected a text of at most 255 characters, of characters "
                "that XML allows, without blanks at its begin and end"
            },
        ),
        (
            {"number": "x", "scale": "y"},
            {
                "number": "'x' is not valid; expected a whole number, at least 1, at most 9",
                "scale": "'y' is not valid; expected a number",
            },
        ),
    ],
)
def test_each_wrong_field_has_its_error(texts: dict[str, str], errors: dict[str, str]) -> None:
    """All at once, and the form keeps what was typed."""
    found = submit(**texts)
    typed = {f"f1.{name}": [text] for name, text in texts.items()}
    again = forms.resubmitted(list(fields(STORED).values()), typed, {f"f1.{name}": e for name, e in errors.items()})

    assert found == ({}, errors)
    assert {one.name: one.error for one in again if one.error} == {
        f"f1.{name}": error for name, error in errors.items()
    }
    assert all(one.text == typed[one.name][0] for one in again if one.name in typed)


def test_a_secret_is_never_in_a_form() -> None:
    """An empty control leaves it as it is; its error has no value."""
    one = replace(TICKET.parameters[1], secret=True, longest=5)
    (shown,) = forms.form_fields("f1.", [one], {"title": "swordfish"})

    def read(form: dict[str, list[str]]) -> forms.Submitted:
        return forms.read("f1.", [one], {"title": "swordfish"}, form)

    assert (shown.kind, shown.text, shown.is_set, shown.default) == (ControlKind.SECRET, "", True, "")
    assert read({"f1.title": [""]}) == ({}, {})
    assert read({"f1.title": ["new"]}) == ({"title": "new"}, {})
    assert read({"f1.title": [""], "f1.title.clear": ["yes"]}) == ({"title": None}, {})
    assert read({"f1.title": ["too long"]}).errors == {"title": "not valid; expected a text of at most 5 characters"}
    assert "too long" not in str(forms.resubmitted([shown], {"f1.title": ["too long"]}, {}))


# --- bytes -----------------------------------------------------------------------------------------------------------


def process(dialect: str, config: str) -> bytes:
    """Return a process with one filter, and what no form knows: comments, attributes, an extension."""
    filters = (
        f"<psp:Filter><psp:Dialect>{dialect}</psp:Dialect><!-- by hand --><psp:Instructions>{config}"
        "</psp:Instructions></psp:Filter>"
    )
    return messages.PROCESS.replace(messages.FILTERS, filters).encode()


def unchanged(files: ProcessFiles, dialect: str, schema: Schema) -> ProcessFiles:
    """Return the files after their form was opened and submitted without an edit."""
    stored = schema.read(read_process(files.xml or b"")[1].filters[0].xml, dialect)
    shown = fields(stored, schema)
    found = forms.read("f1.", schema.parameters, stored, as_submitted(shown))
    assert found.errors == {}
    return drafts.changed(files, [FilterFields(1, "1", dialect, schema)], {1: found.values})


PROPERTIES = properties.write("Archive", ())
HAND_MADE = f"""<t:Ticket xmlns:t='{URN}' xmlns:x='urn:x' x:kept = "1 > 0"><x:More/>
  <t:Number
    > 007</t:Number><t:Title>a<!-- why -->b</t:Title><t:Scale>1.50</t:Scale><t:Signed>1</t:Signed>
  <t:To/><t:To>two&#10;lines</t:To><t:Big>+00012</t:Big><t:Copy>01</t:Copy></t:Ticket>"""


def test_a_form_that_is_opened_and_saved_changes_no_byte() -> None:
    """Numbers keep their zeros and signs, texts their comments, elements their blanks."""
    before = ProcessFiles(process(URN, HAND_MADE), PROPERTIES)

    assert unchanged(before, URN, TICKET) == before


@given(st.data())
@pytest.mark.parametrize("plugin", [*SHIPPED, "ticket"])
def test_no_values_of_any_schema_change_by_opening_and_saving(plugin: str, data: st.DataObject) -> None:
    """Of our filters, and of one with all kinds of fields; in a dialect whose destinations are any texts."""
    schema = TICKET if plugin == "ticket" else shipped(plugin)[1]
    try:
        config = schema.write(data.draw(values(schema)), URN)
    except parameters.InvalidArgument:
        return  # values that no XML stands for
    xml = new_process.write(
        Instructions("Scan", (FilterInstructions(URN, config),)), repository="r", title="t", author="a"
    )
    before = ProcessFiles(xml, PROPERTIES)

    assert unchanged(before, URN, schema) == before


def test_a_parameter_without_a_default_is_not_there() -> None:
    """Its control is empty; the choice has an empty line."""
    one = Parameter("kind", "text", ("Kind",), choices=("a", "b"))
    (shown,) = forms.form_fields("", [one], {"kind": None})

    assert (shown.text, shown.choices[0]) == ("", ("", ""))
    assert forms.read("", [one], {"kind": None}, {"kind": [""]}) == ({}, {})
    assert forms.read("", [one], {"kind": "a"}, {"kind": [""]}) == ({"kind": None}, {})
