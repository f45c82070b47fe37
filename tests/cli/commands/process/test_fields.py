"""The fields of filters as options of the command line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import typer
from schema_values import shipped

from postscan.cli.commands.process import fields
from postscan.core.errors import InvalidArgument
from postscan.core.filters import parameters
from postscan.core.filters.parameters import Schema, element
from postscan.core.model.process import FilterInstructions
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.soap.processes import records
from postscan.soap.processes.fields import FilterFields
from postscan.soap.processes.fields import of as of_dialects

SHARE = r"\\files\scans"


@dataclass(frozen=True)
class Order:
    """Order: fields of all kinds."""

    page_text: str = element("Text", longest=20)
    page_size: Literal["a4", "letter"] = element("Size", default="a4")
    copies: int = element("Copies", default=1, least=1, most=9, help="how many")
    scale: float = element("Scale", default=1.0)
    duplex: bool = element("Duplex", default=False)
    mail_to: tuple[str, ...] = element("To", default=())


ORDER = parameters.schema(Order)


def plugin(name: str, *filters: tuple[str, Schema | None]) -> Plugin:
    """Return a ready plugin with filters of these dialects."""
    infos = tuple(FilterInfo(dialect, name.title(), "", 5.0, instructions=schema) for dialect, schema in filters)
    return Plugin(name, name, "1.0", PluginState.READY, filters=infos)


CATALOGUE = Catalogue(
    (
        plugin("fileshare", shipped("fileshare")),
        plugin("pdf", shipped("pdf")),
        plugin("printers", ("urn:acme:order", ORDER)),
        plugin("two", ("urn:acme:raw", None), ("urn:other:order", ORDER)),
    )
)
FILESHARE = shipped("fileshare")[0]


def of(*dialects: str) -> list[FilterFields]:
    """Return the fields of filters with these dialects."""
    return of_dialects(dialects, CATALOGUE)


def given(text: list[str], *dialects: str) -> dict[int, dict[str, Any]]:
    """Return the values of these arguments for filters with these dialects."""
    return fields.given(text, of(*dialects))


# --- which filter ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dialect"),
    [
        ("fileshare", FILESHARE),
        (FILESHARE, FILESHARE),
        ("raw", "urn:acme:raw"),
        ("printers", "urn:acme:order"),
        ("urn:other:order", "urn:other:order"),
    ],
)
def test_a_filter_is_named_by_its_dialect_the_end_of_it_or_its_plugin(name: str, dialect: str) -> None:
    """As `postscan plugin list` has them."""
    assert fields.dialect(CATALOGUE, name) == dialect


@pytest.mark.parametrize("name", ["", "order", "two", "nothing"])
def test_a_name_of_no_filter_or_of_several_is_refused(name: str) -> None:
    """With those that there are."""
    with pytest.raises(InvalidArgument, match=r"--filter.*fileshare.*order"):
        fields.dialect(CATALOGUE, name)


# --- which field -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "option",
    ["--fileshare.share-uncs", "--fileshare.share_uncs", "--share-uncs", "--share", "--sh", "--1.share-uncs"],
)
def test_a_field_may_be_named_without_its_filter_and_be_cut(option: str) -> None:
    """As long as one field is meant."""
    assert given([option, SHARE], FILESHARE, "urn:acme:order") == {1: {"share_uncs": (SHARE,)}}


def test_a_cut_name_of_two_fields_is_refused() -> None:
    """With both; a longer one is accepted."""
    with pytest.raises(typer.BadParameter, match=r"--order\.page-text, --order\.page-size"):
        given(["--page", "x"], "urn:acme:order")
    assert given(["--page-t", "x"], "urn:acme:order") == {1: {"page_text": "x"}}


def test_a_filter_that_occurs_twice_is_named_by_its_number() -> None:
    """Each of them has its own values."""
    filters = (FILESHARE, shipped("pdf")[0], FILESHARE)

    assert given(["--1.share", SHARE, "--3.share", "\\\\a\\b", "--title=t"], *filters) == {
        1: {"share_uncs": (SHARE,)},
        3: {"share_uncs": ("\\\\a\\b",)},
        2: {"title": "t"},
    }
    with pytest.raises(typer.BadParameter, match=r"more than one .*--1\.share-uncs, --3\.share-uncs"):
        given(["--share", SHARE], *filters)


def test_every_kind_of_value_is_read() -> None:
    """By the schema; a field that may be given again has all values in their order."""
    numbers = ["--copies", "3", "--scale=-1.5", "--duplex", "true"]
    texts = ["--page-text", "t", "--page-size", "letter", "--mail-to", "a", "--mail-to", "b"]

    assert given([*numbers, *texts], "urn:acme:order") == {
        1: {"page_text": "t", "page_size": "letter", "copies": 3, "scale": -1.5, "duplex": True, "mail_to": ("a", "b")}
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (["--colour", "red"], r"there is no such option; the filters have --order\.page-text"),
        (["--fileshare.copies", "1"], "there is no such option"),
        (["copies", "1"], "expected an option of a field"),
        (["--copies"], "a value is missing"),
    ],
)
def test_what_is_no_option_is_a_wrong_command_line(text: list[str], sentence: str) -> None:
    """With the options that there are."""
    with pytest.raises(typer.BadParameter, match=sentence):
        given(text, "urn:acme:order")


def test_a_filter_without_a_schema_has_no_fields() -> None:
    """It reads its XML itself."""
    with pytest.raises(typer.BadParameter, match="the filters have no fields"):
        given(["--copies", "1"], "urn:acme:raw", "urn:nobody")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (["--copies", "10"], "--order.copies: '10' is not valid; expected a whole number, at least 1, at most 9"),
        (["--copies", "1", "--copies", "2"], "--order.copies: '2 values' is not valid; expected one"),
        (["--page-size", "a5"], "--order.page-size: 'a5' is not valid; expected one of a4, letter"),
        (["--duplex", "yes"], "--order.duplex: 'yes' is not valid; expected a true or false"),
        (["--page-text", "t" * 21], "expected a text of at most 20 characters"),
        (["--page-text", "a\x01b"], "expected a text of at most 20 characters, of characters that XML allows"),
    ],
)
def test_a_wrong_value_is_refused_with_the_field_and_what_was_expected(text: list[str], sentence: str) -> None:
    """Before anything is written."""
    with pytest.raises(InvalidArgument) as refused:
        given(text, "urn:acme:order")

    assert sentence in str(refused.value)


def test_a_secret_is_never_shown() -> None:
    """Neither to people nor as JSON; where the instructions have one, their XML is not shown either."""
    secret = replace(ORDER, parameters=tuple(replace(one, secret=one.name == "page_text") for one in ORDER.parameters))
    filter = FilterFields(1, "order", "urn:acme:order", secret)
    good = ORDER.write({"page_text": "my password", "copies": 3}, "urn:acme:order")
    record = records.of_filter(filter, FilterInstructions("urn:acme:order", good))
    broken = records.of_filter(filter, FilterInstructions("urn:acme:order", good.replace(b">3<", b">three<")))

    assert (record["values"]["page_text"], record["values"]["copies"]) == ("***", 3)
    assert [fields.shown(one, "my password") for one in secret.parameters if one.secret] == ["***"]
    assert (broken["values"], broken["xml"]) == (None, None)
    assert "my password" not in f"{record} {broken}"
