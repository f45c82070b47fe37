"""A schema as fields of an HTML form, and what a browser has submitted back as values. Pure.

A field whose text is submitted as it was shown is unchanged, whatever a browser does to line ends: its value is not
written again, so that no byte of a stored scan process changes by opening and saving it. A field that is not submitted
at all is unchanged as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from postscan.core.errors import InvalidArgument
from postscan.core.filters.parameters import Parameter
from postscan.soap.processes import fields

Form = Mapping[str, Sequence[str]]
"""What a browser has submitted: the texts by the name of the control."""

CLEAR: Final = ".clear"
"""What follows the name of a secret in the name of the control that removes it."""

_EXACT: Final = 2**53
"""Up to here browsers take whole numbers as they are; beyond, a control for numbers may change or empty them."""

_LINE_END: Final = re.compile("\r\n|\r|\n")
_MOST_ERROR: Final = 500


class ControlKind(StrEnum):
    """The HTML control of a field."""

    LINE = "line"
    TEXT = "text"  # several lines
    NUMBER = "number"
    CHOICE = "choice"
    LINES = "lines"  # several values, one a line
    SECRET = "secret"  # noqa: S105  (the name of a control)
    FIXED = "fixed"  # shown, and changed in the XML only


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form. `name` is that of its control, `text` what the control has; a secret has none.

    `is_set` says that a secret has a value. `error` is why the submitted text cannot be stored, "" if it can.
    """

    name: str
    label: str
    kind: ControlKind
    text: str = ""
    help: str = ""
    expected: str = ""
    default: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    least: str = ""
    most: str = ""
    step: str = ""
    longest: int | None = None
    required: bool = False
    is_set: bool = False
    error: str = ""


class Submitted(NamedTuple):
    """What a form changes: values by the name of the parameter, None for a default; errors by the same name."""

    values: dict[str, Any]
    errors: dict[str, str]


def form_fields(prefix: str, parameters: Sequence[Parameter], stored: Mapping[str, Any] | None) -> list[FormField]:
    """Return a field for each parameter; its name is that of the parameter behind *prefix*.

    *stored* are the values by name, None for a form of what is not stored yet: its fields have the defaults.
    """
    return [_field(prefix, one, one.absent if stored is None else stored[one.name], stored) for one in parameters]


def resubmitted(fields: Sequence[FormField], form: Form, errors: Mapping[str, str]) -> list[FormField]:
    """Return the fields with the submitted texts, and with errors by the name of the control."""
    return [
        replace(
            one,
            text=one.text if one.kind in (ControlKind.SECRET, ControlKind.FIXED) else _given(one.name, form, one.text),
            error=errors.get(one.name, ""),
        )
        for one in fields
    ]


def read(prefix: str, parameters: Sequence[Parameter], stored: Mapping[str, Any] | None, form: Form) -> Submitted:
    """Return what a submitted form changes; without *stored* values, all values that it has.

    The arguments are those of `form_fields`.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for one in parameters:
        try:
            values |= dict(_changes(prefix + one.name, one, stored, form))
        except InvalidArgument as error:
            errors[one.name] = sentence(one, error)
    return Submitted(values, errors)


def sentence(one: Parameter, error: InvalidArgument) -> str:
    """Return an error for the place beside the field; it has no value of a secret."""
    if one.secret:
        return f"not valid; expected {one.expected}"
    what = f"{_shortened(error.value)!r} is not valid" if error.value else "a value is missing"
    return f"{what}; expected {error.expected or one.expected}"[:_MOST_ERROR]


def shown(one: Parameter, value: Any) -> str:
    """Return a value as the control of its field has it; several values are one a line."""
    if one.many:
        return "\n".join(_text(item) for item in value)
    return _text(value)


def label(name: str) -> str:
    """Return the name of a parameter for people."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _field(prefix: str, one: Parameter, value: Any, stored: Mapping[str, Any] | None) -> FormField:
    kind = _kind(one, value)
    is_number = kind is ControlKind.NUMBER
    return FormField(
        name=prefix + one.name,
        label=label(one.name),
        kind=kind,
        text="" if one.secret else shown(one, value),
        help=one.help,
        expected="" if kind is ControlKind.CHOICE else one.expected,
        default="" if one.required or one.secret else shown(one, one.absent),
        choices=tuple(_choices(one)) if kind is ControlKind.CHOICE else (),
        least=_text(one.least) if is_number else "",
        most=_text(one.most) if is_number else "",
        step=("1" if one.kind == "whole number" else "any") if is_number else "",
        longest=one.longest if one.kind == "text" and not one.choices else None,
        required=one.required,
        is_set=one.secret and stored is not None and value not in (None, "", ()),
    )


