"""Instructions and settings of a filter as dataclasses, and their description as data.

An author writes a dataclass; the server gets its fields as a table (`Schema`), without importing the class. By the same
table it checks a job's instructions before it creates the job, the worker reads them, and the command line explains
them.

    @dataclass(frozen=True)
    class Instructions:
        '''StampConfig: what is written, and where.'''

        text: str = element("Text", help="the line at the foot of the page")
        corner: Literal["left", "right"] = element("Corner", default="left")
        copies: int = element("Copies", default=1, least=1, most=9)
        share: tuple[str, ...] = element("Shares/ShareUNC", default=(), help="where the pages go")

The XML was parsed by the front end before: it has no DTD, no entities and no processing instructions. `Schema.write`
makes the XML of values, for those who write scan processes.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, get_args, get_origin
from xml.etree import ElementTree

from postscan.core.errors import InvalidArgument

STRING255: Final = 255
"""Most characters of a text, as in the protocol's own instructions, unless the author says otherwise."""

_KINDS: Final = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,300}(?:\.\d{0,100})?|\.\d{1,100})(?:[eE][+-]?\d{1,2})?", re.ASCII)
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even as a reference."""

_REFERENCES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)
"""Line ends and tabs are written as references: then a parser does not change them, and all others are layout."""

_MISSING: Final = dataclasses.MISSING


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One element of the instructions, or one key of the settings.

    `path` names elements one in the other, and is empty for a setting. `kind` is one of the four words of a type;
    `many` says that it may be there any number of times.
    """

    name: str
    kind: str
    path: tuple[str, ...] = ()
    many: bool = False
    required: bool = False
    default: Any = None
    help: str = ""
    choices: tuple[str, ...] = ()
    longest: int = STRING255
    least: float | None = None
    most: float | None = None
    secret: bool = False

    @property
    def expected(self) -> str:
        """In words: what a value must be."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind == "text":
            return f"a text of at most {self.longest} characters"
        bounds = ", ".join(
            f"{word} {bound:g}"
            for word, bound in (("at least", self.least), ("at most", self.most))
            if bound is not None
        )
        return f"a {self.kind}, {bounds}" if bounds else f"a {self.kind}"

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Parameter:
        """Return a parameter from the result of `dataclasses.asdict`, sent by a worker; raise as `Schema.from_data`."""
        known = {field.name for field in dataclasses.fields(cls)}
        if set(data) != known:
            raise ValueError(f"a parameter with {', '.join(sorted(data))}")
        return cls(**{**data, "path": tuple(map(str, data["path"])), "choices": tuple(map(str, data["choices"]))})

    def read(self, clark: str, text: str) -> Any:
        """Return the value of an element's text; raise `InvalidArgument` with its Clark name."""
        value = text.strip()
        try:
            found = self._parsed(value)
        except ValueError:
            raise InvalidArgument(clark, value, self.expected) from None
        return found

    def write(self, clark: str, value: Any) -> str:
        """Return the text, escaped for XML, of which `read` returns this value.

        Raises `InvalidArgument` with the Clark name if there is none.
        """
        text = ""
        try:
            text = _text(value)
            is_read = self._parsed(text.strip()) == value
        except ValueError:
            raise InvalidArgument(clark, text, self.expected) from None
        if not is_read or _FORBIDDEN.search(text):
            expected = f"{self.expected}, of characters that XML allows, without blanks at its begin and end"
            raise InvalidArgument(clark, text, expected)
        return text.translate(_REFERENCES)

    @property
    def absent(self) -> Any:
        """The value of a parameter that is not required and has no element."""
        return tuple(self.default or ()) if self.many else self.default

    def _parsed(self, value: str) -> Any:
        if self.kind == "true or false":
            if value not in _TRUTHS:
                raise ValueError(value)
            return _TRUTHS[value]
        if self.kind == "text":
            if len(value) > self.longest or (self.choices and value not in self.choices):
                raise ValueError(value)
            return value
        if not _NUMBER.fullmatch(value):
            raise ValueError(value)
        number = int(value) if self.kind == "whole number" else float(value)
        if number in (math.inf, -math.inf):  # of many digits with an exponent
            raise ValueError(value)
        if (
            not (self.least if self.least is not None else number)
            <= number
            <= (self.most if self.most is not None else number)
        ):
            raise ValueError(value)
        return number


