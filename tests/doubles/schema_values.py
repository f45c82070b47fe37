"""Values for the fields of a schema, made by hypothesis, and the schemas of the filters that we ship."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from hypothesis import strategies as st

from postscan.core.filters import loader, parameters
from postscan.core.filters.parameters import Parameter, Schema

TEXTS = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("\t\n\r <>&'\"]"),
    max_size=20,
).map(str.strip)
"""Texts of all characters that XML allows, as `read` returns them."""


SHIPPED = {entry.name: entry for entry in loader.installed() if entry.value.startswith("postscan.plugins.")}
"""The plugins of the filters that we ship."""


@cache
def shipped(plugin: str) -> tuple[str, Schema]:
    """Return dialect and schema of the filter of one of our plugins."""
    (one,) = SHIPPED[plugin].load().postscan_filters()
    return one.dialect, parameters.schema(one.Instructions)


def values(schema: Schema) -> st.SearchStrategy[dict[str, Any]]:
    """Return values of all required fields, and of some of the others."""
    required = {one.name: _value(one) for one in schema.parameters if one.required}
    optional = {one.name: _value(one) for one in schema.parameters if not one.required}
    return st.fixed_dictionaries(required, optional=optional)


def complete(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all fields: the given ones, and defaults."""
    return {one.name: given.get(one.name, one.absent) for one in schema.parameters}


def _value(one: Parameter) -> st.SearchStrategy[Any]:
    if not one.many:
        return _item(one)
    return st.lists(_item(one), min_size=1 if one.default else 0, max_size=4).map(tuple)


def _item(one: Parameter) -> st.SearchStrategy[Any]:
    if one.choices:
        return st.sampled_from(one.choices)
    if one.kind == "text":
        return TEXTS.map(lambda text: text[: one.longest].strip())
    if one.kind == "true or false":
        return st.booleans()
    if one.kind == "whole number":
        return st.integers(
            min_value=-(10**300) + 1 if one.least is None else int(one.least),
            max_value=10**300 - 1 if one.most is None else int(one.most),
        )
    return st.floats(one.least, one.most, allow_nan=False, allow_infinity=False).filter(_has_digits)


def _has_digits(number: float) -> bool:
    return number == 0 or abs(number) > 1e-180