def _kind(one: Parameter, value: Any) -> ControlKind:
    if one.secret:
        return ControlKind.SECRET if not one.many else ControlKind.FIXED
    if one.many:
        return ControlKind.LINES if all(_is_line(_text(item)) for item in value) else ControlKind.FIXED
    if one.choices or one.kind == "true or false":
        return ControlKind.CHOICE
    if one.kind != "text":
        return ControlKind.NUMBER if _is_exact(value) else ControlKind.LINE
    return ControlKind.TEXT if _LINE_END.search(_text(value)) else ControlKind.LINE


def _is_line(text: str) -> bool:
    """Return whether a line of a form can stand for a value: not for an empty one, nor for one with line ends."""
    return bool(text) and not _LINE_END.search(text)


def _is_exact(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and abs(value) <= _EXACT)


def _choices(one: Parameter) -> Iterator[tuple[str, str]]:
    """Yield the values of the control and what people read; an empty value where there is a default of no choice."""
    known = (
        (("true", "yes"), ("false", "no")) if one.kind == "true or false" else [(text, text) for text in one.choices]
    )
    if one.required or _text(one.absent) not in dict(known):
        yield "", ""
    yield from known


def _changes(name: str, one: Parameter, stored: Mapping[str, Any] | None, form: Form) -> Iterator[tuple[str, Any]]:
    """Yield the changed value of one parameter, if it is changed; raise `InvalidArgument`."""
    before = one.absent if stored is None else stored[one.name]
    kind = _kind(one, before)
    text = _normal(_given(name, form, "" if one.secret or stored is None else shown(one, before)))
    if kind is ControlKind.SECRET:
        yield from _secret(name, one, stored, form, text)
        return
    unchanged = stored is not None and text == _normal(shown(one, before))
    if unchanged:
        return
    if kind is ControlKind.FIXED and stored is not None:
        raise InvalidArgument(name, text, "a value that is changed in the XML: it has empty items, or line ends")
    if not text.strip():
        yield from _emptied(name, one, stored)
        return
    texts = [line for line in text.split("\n") if line.strip()] if one.many else [text]
    yield one.name, fields.value(one, name, texts)


def _secret(
    name: str, one: Parameter, stored: Mapping[str, Any] | None, form: Form, text: str
) -> Iterator[tuple[str, Any]]:
    """Yield a new secret, or None for one that is removed; an empty control leaves it as it is."""
    if text:
        yield one.name, fields.value(one, name, [text])
    elif form.get(name + CLEAR):
        yield from _emptied(name, one, stored)
    elif stored is None and one.required:
        raise InvalidArgument(name, "", one.expected)


def _emptied(name: str, one: Parameter, stored: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    """Yield the value of an empty control: the default, or an empty text where the default is another text."""
    if one.required:
        raise InvalidArgument(name, "", one.expected)
    if one.many:
        if one.absent:
            yield one.name, ()  # the schema refuses it where no XML stands for it
        elif stored is not None:
            yield one.name, None
    elif one.kind == "text" and not one.choices and one.absent:
        yield one.name, ""
    elif stored is not None:
        yield one.name, None


def _given(name: str, form: Form, otherwise: str) -> str:
    """Return the submitted text of a control; the first, if there are several, which no form of ours has."""
    return next(iter(form.get(name, ())), otherwise)


def _normal(text: str) -> str:
    return _LINE_END.sub("\n", text)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shortened(text: str) -> str:
    return text if len(text) <= 64 else f"{text[:61]}..."
