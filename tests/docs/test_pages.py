"""Compare the documents with the code: hooks, settings, commands, events, tree, layers and links."""

from __future__ import annotations

import dataclasses
import inspect
import re
import runpy
import tomllib
import typing
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer.main
from documents import PAGES, ROOT, blocks, headings, page
from pydantic import BaseModel

from postscan import plugins
from postscan.cli.app import app
from postscan.core.filters import hookspecs, loader, parameters
from postscan.core.filters.context import FilterContext
from postscan.core.model import events, states
from postscan.core.settings import Settings
from postscan.core.settings.accounts import AccountSettings
from postscan.core.settings.engine import UserSettings
from postscan.core.settings.sources import DestinationSettings, SourceSettings

GUIDE = "docs/writing-a-filter.md"
SOURCES = "docs/writing-a-source.md"
LISTED = ("core", "soap", "plugins", "migrations", "doctor", "console", "cli")
MOST_ENTRIES = 13
MORE = {"core/": 15, "core/settings/": 14, "core/service/administration/": 14, "migrations/versions/": 999}
"""The rooms of the engine, by the plan; the tables of the settings; and migrations: one more for each change of the
tables."""


# --- what there is, is documented --------------------------------------------------------------------------------


def test_every_hook_has_its_page_with_its_exact_arguments() -> None:
    """Authors copy the signature from there."""
    hooks = [hook for name, hook in vars(hookspecs).items() if hasattr(hook, f"{hookspecs.PROJECT}_spec")]

    assert hooks
    for hook in hooks:
        signature = re.sub(r"(?<=[:>] )'([^']+)'", r"\1", str(inspect.signature(hook)))
        assert f"## `{hook.__name__}{signature}`" in page("docs/hooks.md")


def test_the_settings_page_is_what_the_settings_say() -> None:
    """It is generated: python tools/settings_page.py > docs/settings.md."""
    generated = runpy.run_path(str(ROOT / "tools" / "settings_page.py"))["page"]()

    assert page("docs/settings.md") == generated


def test_no_setting_is_left_out_of_the_settings_page() -> None:
    """Each key has its line below the heading of its table."""
    sections = {part.partition("`\n")[0]: part for part in page("docs/settings.md").split("\n## ")}
    tables = {f"`[{name}]": field.annotation for name, field in Settings.model_fields.items()}
    tables |= {'`[users."<SID>"]': UserSettings, "`[destinations.<name>]": DestinationSettings}
    tables |= {"`[sources.<name>]": SourceSettings, "`[accounts.<name>]": AccountSettings}
    missing = [
        f"{table}.{key}"
        for table, kind in tables.items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
        for key in kind.model_fields
        if f"| `{key}` |" not in sections.get(table, "")
    ]

    assert missing == []


SHIPPED = [entry for entry in loader.installed() if entry.value.startswith("postscan.plugins.")]


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_everything_that_a_shipped_filter_takes_is_documented(entry: EntryPoint) -> None:
    """Its dialect; the keys of its table, which are not on the generated page; the elements of our own filters."""
    (one,) = entry.load().postscan_filters()
    text = page("docs/filters.md")
    keys = [f"filters.{entry.name}.{field.name}" for field in dataclasses.fields(one.Settings)] if one.Settings else []
    ours = one.dialect.startswith("urn:postscan:")
    elements = [parameter.path[-1] for parameter in parameters.schema(one.Instructions).parameters] if ours else []

    assert [word for word in (one.dialect, *keys, *elements) if f"`{word}`" not in text] == []


SHIPPED_SOURCES = [
    entry for entry in loader.installed(hookspecs.SOURCE_ENTRY_POINTS) if entry.value.startswith("postscan.")
]
INLETS = [
    (name, f"{path}: {inlet}", table)
    for path in ("docs/sources.md", "docs/connect-your-scanner.md", "docs/panels.md")
    for block in blocks(path, "toml")
    for inlet, table in tomllib.loads(block).get("sources", {}).items()
    for name in [table["plugin"]]
]


@pytest.mark.parametrize("entry", SHIPPED_SOURCES, ids=lambda entry: entry.name)
def test_everything_that_a_shipped_source_takes_is_documented(entry: EntryPoint) -> None:
    """The keys of its table, in a section of its own."""
    (one,) = entry.load().postscan_sources()
    text = page("docs/sources.md").partition(f"\n## {one.title}\n")[2].partition("\n## ")[0]
    keys = [f"sources.{entry.name}.{field.name}" for field in dataclasses.fields(one.Settings)] if one.Settings else []

    shown = set(re.findall(rf"`(sources\.{entry.name}\.\w+)`", text))

    assert text
    assert [key for key in keys if f"`{key}`" not in text] == []
    assert shown == set(keys)


@pytest.mark.parametrize(("plugin", "table"), [pytest.param(one, table, id=id) for one, id, table in INLETS])
def test_every_inlet_of_the_pages_has_settings_that_its_source_takes(
    plugin: str, table: dict[str, typing.Any], tmp_path: Path
) -> None:
    """A reader copies them; the source reads them as it does when it starts. The certificates are another file."""
    (entry,) = (entry for entry in SHIPPED_SOURCES if entry.name == plugin)
    (source,) = entry.load().postscan_sources()
    file = tmp_path / "certificate.pem"
    file.touch()
    settings = SourceSettings(**{key: str(file) if key == "certificate" else value for key, value in table.items()})

    assert loader.source_settings("shown", source, settings.table) is not None


