"""Dataclasses as tables: what they say of themselves, and what is read of XML by them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.errors import InvalidArgument
from postscan.core.filters import parameters
from postscan.core.filters.parameters import Parameter, Schema, element, setting

NAMESPACE = "urn:test:order"
EMPTY = b"<Instructions xmlns='http://schemas.microsoft.com/windows/2008/02/imaging/postscan/psp'/>"


@dataclass(frozen=True)
class Order:
    """Order: what to print, and how.

    The second line is for readers of the code.
    """

    text: str = element("Text", help="the line at the foot", longest=20)
    copies: int = element("Copies", default=1, least=1, most=9)
    scale: float = element("Scale", default=1.0, least=0.5, most=2)
    duplex: bool = element("Duplex", default=False)
    corner: Literal["left", "right"] = element("Corner", default="left")
    share: tuple[str, ...] = element("Shares/ShareUNC", default=())
    page: tuple[int, ...] = element("Pages/Page", default=(1, 2), least=1)


@dataclass
class Free:
    """Free: everything may be left out."""

    text: str = element("Text", default="x")


def order(inside: str) -> bytes:
    """Write an Order with these elements."""
    return f"<Order xmlns='{NAMESPACE}'>{inside}</Order>".encode()


def read(inside: str) -> Order:
    """Read an Order with a text and these elements."""
    return parameters.read(Order, order(f"<Text>t</Text>{inside}"), NAMESPACE)


def refusal(xml: bytes, cls: type = Order) -> InvalidArgument:
    """Return why this XML is not taken."""
    with pytest.raises(InvalidArgument) as refused:
        parameters.schema(cls).read(xml, NAMESPACE)
    return refused.value


# --- what is read ---------------------------------------------------------------------------------------------------


def test_every_element_becomes_a_value_of_its_type() -> None:
    """Text, numbers, truth, a choice, and what is there several times; in any order."""
    inside = (
        "<Shares><ShareUNC>one</ShareUNC><ShareUNC>two</ShareUNC></Shares><Corner>right</Corner><Duplex>1</Duplex>"
        "<Scale>1.5</Scale><Copies>3</Copies><Text>on it</Text><Pages><Page>7</Page></Pages>"
    )

    assert parameters.read(Order, order(inside), NAMESPACE) == Order(
        "on it", 3, 1.5, True, "right", ("one", "two"), (7,)
    )


def test_what_is_left_out_has_its_default() -> None:
    """Also within a group that is left out or empty."""
    expected = Order("t", 1, 1.0, False, "left", (), (1, 2))

    assert read("") == expected
    assert read("<Shares/><Pages/>") == expected


@pytest.mark.parametrize(("written", "true"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_a_truth_is_one_of_four_words(written: str, true: bool) -> None:
    """PSP-011."""
    assert read(f"<Duplex>{written}</Duplex>").duplex is true


def test_blanks_around_a_value_do_not_count() -> None:
    """Some devices lay out what they send."""
    found = read("<Copies>\n  2 </Copies><Corner> right\t</Corner>")

    assert (found.copies, found.corner) == (2, "right")


def test_prefixes_do_not_count() -> None:
    """PSP-008."""
    xml = f"<q:Order xmlns:q='{NAMESPACE}'><r:Text xmlns:r='{NAMESPACE}'>t</r:Text></q:Order>".encode()

    assert parameters.read(Order, xml, NAMESPACE) == read("")


def test_what_is_foreign_does_not_count() -> None:
    """PSP-010: elements and attributes of other namespaces, and those without any, wherever they stand."""
    foreign = "<Text xmlns='urn:other'>f</Text><Copies xmlns=''>f</Copies>"
    inside = f"{foreign}<Shares>{foreign}<ShareUNC a='1'>one</ShareUNC></Shares>"

    assert read(inside) == read("<Shares><ShareUNC>one</ShareUNC></Shares>")


def test_an_empty_element_is_an_empty_text() -> None:
    """It is there, so it is no default."""
    assert parameters.read(Free, f"<Free xmlns='{NAMESPACE}'><Text/></Free>".encode(), NAMESPACE) == Free("")


def test_empty_instructions_stand_for_an_element_without_children() -> None:
    """A process that wants nothing in particular need not say so."""
    assert parameters.read(Free, EMPTY, NAMESPACE) == Free("x")
    assert refusal(EMPTY).argument == f"{{{NAMESPACE}}}Text"


def test_without_a_class_the_filter_gets_its_xml() -> None:
    """Nothing is declared, so nothing is checked."""
    assert parameters.read(None, b"<do/>", NAMESPACE) == b"<do/>"


def test_what_the_class_says_comes_out_as_it_is() -> None:
    """A rule between two elements is the author's own."""

    @dataclass
    class Range:
        """Range: some pages."""

        first: int = element("First")
        last: int = element("Last")

        def __post_init__(self) -> None:
            if self.last < self.first:
                raise ValueError(f"First is {self.first}, after Last, which is {self.last}")

    xml = f"<Range xmlns='{NAMESPACE}'><First>5</First><Last>3</Last></Range>".encode()

    assert parameters.schema(Range).judged
    with pytest.raises(ValueError, match="First is 5, after Last, which is 3"):
        parameters.read(Range, xml, NAMESPACE)