@dataclasses.dataclass(frozen=True, slots=True)
class Schema:
    """The instructions of one filter: the name of their element, what it is for, and its parameters.

    `judged` says that the author's class checks them too (`__post_init__`), so that it must be called.
    """

    element: str
    help: str = ""
    parameters: tuple[Parameter, ...] = ()
    judged: bool = False

    def as_data(self) -> dict[str, Any]:
        """Return the same as a table of JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Schema:
        """Return a schema from the result of `as_data`, sent by a worker.

        Raises `TypeError`, `KeyError` or `ValueError` for anything else.
        """
        return cls(
            element=str(data["element"]),
            help=str(data["help"]),
            parameters=tuple(Parameter.from_data(one) for one in data["parameters"]),
            judged=bool(data["judged"]),
        )

    def read(self, xml: bytes, namespace: str) -> dict[str, Any]:
        """Return the values by name; raise `InvalidArgument` that names the element and what was expected.

        *xml* is the one config element, in *namespace*; an empty Instructions element stands for one without children.
        Elements of other namespaces are extensions and do not count.
        """
        root = ElementTree.fromstring(xml)  # noqa: S314  (the front end has refused what could harm)
        wanted = f"{{{namespace}}}{self.element}"
        if root.tag != wanted:
            if len(root) or (root.text or "").strip() or not root.tag.endswith("}Instructions"):
                raise InvalidArgument(root.tag, root.tag, wanted)
            root = ElementTree.Element(wanted)
        found = self._found(root, namespace)
        return {one.name: self._value(one, found.get(one.path, []), namespace) for one in self.parameters}

    def write(self, values: Mapping[str, Any], namespace: str) -> bytes:
        """Return the config element, of which `read` returns these values by name.

        A parameter that *values* has not gets no element, so that it has its default. Elements are in the order of the
        parameters. Raises `InvalidArgument` for a required parameter that is missing, and for values that no element
        stands for.
        """
        root = ElementTree.Element(self.element)
        for one in self.parameters:
            for text in self.texts(one, values, namespace):
                parent = root
                for name in one.path[:-1]:
                    parent = _child(parent, name)
                last = one.path[-1]
                (ElementTree.SubElement(parent, last) if one.many else _child(parent, last)).text = text
        xml = "\n".join(_lines(root, f' xmlns="{namespace.translate(_REFERENCES)}"')).encode()
        self._check_written(xml, values, namespace)
        return xml

    def texts(self, one: Parameter, values: Mapping[str, Any], namespace: str) -> list[str]:
        """Return the escaped texts of the elements of one parameter, none if there is no element; raise as `write`."""
        clark = f"{{{namespace}}}{one.path[-1]}"
        if one.name not in values:
            if one.required:
                raise InvalidArgument(clark, "", f"{one.expected}, in {self.element}")
            return []
        value = tuple(values[one.name]) if one.many else values[one.name]
        try:
            return [one.write(clark, item) for item in (value if one.many else (value,))]
        except InvalidArgument:
            if not one.required and value == one.absent:
                return []  # an author may choose a default that no element stands for, as None
            raise

    def _check_written(self, xml: bytes, values: Mapping[str, Any], namespace: str) -> None:
        """Raise `InvalidArgument` if `read` returns others, as it does for no items where some are the default."""
        found = self.read(xml, namespace)
        for one in self.parameters:
            wanted = values.get(one.name, one.absent)
            if found[one.name] != (tuple(wanted) if one.many else wanted):
                clark = f"{{{namespace}}}{one.path[-1]}"
                raise InvalidArgument(clark, str(wanted), f"what {self.element} can have beside its other values")

    def _found(self, root: ElementTree.Element, namespace: str) -> dict[tuple[str, ...], list[ElementTree.Element]]:
        """Return the elements by their path; raise `InvalidArgument` for an unknown one."""
        paths = {one.path for one in self.parameters}
        groups = {path[:length] for path in paths for length in range(len(path))}
        found: dict[tuple[str, ...], list[ElementTree.Element]] = {}
        for path, one in _below(root, namespace):
            if path not in paths and path not in groups:
                known = ", ".join("/".join(path) for path in sorted(paths)) or "nothing"
                raise InvalidArgument(one.tag, one.tag, f"what {self.element} may hold: {known}")
            found.setdefault(path, []).append(one)
        return found

    def _value(self, one: Parameter, elements: list[ElementTree.Element], namespace: str) -> Any:
        clark = f"{{{namespace}}}{one.path[-1]}"
        if not elements:
            if one.required:
                raise InvalidArgument(clark, "", f"{one.expected}, in {self.element}")
            return one.absent
        if one.many:
            return tuple(one.read(clark, element.text or "") for element in elements)
        if len(elements) > 1:
            raise InvalidArgument(clark, f"{len(elements)} elements", f"one, in {self.element}")
        return one.read(clark, elements[0].text or "")


def element(
    path: str,
    *,
    default: Any = _MISSING,
    help: str = "",
    longest: int = STRING255,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """Declare one field of `Instructions`: its element, or `Group/Item` for one inside another.

    Without a *default* the element must be there. *longest* counts characters; *least* and *most* bound numbers.
    """
    metadata = {"path": path, "help": help, "longest": longest, "least": least, "most": most}
    return _field(default, metadata)


def setting(default: Any = _MISSING, *, help: str = "", secret: bool = False) -> Any:
    """Declare one field of `Settings`. A *secret* is never shown, and must not occur in any output of the filter."""
    return _field(default, {"help": help, "secret": secret})


def schema(cls: type) -> Schema:
    """Describe a dataclass `Instructions`; raise `ValueError` if it is none, or XML cannot be read as its types."""
    parameters = tuple(_parameters(cls))
    for one in parameters:
        if not one.path:
            raise ValueError(f"{cls.__name__}.{one.name} has no element; expected it to be declared with element(...)")
    paths = [one.path for one in parameters]
    if len(set(paths)) < len(paths):
        raise ValueError(f"{cls.__name__} names an element twice")
    name = getattr(cls, "element", None) or _first_word(cls)
    if not name.isidentifier():
        raise ValueError(f"{cls.__name__} names no element: expected a docstring that begins with its name and a colon")
    return Schema(name, _summary(cls), parameters, hasattr(cls, "__post_init__"))


def read(cls: type | None, xml: bytes, namespace: str) -> Any:
    """Return an instance of the dataclass, made of the XML, or the XML itself if there is none.

    Raises `ValueError`: `InvalidArgument` if an element is wrong, or the error of the class.
    """
    return xml if cls is None else cls(**schema(cls).read(xml, namespace))


def settings(cls: type) -> tuple[Parameter, ...]:
    """Describe a dataclass `Settings`; a type that is no simple one is described by its name."""
    return tuple(_parameters(cls, strict=False))


def _parameters(cls: type, *, strict: bool = True) -> Iterator[Parameter]:
    if not dataclasses.is_dataclass(cls):
        raise ValueError(f"{cls.__name__} is no dataclass")
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        kind, many, choices = _kind(hints[field.name])
        if strict and not kind:
            raise ValueError(
                f"{cls.__name__}.{field.name} is {hints[field.name]}; expected str, int, float, bool, "
                "a Literal of texts, or a tuple of one of them"
            )
        default = _default(field)
        path = tuple(filter(None, str(field.metadata.get("path", "")).split("/")))
        yield Parameter(
            name=field.name,
            kind=kind or _spelled(hints[field.name]),
            path=path,
            many=many,
            required=default is _MISSING,
            default=None if default is _MISSING else _plain(default),
            help=field.metadata.get("help", ""),
            choices=choices,
            longest=field.metadata.get("longest", STRING255),
            least=field.metadata.get("least"),
            most=field.metadata.get("most"),
            secret=field.metadata.get("secret", False),
        )


def _kind(hint: Any) -> tuple[str, bool, tuple[str, ...]]:
    """Return the word for a type, whether it repeats, and its choices; an empty word for what is not simple."""
    if get_origin(hint) is tuple and len(get_args(hint)) == 2 and get_args(hint)[1] is Ellipsis:
        kind, many, choices = _kind(get_args(hint)[0])
        return ("", False, ()) if many else (kind, True, choices)
    if get_origin(hint) is Literal and all(isinstance(one, str) for one in get_args(hint)):
        return "text", False, get_args(hint)
    return _KINDS.get(hint, ""), False, ()


def _below(
    root: ElementTree.Element, namespace: str, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], ElementTree.Element]]:
    """Yield every element of *namespace* with its path, but for what lies in others."""
    start = f"{{{namespace}}}"
    for child in root:
        if child.tag.startswith(start):
            below = (*path, child.tag.removeprefix(start))
            yield below, child
            yield from _below(child, namespace, below)


def _text(value: Any) -> str:
    """Return a value as XML has it, before it is escaped; raise `ValueError` for a number of too many digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float) or _NUMBER.fullmatch(repr(value)) or not math.isfinite(value):
        return str(value)
    exponent = 99 if abs(value) > 1 else -99  # `_NUMBER` has two digits of it
    return f"{Decimal(repr(value)).scaleb(-exponent):f}e{exponent}"


