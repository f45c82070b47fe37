"""Names of files and folders that postscan writes: one safe path component, whatever the device or directory sent.

A document is named by a template: text, and fields in braces. A template can say where a field goes and how a date is
written. Python's own formatting, which could read attributes of objects, is not used.

Source: ws-dsp.md section 10 (file names, extensions), and the folder rule of scan-process.md section 6.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import string
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from postscan.core.model import formats

TEMPLATE: Final = "{root}_{user}_{date}_{page}"
"""How documents are named unless the administrator says otherwise."""

FIELDS: Final = ("root", "user", "date", "process", "page")
DATE: Final = "%Y%m%d-%H%M%S"
PAGE: Final = "03d"
DIRECTIVES: Final = "YymdHMSjGV"
"""The letters that may follow a `%` in the form of a date: those that give digits in every language."""

_FIXED_BYTES: Final = 100  # of a template's text and dates; leaves room for the fields that distinguish documents
_SHARE: Final = (64, 80)  # most characters and bytes of a user or a process in a name; the root name gets the rest
_FALLBACKS: Final = {"root": "Scan", "user": "user", "process": "Process"}

LONGEST: Final = 200  # characters of a file name, extension included
_LONGEST_BYTES: Final = 240  # most file systems stop at 255 bytes; leaves room for "-999"
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?$", re.IGNORECASE)


def component(text: str, fallback: str = "Scan") -> str:
    """Return *text* as one path component that every file system takes; *fallback* if nothing is left of it.

    Characters that some system forbids become `_`; invisible and direction-changing ones go; any run of blanks is one
    space. Applied to its own result, it changes nothing.
    """
    return _shorten(_cleaned(text), LONGEST, _LONGEST_BYTES) or fallback


def user_folder(user: str) -> str:
    """Return the name of the folder of *user*; two users never have the same one.

    A name that had to be changed is followed by `~` and a part of its hash; so is one that contains a `~`, since it
    could be chosen to be equal to the folder of another user.
    """
    name = component(user, fallback="user")
    if name == user and "~" not in user:
        return name
    digest = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_shorten(name, LONGEST - 17, _LONGEST_BYTES - 17)}~{digest}"


class Piece(NamedTuple):
    """A piece of a template: a field and its form, or (without a field) literal text."""

    field: str
    text: str


@functools.lru_cache(maxsize=16)
def pieces(template: str) -> tuple[Piece, ...]:
    """Parse a template; raise `ValueError` that names what is wrong and what was expected."""
    found = tuple(_pieces(template))
    fields = [piece.field for piece in found]
    if "page" not in fields:
        raise ValueError("{page} is missing: without it, all documents of a job would have the same name")
    for field in ("page", *_FALLBACKS):
        if fields.count(field) > 1:
            raise ValueError(f"{{{field}}} is there more than once")
    now = datetime.now(UTC)
    fixed = "".join(_filled(piece, {}, now, 1) for piece in found if piece.field in ("", "date"))
    if len(fixed.encode()) > _FIXED_BYTES:
        raise ValueError(f"its text and dates take {len(fixed.encode())} bytes; expected at most {_FIXED_BYTES}")
    return found


def document_name(
    root: str,
    user: str,
    created: datetime,
    document_id: int,
    format: str,
    *,
    process: str = "",
    template: str = TEMPLATE,
) -> str:
    """Return the name of a document with its extension, at most 200 characters long; the time in it is in UTC.

    Each value is made safe, and so is the whole name. Values are cut if the name is too long; the date, the number and
    the extension stay complete. Raises `ValueError` as `pieces` does.
    """
    suffix = formats.suffix(format)
    parts = pieces(template)
    moment = created.astimezone(UTC)
    values = {"root": root, "user": user, "process": process}
    texts = {field: component(value, _FALLBACKS[field]) for field, value in values.items()}
    for less in itertools.count():
        short = _fitted(texts, parts, moment, document_id, len(suffix) + less)
        stem = _cleaned("".join(_filled(part, short, moment, document_id) for part in parts)).rstrip(". ")
        if len(stem + suffix) <= LONGEST and len((stem + suffix).encode()) <= _LONGEST_BYTES:
            break  # at the first try, unless normalisation has made the joined pieces longer
    return stem + suffix


def examples(template: str, *, root: str, user: str, process: str, pages: int, format: str, now: datetime) -> list[str]:
    """Return the names of the documents of a job that is created now; raise `ValueError` as `pieces` does."""
    return [
        document_name(root, user, now, number, format, process=process, template=template)
        for number in range(1, pages + 1)
    ]


def numbered(name: str, number: int) -> str:
    """Return *name* for the *number*-th try: `a.png`, `a-2.png`, `a-3.png` ..."""
    if number == 1:
        return name
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}-{number}{dot}{suffix}" if stem else f"{name}-{number}"


def _pieces(template: str) -> Iterator[Piece]:
    try:
        parsed = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{error}; expected text and fields such as {{page}}, braces as {{{{ and }}}}") from None
    for text, field, form, conversion in parsed:
        if text:
            yield Piece("", _literal(text))
        if field is None:
            continue
        if field not in FIELDS:
            known = ", ".join(f"{{{one}}}" for one in FIELDS)
            raise ValueError(f"{{{field}}} is no field; expected one of {known}")
        if conversion:
            raise ValueError(f"{{{field}!{conversion}}} has a conversion; expected {{{field}}}")
        yield Piece(field, _form(field, form or ""))


def _literal(text: str) -> str:
    """Return literal text of a template; raise `ValueError` if a file name cannot contain it."""
    if component(f"x{text}x") != f"x{text}x":
        wrong = [c for c in text if component(f"x{c}x") != f"x{c}x"] or [text]
        raise ValueError(f"a file name cannot hold {wrong[0]!r}")
    return text


def _form(field: str, form: str) -> str:
    """Return the form of a field; raise `ValueError` if the field cannot have it."""
    if field == "page":
        if not re.fullmatch(r"(0[1-9])?d", form or PAGE):
            raise ValueError(f"{{page:{form}}} is no form of a number; expected {{page}}, {{page:d}} or {{page:04d}}")
        return form or PAGE
    if field == "date":
        for wrong in re.findall(rf"%(?![{DIRECTIVES}]).?", form):
            known = " ".join(f"%{one}" for one in DIRECTIVES)
            raise ValueError(f"{{date:{form}}}: {wrong} is no part of a date here; expected one of {known}")
        if set(form) & set("{}"):
            raise ValueError(f"{{date:{form}}} has a field in its form; expected something like {{date:%Y-%m-%d}}")
        _literal(re.sub(r"%.", "0", form))
        return form or DATE
    if form:
        raise ValueError(f"{{{field}:{form}}} has a form, which only dates and pages have; expected {{{field}}}")
    return ""


def _filled(piece: Piece, texts: dict[str, str], moment: datetime, number: int) -> str:
    if piece.field == "page":
        return f"{number:{piece.text}}"
    if piece.field == "date":
        return re.sub(r"%.", lambda found: f"{moment:{found[0]}}", piece.text)  # %Y and the like alone
    return texts[piece.field] if piece.field else piece.text


def _fitted(
    texts: dict[str, str], parts: tuple[Piece, ...], moment: datetime, number: int, taken: int
) -> dict[str, str]:
    """Return the texts, cut so that a name with *taken* more characters is not too long."""
    fixed = "".join(_filled(part, {}, moment, number) for part in parts if part.field not in texts)
    length, size = LONGEST - taken - len(fixed), _LONGEST_BYTES - taken - len(fixed.encode())
    present = [part.field for part in parts if part.field in texts]
    short: dict[str, str] = {}
    share = min(_SHARE[0], length // max(1, len(present))), min(_SHARE[1], size // max(1, len(present)))
    for field in sorted(present, key=lambda field: field == "root"):
        short[field] = _shorten(texts[field], *((length, size) if field == "root" else share))
        length, size = length - len(short[field]), size - len(short[field].encode())
    return short


def _cleaned(text: str) -> str:
    """Return *text* without the characters that a component must not contain, of any length."""
    visible = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cs", "Co", "Cn"))
    one_line = " ".join(_UNSAFE.sub("_", unicodedata.normalize("NFC", visible)).split())
    name = one_line.lstrip("-.~ ")
    return f"_{name}" if _RESERVED.match(name) else name


def _shorten(text: str, characters: int, size: int) -> str:
    text = text[:characters]
    while len(text.encode()) > size:
        text = text[:-1]
    return text.rstrip(". ")