# --- what is refused ------------------------------------------------------------------------------------------------


REFUSED = {
    "no text": ("", "Text", "", "a text of at most 20 characters, in Order"),
    "too long": (f"<Text>{'t' * 21}</Text>", "Text", "t" * 21, "a text of at most 20 characters"),
    "no number": ("<Copies>two</Copies>", "Copies", "two", "a whole number, at least 1, at most 9"),
    "a fraction": ("<Copies>1.5</Copies>", "Copies", "1.5", "a whole number, at least 1, at most 9"),
    "an empty number": ("<Copies/>", "Copies", "", "a whole number, at least 1, at most 9"),
    "a number without end": (f"<Copies>{'9' * 9999}</Copies>", "Copies", "9" * 9999, "a whole number"),
    "too few": ("<Copies>0</Copies>", "Copies", "0", "at least 1"),
    "too many": ("<Copies>10</Copies>", "Copies", "10", "at most 9"),
    "too large": ("<Scale>2.01</Scale>", "Scale", "2.01", "a number, at least 0.5, at most 2"),
    "not a number": ("<Scale>nan</Scale>", "Scale", "nan", "a number"),
    "without end": ("<Scale>INF</Scale>", "Scale", "INF", "a number"),
    "no truth": ("<Duplex>yes</Duplex>", "Duplex", "yes", "a true or false"),
    "a truth in capitals": ("<Duplex>True</Duplex>", "Duplex", "True", "a true or false"),
    "no choice": ("<Corner>top</Corner>", "Corner", "top", "one of left, right"),
    "a choice in capitals": ("<Corner>Left</Corner>", "Corner", "Left", "one of left, right"),
    "one of many": ("<Pages><Page>1</Page><Page>x</Page></Pages>", "Page", "x", "a whole number, at least 1"),
    "twice": ("<Copies>1</Copies><Copies>1</Copies>", "Copies", "2 elements", "one, in Order"),
    "unknown": ("<Colour>red</Colour>", "Colour", f"{{{NAMESPACE}}}Colour", "what Order may hold: Copies, Corner"),
    "unknown in a group": ("<Shares><Share/></Shares>", "Share", f"{{{NAMESPACE}}}Share", "Shares/ShareUNC"),
    "an underscore": ("<Copies>1_0</Copies>", "Copies", "1_0", "a whole number"),
    "foreign digits": ("<Copies>\u0663</Copies>", "Copies", "\u0663", "a whole number"),
    "elements in a value": ("<Corner>left<Bogus/></Corner>", "Bogus", f"{{{NAMESPACE}}}Bogus", "what Order may hold"),
    "outside its group": ("<ShareUNC>one</ShareUNC>", "ShareUNC", f"{{{NAMESPACE}}}ShareUNC", "Shares/ShareUNC"),
}