def _child(parent: ElementTree.Element, name: str) -> ElementTree.Element:
    """Return the last child of this name, or a new one."""
    found = [child for child in parent if child.tag == name]
    return found[-1] if found else ElementTree.SubElement(parent, name)


def _lines(one: ElementTree.Element, attributes: str = "", indent: str = "") -> Iterator[str]:
    """Yield the lines of an element whose texts are escaped."""
    text = one.text or ""
    if len(one):
        yield f"{indent}<{one.tag}{attributes}>{text}"
        for child in one:
            yield from _lines(child, indent=f"{indent}  ")
        yield f"{indent}</{one.tag}>"
    else:
        yield f"{indent}<{one.tag}{attributes}>{text}</{one.tag}>" if text else f"{indent}<{one.tag}{attributes}/>"


def _field(default: Any, metadata: dict[str, Any]) -> Any:
    shown = not metadata.get("secret")
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata, repr=shown)
    return dataclasses.field(default=default, metadata=metadata, repr=shown)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not _MISSING:
        return field.default_factory()
    return field.default


def _plain(value: Any) -> Any:
    """Return a default as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | types.NoneType) else str(value)


def _spelled(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "").replace("collections.abc.", "")


def _first_word(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition(":")[0]


def _summary(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0].partition(":")[2].strip()