def commands(group: typing.Any, words: str = "postscan") -> Iterator[str]:
    """Yield every command of the command line as it is typed."""
    if not hasattr(group, "commands"):
        yield words
        return
    for name, command in group.commands.items():
        yield from commands(command, f"{words} {name}")


def test_the_ten_minutes_are_those_of_a_new_packages_readme() -> None:
    """A test runs them, from an empty folder."""
    readme = page("cli/plugin/template/README.md.in")
    begin, cd, *commands = (line.removeprefix("$ ") for line in blocks(GUIDE, "console")[0].splitlines())

    assert (begin, cd) == ("postscan plugin new acme-letter", "cd acme-letter")
    assert len(commands) == 4
    assert [command for command in commands if f"$ {command}\n" not in readme] == []


def test_every_command_is_documented() -> None:
    """docs/administration.md lists them all."""
    text = " ".join(page("docs/administration.md").split())
    found = list(commands(typer.main.get_command(app)))

    assert len(found) > 10
    assert [command for command in found if f"`{command}`" not in text] == []


def test_every_kind_of_event_is_in_the_glossary() -> None:
    """`jobs show` prints these words."""
    kinds = [kind.__name__ for kind in typing.get_args(events.Event)]

    assert [kind for kind in kinds if f"| `{kind}` |" not in page("docs/glossary.md")] == []


@pytest.mark.parametrize(
    ("object_", "name", "guide"),
    [
        (FilterContext, "job", GUIDE),
        (plugins.CancellationToken, "token", GUIDE),
        (plugins.SourceContext, "inlet", SOURCES),
    ],
)
def test_everything_that_a_plugin_sees_is_in_the_guide(object_: type, name: str, guide: str) -> None:
    """Each member of what `run` gets."""
    fields = [field.name for field in dataclasses.fields(object_)] if dataclasses.is_dataclass(object_) else []
    members = {*fields, *(member for member in dir(object_) if not member.startswith("_"))}

    assert [member for member in members if not re.search(rf"`{name}\.{member}\b", page(guide))] == []


def test_every_public_name_and_every_reason_is_in_the_guide_or_with_the_hooks() -> None:
    """Authors need no other source."""
    text = page(GUIDE) + page(SOURCES) + page("docs/hooks.md")

    assert [name for name in plugins.__all__ if name not in text] == []
    assert [reason for reason in states.FilterReason if f"`{reason}`" not in page(GUIDE)] == []


# --- what is drawn, is true --------------------------------------------------------------------------------------


def test_the_diagram_of_states_is_the_table() -> None:
    """It is the output of python -m postscan.core.model.states."""
    assert f"{states.diagram()}\n" in blocks("docs/architecture.md", "text")


def folders() -> list[str]:
    """Return the folders of the packages that hold files, each with a slash at its end."""
    files = (path for name in LISTED for path in (ROOT / name).rglob("*.*") if "__pycache__" not in path.parts)
    return sorted({f"{path.parent.relative_to(ROOT)}/" for path in files})


def test_the_tree_is_the_tree() -> None:
    """Every folder of a package has a line in the drawing, and nothing else has."""
    drawing = blocks("docs/architecture.md", "text")[0]
    drawn = re.findall(r"^(\w[\w/]*/)  *\S", drawing, re.MULTILINE)

    assert sorted(drawn) == folders()


def test_every_folder_is_packaged() -> None:
    """A wheel has them all: the list in pyproject.toml is the tree."""
    packages = tomllib.loads(page("pyproject.toml"))["tool"]["setuptools"]["packages"]

    assert sorted(packages) == [f"postscan.{folder.rstrip('/').replace('/', '.')}" for folder in folders()]


@pytest.mark.parametrize("folder", [folder for folder in folders() if "wsdl" not in folder])
def test_a_folder_has_few_entries(folder: str) -> None:
    """About twelve, so that a reader sees them at a glance."""
    entries = [path for path in (ROOT / folder).iterdir() if not path.name.startswith(("_", "py.typed"))]

    assert len(entries) <= MORE.get(folder, MOST_ENTRIES)


@pytest.mark.parametrize("package", ["core", "SOAP front end"])
def test_the_layers_are_those_that_are_checked(package: str) -> None:
    """`make layers` reads them from pyproject.toml."""
    contracts = tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["name"] == f"Inside the {package}, arrows point down")

    assert "".join(f"{layer}\n" for layer in layers) in blocks("docs/architecture.md", "text")


def test_links_lead_somewhere() -> None:
    """Between the pages, and to headings in them."""
    broken = []
    for source in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)]+)\)", source.read_text("utf-8")):
            path, _, anchor = target.partition("#")
            found = (source.parent / path).resolve() if path else source
            if not found.exists() or (anchor and anchor not in headings(str(found.relative_to(ROOT)))):
                broken.append(f"{source.name}: {target}")

    assert broken == []


def test_the_readme_names_the_two_commands_and_the_makefile_has_them() -> None:
    """A newcomer runs them first."""
    for target in ("demo", "test"):
        assert f"`make {target}`" in page("README.md")
        assert re.search(rf"^{target}: ", page("Makefile"), re.MULTILINE)
