"""Changes of single values of a scan process: the new file has them, and is else the old one byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import messages
import pytest
from filter_instructions import ADDRESS, OTHER_SHARE, SHARE
from hypothesis import given
from hypothesis import strategies as st
from schema_values import SHIPPED, TEXTS, complete, shipped, values

from postscan.core.errors import InvalidArgument
from postscan.core.filters import parameters
from postscan.core.filters.parameters import Schema, element
from postscan.core.model.process import FilterInstructions, Instructions
from postscan.soap.processes import changes, new_process
from postscan.soap.processes.folder import read_process

DIALECT = "urn:test:letter"
PROCESS = messages.PROCESS


@dataclass(frozen=True)
class Letter:
    """Letter: some kinds of values."""

    title: str = element("Title", default="")
    copies: int = element("Copies", default=1)
    pages: tuple[int, ...] = element("Print/Pages/Page", default=())
    sides: tuple[str, ...] = element("Print/Side", default=("a", "b"))
    body: str = element("Body", default="")
    signed: str = element("Body/By", default="")


LETTER = parameters.schema(Letter)


def process(config: str, before: str = "") -> str:
    """Return a process with one filter of these instructions."""
    filters = (
        f"<psp:Filter><psp:Dialect>{DIALECT}</psp:Dialect>{before}<psp:Instructions>{config}</psp:Instructions>"
        "</psp:Filter>"
    )
    return PROCESS.replace(messages.FILTERS, filters)


def change(text: str, **values: Any) -> str:
    """Return a process with other values of its one filter."""
    return changes.change_filter(text.encode(), 1, LETTER, values).decode()


def read(text: str) -> dict[str, Any]:
    """Return the values of the one filter of a process."""
    return LETTER.read(read_process(text.encode())[1].filters[0].xml, DIALECT)


# --- bytes -----------------------------------------------------------------------------------------------------------

FULL = """<!-- by hand --><l:Letter xmlns:l='urn:test:letter' xmlns:x='urn:x' x:note = "1 > 0">
    <x:Before/>
    <l:Title x:kept='&lt;'>old<!-- why --></l:Title >
    <l:Copies
      >3</l:Copies>
    <l:Print><l:Pages><l:Page x:n="1">1</l:Page>, <l:Page>2</l:Page><!-- odd --><l:Page>3</l:Page></l:Pages></l:Print>
    <x:After><l:Title>not mine</l:Title></x:After>
  </l:Letter>"""

CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "a text": (FULL, {"title": "n & w"}, ">old<", ">n &amp; w<"),
    "a number": (FULL, {"copies": 4}, ">3</l:Copies>", ">4</l:Copies>"),
    "an empty text": (FULL, {"title": ""}, ">old<", "><"),
    "the first of many": (FULL, {"pages": (7, 2, 3)}, ">1</l:Page>", ">7</l:Page>"),
    "one of many less": (FULL, {"pages": (1, 3)}, "<l:Page>2</l:Page>", ""),
    "one of many more": (FULL, {"pages": (1, 2, 3, 4)}, "3</l:Page>", "3</l:Page><l:Page>4</l:Page>"),
    "one before all": (FULL, {"pages": (0, 1, 2, 3)}, '<l:Page x:n="1">', '<l:Page>0</l:Page><l:Page x:n="1">'),
    "one between": (FULL, {"pages": (1, 9, 2, 3)}, "1</l:Page>", "1</l:Page><l:Page>9</l:Page>"),
    "the first of a group": (
        FULL,
        {"sides": ("c", "d")},
        "</l:Pages></l:Print>",
        "</l:Pages><l:Side>c</l:Side><l:Side>d</l:Side></l:Print>",
    ),
    "a new field before others": (
        FULL.replace("<l:Title x:kept='&lt;'>old<!-- why --></l:Title >", "<!-- no title -->"),
        {"title": "new"},
        "<x:Before/>",
        "<l:Title>new</l:Title>\n    <x:Before/>",
    ),
    "a new field after others": (
        FULL,
        {"body": "b"},
        "</l:Pages></l:Print>",
        "</l:Pages></l:Print>\n    <l:Body>b</l:Body>",
    ),
    "a new group": (
        FULL,
        {"signed": "ann"},
        "</l:Pages></l:Print>",
        "</l:Pages></l:Print>\n    <l:Body>\n      <l:By>ann</l:By>\n    </l:Body>",
    ),
    "a field that gets its default": (FULL, {"copies": None}, "\n    <l:Copies\n      >3</l:Copies>", ""),
    "an element without end tag": (
        '<Letter xmlns="urn:test:letter"><Title /></Letter>',
        {"title": "t"},
        "<Title />",
        "<Title >t</Title>",
    ),
    "a config without end tag": (
        '<Letter xmlns="urn:test:letter"/>',
        {"title": "t"},
        '<Letter xmlns="urn:test:letter"/>',
        '<Letter xmlns="urn:test:letter"><Title>t</Title></Letter>',
    ),
    "a config without elements": (
        '\n  <Letter xmlns="urn:test:letter"> <!-- none -->\n  </Letter>\n',
        {"pages": (1, 2)},
        "<!-- none -->",
        "<!-- none -->\n    <Print>\n      <Pages>\n        <Page>1</Page>\n        <Page>2</Page>\n      </Pages>\n"
        "    </Print>",
    ),
    "the last of a group": (
        '<Letter xmlns="urn:test:letter"><Print>\n <Pages>\n  <Page>1</Page>\n </Pages>\n</Print><Body/></Letter>',
        {"pages": ()},
        "<Print>\n <Pages>\n  <Page>1</Page>\n </Pages>\n</Print>",
        "",
    ),
    "the last of a group that has more": (
        '<Letter xmlns="urn:test:letter"><Print a="1"><Pages><Page>1</Page></Pages></Print></Letter>',
        {"pages": ()},
        "<Pages><Page>1</Page></Pages>",
        "",
    ),
    "a text in CDATA": (
        '<Letter xmlns="urn:test:letter"><Title>a<![CDATA[<b>]]>c</Title></Letter>',
        {"title": "]]>"},
        "a<![CDATA[<b>]]>c",
        "]]&gt;",
    ),
    "a text with elements behind it": (
        '<Letter xmlns="urn:test:letter"><Body>b<By>ann</By> </Body></Letter>',
        {"body": "c"},
        ">b<By>",
        ">c<By>",
    ),
    "windows line ends": (
        '\r\n  <Letter xmlns="urn:test:letter">\r\n    <Copies>2</Copies>\r\n  </Letter>\r\n',
        {"title": "t"},
        "<Copies>",
        "<Title>t</Title>\r\n    <Copies>",
    ),
}


@pytest.mark.parametrize(("config", "values", "old", "new"), CASES.values(), ids=CASES)
def test_a_change_of_one_value_changes_its_bytes_alone(config: str, values: dict[str, Any], old: str, new: str) -> None:
    """Comments, elements and attributes of other namespaces, quotes, blanks: all else is as it was."""
    before = process(config)
    assert before.count(old) == 1
    after = change(before, **values)

    assert after == before.replace(old, new)
    wanted = {name: complete(LETTER, {})[name] if value is None else value for name, value in values.items()}
    assert read(after) == read(before) | wanted


def test_instructions_without_a_config_get_one() -> None:
    """They stand for a config without elements, until one of its fields has a value."""
    after = change(process("", before="\n    "), copies=2, pages=(1,))

    assert read(after) == complete(LETTER, {"copies": 2, "pages": (1,)})
    assert change(process(""), copies=None) == process("")


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode(),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: ('\n<?xml version="1.0" encoding="utf-16"?>' + text).encode(),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + ("<?xml version='1.0'?>\r\n" + text).encode("utf-16-be"),
    ],
    ids=["UTF-8", "with a mark", "declared falsely", "UTF-16", "the other UTF-16"],
)
def test_the_encoding_stays(encoded: Callable[[str], bytes]) -> None:
    """PSP-041: also what a directory has kept with the declaration of another one."""
    text = process(FULL.replace("odd", "ödd €"))
    changed = changes.change_filter(encoded(text), 1, LETTER, {"title": "ü"})

    assert changed == encoded(text.replace(">old<", ">ü<"))


def test_one_of_several_filters_is_changed() -> None:
    """The second one of a process of three; its permission for devices stays."""
    dialect, schema = shipped("email")
    changed = changes.change_filter(PROCESS.encode(), 2, schema, {"addresses": (ADDRESS, "ann@contoso.example")})
    line = f"<emlf:EmailAddress>{ADDRESS}</emlf:EmailAddress>"
    more = f"{line}\n          <emlf:EmailAddress>ann@contoso.example</emlf:EmailAddress>"

    assert read_process(changed)[1].filters[1].dialect == dialect
    assert changed.decode() == PROCESS.replace(line, more)


def test_shares_in_another_order_keep_what_stays() -> None:
    """One of them is removed and written again."""
    dialect, schema = shipped("fileshare")
    changed = changes.change_filter(PROCESS.encode(), 1, schema, {"share_uncs": (OTHER_SHARE, SHARE)})
    found = read_process(changed)[1].filters[0]

    assert schema.read(found.xml, dialect) == {"share_uncs": (OTHER_SHARE, SHARE)}


# --- what is beside the filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        (">Delivery note<", {"document_root": "A & B"}, ">A &amp; B<"),
        (">true</psp:ContinueOnError>", {"continue_on_error": False}, ">false</psp:ContinueOnError>"),
    ],
)
def test_the_root_name_and_the_rule_for_errors_are_changed(before: str, values: dict[str, Any], after: str) -> None:
    """And nothing else."""
    assert changes.change_common(PROCESS.encode(), values).decode() == PROCESS.replace(before, after)


def test_a_rule_that_was_not_there_comes_first() -> None:
    """As psp.xsd has it."""
    without = PROCESS.replace("<psp:ContinueOnError>true</psp:ContinueOnError>", "")

    assert changes.change_common(without.encode(), {"continue_on_error": True}).decode() == PROCESS
    assert changes.change_common(without.encode(), {"continue_on_error": False}).decode() == without


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "values", "name"),
    [
        (FULL, {"title": "t\x00"}, "Title"),
        (FULL, {"copies": "4"}, "Copies"),
        (FULL.replace("l:Copies", "l:Colour"), {"title": "t"}, "Colour"),
        (FULL.replace(">3</l:Copies>", ">three</l:Copies>"), {"title": "t"}, "Copies"),
        ("<Letter xmlns='urn:test:letter'><Print><Side>c</Side></Print></Letter>", {"sides": ()}, "Side"),
        ("<Letter xmlns='urn:test:letter'><Body>b<By>ann</By></Body></Letter>", {"body": None}, "By"),
    ],
    ids=["no XML", "another type", "unknown element", "wrong value", "none is the default", "a field inside"],
)
def test_a_change_that_would_be_read_otherwise_is_refused(config: str, values: dict[str, Any], name: str) -> None:
    """The error names the element."""
    with pytest.raises(InvalidArgument) as refused:
        change(process(config), **values)

    assert refused.value.argument == f"{{{DIALECT}}}{name}"


# --- whatever is there, and whatever is wanted -----------------------------------------------------------------------

NOISE = st.lists(
    st.sampled_from(
        ["<!-- <l:Title> -->", "<x:a x:b='>'/>", "<x:c><l:Copies>x</l:Copies></x:c>", "\n\t", "\r\n      "]
    ),
    max_size=3,
).map("".join)


@st.composite
def configs(draw: st.DrawFn) -> str:
    """Return a config with some values, and between its elements what no schema has."""
    inside = [draw(NOISE)]
    for path, count in (("Title", 1), ("Copies", 1), ("Print/Pages/Page", 3), ("Print/Side", 2), ("Body/By", 1)):
        *groups, name = path.split("/")
        texts = draw(st.lists(st.integers(0, 9), max_size=count))
        leaves = "".join(f"<l:{name} x:n=''>{text}</l:{name}>{draw(NOISE)}" for text in texts)
        if texts:
            begin = "".join(f"<l:{group}>{draw(NOISE)}" for group in groups)
            inside.append(f"{begin}{leaves}{''.join(f'</l:{group}>' for group in reversed(groups))}{draw(NOISE)}")
    return f"<l:Letter xmlns:l='{DIALECT}' xmlns:x='urn:x'>{''.join(inside)}</l:Letter>"


def foreign(text: str) -> list[str]:
    """Return what is of no schema, in its order."""
    pieces = ("<!-- <l:Title> -->", "<x:a x:b='>'/>", "<x:c><l:Copies>x</l:Copies></x:c>")
    return [piece for at in range(len(text)) for piece in pieces if text.startswith(piece, at)]


@given(configs(), values(LETTER))
def test_whatever_is_changed_is_read_and_what_is_foreign_stays(config: str, wanted: dict[str, Any]) -> None:
    """In its order; a second change to the same values changes no byte."""
    before = process(config)
    after = change(before, **wanted)

    assert read(after) == read(before) | wanted
    assert foreign(after) == foreign(before)
    assert change(after, **wanted) == after


@given(configs())
def test_values_that_are_there_change_no_byte(config: str) -> None:
    """However they are spelled."""
    before = process(config)

    assert change(before, **read(before)) == before


# --- new processes ---------------------------------------------------------------------------------------------------


def made(dialect: str, schema: Schema, values: dict[str, Any], root: str = "Root") -> bytes:
    """Return a new process with one filter of these values."""
    wanted = Instructions(root, (FilterInstructions(dialect, schema.write(values, dialect)),), continue_on_error=True)
    return new_process.write(wanted, repository="localhost", title="A < B", author="ann & bob")


@pytest.mark.parametrize("name", [name for name in SHIPPED if name not in ("fileshare", "email", "sharepoint")])
@given(data=st.data(), root=TEXTS.filter(bool))
def test_a_new_process_has_the_values_of_its_filter(name: str, data: st.DataObject, root: str) -> None:
    """As the server reads them; the destinations of the other filters are not any text."""
    dialect, schema = shipped(name)
    wanted = data.draw(values(schema))
    found = read_process(made(dialect, schema, wanted, root=root))[1]

    assert (found.document_root, found.continue_on_error) == (root.strip(" \t\r\n"), True)
    assert schema.read(found.filters[0].xml, dialect) == complete(schema, wanted)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fileshare", {"share_uncs": (SHARE, OTHER_SHARE)}),
        ("email", {"send_to_scan_user": True, "addresses": (ADDRESS,)}),
        ("sharepoint", {"site_urls": ("https://team.contoso.example/In?a=1&b=2",)}),
        ("sharepoint", {}),
    ],
)
def test_a_new_process_has_its_destinations(name: str, values: dict[str, Any]) -> None:
    """Those of the three filters of Windows."""
    dialect, schema = shipped(name)
    found = read_process(made(dialect, schema, values))[1]

    assert schema.read(found.filters[0].xml, dialect) == complete(schema, values)
