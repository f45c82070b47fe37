"""Responses of pages: a template with its values, and the redirect after a POST.

Values are escaped by Jinja, whatever they are; an unknown name in a template is an error. Every text of a template is
passed to gettext. A date is shown by the filter `moment`: in UTC, in a `<time>` that a script may show in local time.
"""

from __future__ import annotations

import gettext
import hashlib
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import jinja2
from starlette.responses import HTMLResponse, RedirectResponse, Response

from postscan.console.request import Console, ConsoleRequest
from postscan.core.model.principal import Principal, Right

STATIC: Final = files("postscan.console") / "static"
_LONGEST_PATH: Final = 2000  # characters


MENU: Final = (
    ("/", "Dashboard"),
    ("/jobs", "Jobs"),
    ("/processes", "Processes"),
    ("/plugins", "Plugins"),
    ("/devices", "Devices"),
    ("/audit", "Audit"),
    ("/health", "Health"),
    ("/settings", "Settings"),
    ("/accounts", "Accounts"),
)
"""The pages in the head of each page, where the person may see them."""


class MenuEntry(NamedTuple):
    """A page in the menu; `is_here`: the request is for it, or for a page below it."""

    path: str
    label: str
    is_here: bool


class HtmlPage(HTMLResponse):
    """A page; it has shown the notice of its request. `session` is as in `SeeOther`."""

    session: str | None = None


class SeeOther(RedirectResponse):
    """The answer to a POST: the browser gets another page, which shows the notice.

    *session* is the secret of a session that has begun, "" if the session has ended, None if it goes on.
    """

    def __init__(self, path: str, notice: str = "", session: str | None = None) -> None:
        super().__init__(safe_path(path), status_code=303)
        self.notice = notice
        self.session = session


@cache
def environment() -> jinja2.Environment:
    """Return the templates of the console: one object in a process, since it keeps those that it has compiled."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("postscan.console"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The extension adds this method when it is loaded, so the type of the environment does not have it.
    made.install_gettext_translations(gettext.NullTranslations(), newstyle=True)  # type: ignore[attr-defined]
    made.filters |= {"moment": moment, "stamp": stamp, "duration": duration, "bytes": size, "cut": cut}
    made.globals |= {"static": static_url, "menu": menu, "Right": Right}
    return made


def render(request: ConsoleRequest, name: str, status: int = 200, /, **values: Any) -> HtmlPage:
    """Return a page made of a template of `console/templates`; raise `jinja2.TemplateError` for a wrong template."""
    return HtmlPage(text(request, name, **values), status)


def text(request: ConsoleRequest, name: str, /, **values: Any) -> str:
    """Return the text of a template, as `render` does; for parts of pages as well."""
    templates = request.console.templates
    shared = {"request": request, "by": request.by, "csrf_token": request.form_token}
    macros = templates.get_template("macros.html").make_module(shared)
    # Each page has the macros as `ui`, without an import of its own; `csrf` is the field that each form needs.
    return templates.get_template(name).render(shared | {"ui": macros, "csrf": vars(macros)["csrf"]} | values)


def region_text(console: Console, by: Principal, name: str, /, **values: Any) -> str:
    """Return the text of a region: a part of a page that is the same in each request, and so has no form."""
    macros = console.templates.get_template("macros.html").make_module({"by": by})
    return console.templates.get_template(name).render({"by": by, "ui": macros} | values).strip()


def see_other(path: str, notice: str = "") -> Response:
    """Return the redirect after a POST; the next page shows the notice once.

    The path is one of the console, so that it may come from a request: to another one goes no redirect, but to "/".
    """
    return SeeOther(path, notice)


def safe_path(text: str) -> str:
    """Return a text if it is a path of this console, "/" else.

    Browsers read a backslash as a slash, and drop tabs and line ends; so only printable ASCII without it is taken.
    """
    is_path = text.startswith("/") and not text.startswith("//") and len(text) <= _LONGEST_PATH
    return text if is_path and text.isascii() and text.isprintable() and "\\" not in text else "/"


def menu(request: ConsoleRequest) -> list[MenuEntry]:
    """Return the pages of the menu that there are, and that the person may see."""
    rows = {row.path: row for row in request.console.routes if row.method == "GET"}
    shown = [(path, label) for path, label in MENU if path in rows and _may(request, rows[path].right)]
    here = request.http.url.path
    return [
        MenuEntry(path, label, here == path or (path != "/" and here.startswith(f"{path}/"))) for path, label in shown
    ]


def _may(request: ConsoleRequest, right: Right | None) -> bool:
    return right is None or request.by.may(right)


@cache
def static_url(name: str) -> str:
    """Return the URL of a file in `console/static`; it has a hash of the file, so browsers may keep it for ever."""
    return f"/static/{static_hash(name)}/{name}"


@cache
def static_hash(name: str) -> str:
    """Return the hash of a static file. Raises `FileNotFoundError`."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:16]


# --- filters of the templates ----------------------------------------------------------------------------------------


def stamp(when: datetime) -> str:
    """Return a time in UTC as a machine reads it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(when: datetime) -> str:
    """Return a time in UTC as a person reads it; templates put it into `<time datetime="{{ when|stamp }}">`."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(value: float | timedelta) -> str:
    """Return a duration in the unit that fits: `0.4 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    seconds = max(0.0, value.total_seconds() if isinstance(value, timedelta) else float(value))
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    whole = int(seconds)
    for unit, smaller, length, part in (("min", "s", 60, 1), ("h", "min", 3600, 60), ("d", "h", 86_400, 3600)):
        if whole < length * (60 if unit == "min" else 24) or unit == "d":
            rest = whole % length // part
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError  # the last unit has no limit


def size(count: float) -> str:
    """Return a number of bytes in the unit that fits: `512 B`, `1.4 MiB`."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def cut(value: object, most: int = 200) -> str:
    """Return a text of at most so many characters; the end of a longer one is left out."""
    whole = str(value)
    return whole if len(whole) <= most else whole[: most - 1] + "…"
