"""`postscan plugin new`: write a package with one filter or source and its tests from a template."""

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

SHARED: Final = {"template/Makefile.in": "Makefile", "template/gitignore.in": ".gitignore"}
FILTER: Final = {
    "template/pyproject.toml.in": "pyproject.toml",
    "template/README.md.in": "README.md",
    "template/filter.py.in": "src/{module}.py",
    "template/test_filter.py.in": "tests/test_{module}.py",
    "template/postscan.toml.in": "try/postscan.toml",
    "template/process.xml.in": "try/process.xml",
}
SOURCE: Final = {
    "source_template/pyproject.toml.in": "pyproject.toml",
    "source_template/README.md.in": "README.md",
    "source_template/source.py.in": "src/{module}.py",
    "source_template/test_source.py.in": "tests/test_{module}.py",
    "source_template/postscan.toml.in": "try/postscan.toml",
}
"""The files of the templates, and the files that they become; `SHARED` belongs to both."""

_NAME: Final = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(-[a-z0-9]+)*")
_WORD: Final = re.compile(r"\{\{(\w+)\}\}")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package and of the plugin.")],
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the package; default: NAME in the current folder.")
    ] = None,
    source: Annotated[bool, typer.Option("--source", help="Write a source, which brings jobs, and no filter.")] = False,
) -> None:
    """Write a package with a filter or a source of your own.

    The package can be installed as it is, is listed as `ready`, and passes its tests, those of the cancel included.
    Its filter copies every page into a folder; its source makes a job of each picture in a folder. Change it to what
    you need. Existing files are not overwritten.

    \b
    Examples:
      postscan plugin new acme-folder
      postscan plugin new acme-scanner --source
      postscan plugin new acme-folder --folder ~/src/acme
    """
    home = (folder or Path(name)).absolute()
    words = _words(name, home)
    templates = importlib.resources.files("postscan.cli.plugin")
    files = SHARED | (SOURCE if source else FILTER)
    texts = {home / path.format(**words): _filled(templates / file, words) for file, path in files.items()}
    for path in texts:
        if path.exists() or path.is_symlink():
            raise PostscanError(f"{path}: already exists, and would be overwritten")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        typer.echo(path.relative_to(home))
    typer.echo(f"\nGo on with:\n\n  cd {shlex.quote(str(folder or name))}\n  make install\n  make test\n")
    typer.echo(
        f"README.md explains how to {'test and check the source' if source else 'run, cancel and check the filter'}."
    )


def _words(name: str, home: Path) -> dict[str, str]:
    """Return the values of the template's placeholders; raise `typer.BadParameter` for an invalid name."""
    import tomlkit

    module = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(module):
        expected = "lower-case letters, digits and single hyphens, a letter first, 40 at most; such as acme-folder"
        raise typer.BadParameter(f"{name!r} is not a name for a package; expected {expected}", param_hint="NAME")
    existing = importlib.util.find_spec(module)
    if existing and existing.origin:
        raise typer.BadParameter(f"Python already has a module {module}: {existing.origin}", param_hint="NAME")
    camel = "".join(part.capitalize() for part in name.split("-"))
    return {
        "name": name,
        "module": module,
        "camel": camel,
        "title": name.replace("-", " ").capitalize(),
        "guid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:example:{name}")).upper(),
        "out": tomlkit.string(str(home / "try" / "out")).as_string(),
        "in": tomlkit.string(str(home / "try" / "in")).as_string(),
    }


def _filled(file: importlib.resources.abc.Traversable, words: dict[str, str]) -> str:
    return _WORD.sub(lambda found: words[found[1]], file.read_text("utf-8"))
