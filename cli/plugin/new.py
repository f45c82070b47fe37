"""`postscan plugin new`: a package with one filter and its tests, ready to be installed and changed."""

from __future__ import annotations

import importlib.resources
import importlib.util
import keyword
import re
import shlex
import uuid
from pathlib import Path
from typing import Annotated, Final

import typer

from postscan.core.errors import PostscanError

FILES: Final = {
    "pyproject.toml.in": "pyproject.toml",
    "README.md.in": "README.md",
    "Makefile.in": "Makefile",
    "gitignore.in": ".gitignore",
    "filter.py.in": "src/{module}.py",
    "test_filter.py.in": "tests/test_{module}.py",
    "postscan.toml.in": "try/postscan.toml",
    "process.xml.in": "try/process.xml",
}
"""The files of the template, and what they become."""

_NAME: Final = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")
_WORD: Final = re.compile(r"\{\{(\w+)\}\}")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package and of the plugin.")],
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the package; default: NAME, in this one.")
    ] = None,
) -> None:
    """Write a package that brings a filter of your own.

    The package can be installed as it is, is listed as `ready`, and passes its tests, those of the cancel included.
    Its filter copies every page into a folder, and is there to be changed. No file that is there is written over.

    \b
    Examples:
      postscan plugin new acme-folder
      postscan plugin new acme-folder --folder ~/src/acme
    """
    home = (folder or Path(name)).absolute()
    words = _words(name, home)
    sheets = importlib.resources.files("postscan.cli.plugin") / "template"
    texts = {home / path.format(**words): _filled(sheets / sheet, words) for sheet, path in FILES.items()}
    for path in texts:
        if path.exists() or path.is_symlink():
            raise PostscanError(f"{path}: is there already, and would be written over")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        typer.echo(path.relative_to(home))
    typer.echo(f"\nGo on with:\n\n  cd {shlex.quote(str(folder or name))}\n  make install\n  make test\n")
    typer.echo("README.md says how to run the filter, to cancel it, and to put it to the test.")


def _words(name: str, home: Path) -> dict[str, str]:
    """Return what the template's words stand for; refuse a name that no package could have."""
    import tomlkit

    module = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(module):
        expected = "lower-case letters, digits and single hyphens, a letter first, 40 at most; such as acme-folder"
        raise typer.BadParameter(f"{name!r} is no name for a package; expected {expected}", param_hint="NAME")
    there = importlib.util.find_spec(module)
    if there and there.origin:
        raise typer.BadParameter(f"Python has a module {module} already: {there.origin}", param_hint="NAME")
    camel = "".join(part.capitalize() for part in name.split("-"))
    return {
        "name": name,
        "module": module,
        "camel": camel,
        "title": name.replace("-", " ").capitalize(),
        "guid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:example:{name}")).upper(),
        "out": tomlkit.string(str(home / "try" / "out")).as_string(),
    }


def _filled(sheet: importlib.resources.abc.Traversable, words: dict[str, str]) -> str:
    return _WORD.sub(lambda found: words[found[1]], sheet.read_text("utf-8"))