@pytest.mark.parametrize(("inside", "name", "value", "expected"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(inside: str, name: str, value: str, expected: str) -> None:
    """With what was there, and with what was expected."""
    text = "" if "Text" in (name, inside) else "<Text>t</Text>"
    refused = refusal(order(text + inside))

    assert (refused.argument, refused.value) == (f"{{{NAMESPACE}}}{name}", value)
    assert expected in refused.expected


@pytest.mark.parametrize(
    ("xml", "argument"),
    [
        (f"<Other xmlns='{NAMESPACE}'/>", f"{{{NAMESPACE}}}Other"),
        ("<Order/>", "Order"),
        ("<Order xmlns='urn:other'/>", "{urn:other}Order"),
        (f"<Instructions xmlns='urn:psp'><Order xmlns='{NAMESPACE}'/><x/></Instructions>", "{urn:psp}Instructions"),
        ("<Instructions xmlns='urn:psp'>text</Instructions>", "{urn:psp}Instructions"),
    ],
)
def test_another_element_is_refused(xml: str, argument: str) -> None:
    """PSP-007: its own element in its own namespace, and nothing beside it."""
    refused = refusal(xml.encode())

    assert refused.argument == argument
    assert refused.expected == f"{{{NAMESPACE}}}Order"


# --- what a class declares ------------------------------------------------------------------------------------------


def test_a_class_is_described_by_its_docstring_and_its_fields() -> None:
    """The name of the element, what it is for, and each parameter with its help."""
    found = parameters.schema(Order)

    assert (found.element, found.help, found.judged) == ("Order", "what to print, and how.", False)
    assert found.parameters[0] == Parameter(
        "text", "text", ("Text",), required=True, help="the line at the foot", longest=20
    )
    assert [(one.kind, one.many, one.default) for one in found.parameters[1:]] == [
        ("whole number", False, 1),
        ("number", False, 1.0),
        ("true or false", False, False),
        ("text", False, "left"),
        ("text", True, []),
        ("whole number", True, [1, 2]),
    ]


def test_a_field_that_is_not_for_the_constructor_is_no_parameter() -> None:
    """What a class works out for itself is its own affair."""

    @dataclass
    class Half:
        """Half: and a half."""

        text: str = element("Text", default="")
        length: int = field(init=False, default=0)

    assert [one.name for one in parameters.schema(Half).parameters] == ["text"]


def test_the_name_may_be_given_instead_of_written() -> None:
    """For a class whose docstring says something else."""

    @dataclass
    class Named:
        """Tell what it is."""

        element = "Given"

    assert parameters.schema(Named).element == "Given"


def declared(**types: tuple[Any, Any]) -> type:
    """Make a dataclass of these fields: a type and a declaration each."""
    names = {name: declaration for name, (_, declaration) in types.items()}
    hints = {name: hint for name, (hint, _) in types.items()}
    return dataclass(type("Made", (), {"__doc__": "Made: here.", "__annotations__": hints, **names}))


@pytest.mark.parametrize(
    ("cls", "sentence"),
    [
        (int, "int is no dataclass"),
        (declared(one=(str, "x")), r"Made\.one has no element; expected it to be declared with element"),
        (declared(one=(str, setting("x"))), r"Made\.one has no element"),
        (declared(one=(str, element(""))), r"Made\.one has no element"),
        (declared(one=(bytes, element("One"))), r"Made\.one is .*bytes.*; expected str, int, float, bool"),
        (declared(one=(str | None, element("One"))), r"Made\.one is str \| None"),
        (declared(one=(list[str], element("One"))), r"Made\.one is list\[str\]"),
        (declared(one=(tuple[str, int], element("One"))), r"Made\.one is tuple\[str, int\]"),
        (declared(one=(tuple[tuple[str, ...], ...], element("One"))), r"Made\.one is tuple\[tuple"),
        (declared(one=(Literal[1, 2], element("One"))), r"Made\.one is typing\.Literal\[1, 2\]"),
        (declared(one=(str, element("A/B")), two=(str, element("A/B"))), "Made names an element twice"),
    ],
)
def test_a_class_that_xml_cannot_be_read_as_is_refused(cls: type, sentence: str) -> None:
    """When the plugin is loaded, and with a sentence for its author."""
    with pytest.raises(ValueError, match=sentence):
        parameters.schema(cls)


def test_a_class_without_a_name_is_refused() -> None:
    """Nobody could write the element."""

    @dataclass
    class Nameless:
        """Say nothing about it."""

    with pytest.raises(ValueError, match="Nameless names no element: expected a docstring that begins with"):
        parameters.schema(Nameless)


def test_settings_are_described_whatever_their_types() -> None:
    """They come from TOML, which has more types than XML has; a secret is marked as one."""

    @dataclass(frozen=True)
    class Settings:
        host: str = setting(help="where to")
        shares: Mapping[str, str] = setting({"a": "b"})
        password: str = setting("", secret=True)
        retries: int = 3

    host, shares, password, retries = parameters.settings(Settings)

    assert (host.required, host.help, host.path) == (True, "where to", ())
    assert (shares.kind, shares.default, Settings("h").shares) == ("Mapping[str, str]", {"a": "b"}, {"a": "b"})
    assert (password.secret, host.secret) == (True, False)
    assert (retries.kind, retries.default) == ("whole number", 3)


def test_two_instances_do_not_share_a_default() -> None:
    """A table that one changes stays as it was for the other."""

    @dataclass(frozen=True)
    class Settings:
        shares: Mapping[str, str] = setting({})

    assert Settings().shares == {}
    assert Settings().shares is not Settings().shares


# --- across the pipe ------------------------------------------------------------------------------------------------


def crossed(data: Any) -> Any:
    """Return the data as it is on the other side of a pipe."""
    return json.loads(json.dumps(data))


@pytest.mark.parametrize("cls", [Order, Free])
def test_a_schema_survives_the_pipe(cls: type) -> None:
    """So both sides read alike."""
    found = parameters.schema(cls)

    assert Schema.from_data(crossed(found.as_data())) == found


GOOD = crossed(parameters.schema(Order).as_data())


@pytest.mark.parametrize(
    "data",
    [
        {},
        {**GOOD, "parameters": None},
        {**GOOD, "parameters": [1]},
        {**GOOD, "parameters": [{}]},
        {**GOOD, "parameters": [["name"]]},
        {**GOOD, "parameters": [{**GOOD["parameters"][0], "more": 1}]},
        {**GOOD, "parameters": [{**GOOD["parameters"][0], "path": None}]},
        {**GOOD, "parameters": [{**GOOD["parameters"][0], "choices": 7}]},
        *({key: value for key, value in GOOD.items() if key != left} for left in GOOD),
    ],
    ids=repr,
)
def test_a_declaration_that_is_none_is_an_error_that_callers_expect(data: dict[str, Any]) -> None:
    """T-P6: it comes from a stranger, and whoever reads it catches these three."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        Schema.from_data(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(asdict(Parameter("", "")))


@given(JSON, st.dictionaries(st.sampled_from(sorted(GOOD)), JSON), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_declaration_raises_anything_else(whole: Any, schema: dict[str, Any], parameter: dict[str, Any]) -> None:
    """T-P6: whatever JSON can say."""
    for data in (whole, {**GOOD, **schema}, {**GOOD, "parameters": [{**GOOD["parameters"][0], **parameter}]}):
        try:
            assert isinstance(Schema.from_data(data), Schema)
        except (KeyError, TypeError, ValueError):
            continue


# --- whatever is written --------------------------------------------------------------------------------------------


TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn"]), max_size=20).map(str.strip)


@given(
    st.builds(
        Order,
        text=TEXTS,
        copies=st.integers(1, 9),
        scale=st.floats(0.5, 2),
        duplex=st.booleans(),
        corner=st.sampled_from(["left", "right"]),
        share=st.lists(TEXTS).map(tuple),
        page=st.lists(st.integers(min_value=1), min_size=1).map(tuple),
    )
)
def test_what_was_written_is_read_again(written: Order) -> None:
    """By the table that crossed the pipe as by the class."""
    root = ElementTree.Element(f"{{{NAMESPACE}}}Order")
    for one in parameters.schema(Order).parameters:
        value = getattr(written, one.name)
        parent = root
        for group in one.path[:-1]:
            parent = ElementTree.SubElement(parent, f"{{{NAMESPACE}}}{group}")
        for item in value if one.many else (value,):
            said = str(item).lower() if isinstance(item, bool) else str(item)
            ElementTree.SubElement(parent, f"{{{NAMESPACE}}}{one.path[-1]}").text = said
    xml = ElementTree.tostring(root)

    assert parameters.read(Order, xml, NAMESPACE) == written
    assert Order(**Schema.from_data(GOOD).read(xml, NAMESPACE)) == written


NAMES = st.sampled_from(["Text", "Copies", "Scale", "Duplex", "Corner", "Shares", "ShareUNC", "Pages", "Page", "Other"])
TREES = st.recursive(
    st.tuples(NAMES, TEXTS, st.just(())),
    lambda inner: st.tuples(NAMES, TEXTS, st.lists(inner, max_size=4)),
    max_leaves=12,
)


def grown(tree: tuple[str, str, Any]) -> ElementTree.Element:
    """Make an element of a name, a text and children."""
    name, text, children = tree
    one = ElementTree.Element(f"{{{NAMESPACE}}}{name}")
    one.text = text
    one.extend(map(grown, children))
    return one


@given(st.lists(TREES, max_size=6))
def test_whatever_is_written_is_taken_or_refused(trees: list[Any]) -> None:
    """What is taken fits, and what is refused is named; nothing else comes out (T-P6)."""
    xml = ElementTree.tostring(grown(("Order", "", [("Text", "t", ()), *trees])))
    found: Any = None
    try:
        found = parameters.read(Order, xml, NAMESPACE)
    except InvalidArgument as error:
        found = error

    if isinstance(found, InvalidArgument):
        assert found.argument.startswith(f"{{{NAMESPACE}}}")
        assert found.expected
        return
    assert len(found.text) <= 20
    assert 1 <= found.copies <= 9
    assert 0.5 <= found.scale <= 2
    assert found.duplex in (True, False)
    assert found.corner in ("left", "right")
    assert all(page >= 1 for page in found.page)
