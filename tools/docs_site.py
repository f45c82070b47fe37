"""Build the documents as a site, and adapt their pages to it: the hooks of MkDocs, which `mkdocs.yml` names.

    python tools/docs_site.py [FOLDER]    build site/<version>/, a list of versions, and a page that leads to the newest

The pages are written to be read in the repository. Four of them lie outside of docs/: they become `project/*.md`, and
README.md becomes the first page; links between both sides follow.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
OUTSIDE: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "LICENSE": "project/license.md",
}
"""Pages of the repository's first folder, and their names in the site."""

LAST_IN_SEARCH: Final = (
    "decisions/",
    "protocol",
    "invariants",
    "faults",
    "conformance",
    "benchmarks",
    "campaigns",
    "project/",
)
"""Begins of the names of pages that a search finds behind all others: those for who works on postscan itself."""

_LINK: Final = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
_INTO_DOCS: Final = re.compile(r'(?P<before>(?:src|href)=")docs/')
_LEADS_ON: Final = '<!doctype html><meta charset="utf-8"><title>postscan</title>' + (
    '<meta http-equiv="refresh" content="0; url={version}/index.html"><a href="{version}/index.html">{version}</a>\n'
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of decisions into the navigation, in the order of their numbers."""
    pages = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    listed = ["decisions/README.md", *(f"decisions/{page}" for page in pages)]
    for section in config.nav or ():
        for entry in next(iter(section.values())):
            if isinstance(entry, dict) and "Decisions" in entry:
                entry["Decisions"] = listed
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    from mkdocs.structure.files import File

    for name, site in OUTSIDE.items():
        text = (ROOT / name).read_text()
        files.append(
            File.generated(config, site, content=text if name.endswith(".md") else f"# License\n\n```text\n{text}```\n")
        )
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let links of a page lead to the same page in the site; put pages about the inside last in searches."""
    if page.file.src_uri.startswith(LAST_IN_SEARCH):
        page.meta["search"] = {"boost": 0.001}
    return adapted(markdown, page.file.src_uri)


def adapted(markdown: str, site: str) -> str:
    """Return the text of a page whose name in the site is `site`, with its links for the site."""
    names = {new: old for old, new in OUTSIDE.items()}
    source = PurePosixPath(names.get(site, f"docs/{site}"))
    text = _INTO_DOCS.sub(r"\g<before>", markdown) if site in names else markdown
    return _LINK.sub(lambda link: _in_site(link["path"], source, site) + (link["anchor"] or ""), text)


def _in_site(path: str, source: PurePosixPath, site: str) -> str:
    """Return a relative link of the page `source` of the repository as one of the page `site`."""
    target = _normal(source.parent / path)
    if target in OUTSIDE:
        found = OUTSIDE[target]
    elif target.startswith("docs/"):
        found = target.removeprefix("docs/")
    else:
        return path
    return _relative(found, site)


def _normal(path: PurePosixPath) -> str:
    """Return a path without `..`; links of the repository do not leave it."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _relative(target: str, site: str) -> str:
    return "../" * site.count("/") + target


def version() -> str:
    """Return the version of the documents, as `0.2`."""
    whole: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return ".".join(whole.split(".")[:2])


def build(folder: Path) -> Path:
    """Build the site of this version beside those of others, and return its folder; raise `Abort` for a warning."""
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config

    made = folder / version()
    mkdocs_build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(made), extra={"version": version()}))
    versions = sorted((path.name for path in folder.iterdir() if path.is_dir()), key=_order, reverse=True)
    (folder / "versions.json").write_text(json.dumps(versions) + "\n")
    (folder / "index.html").write_text(_LEADS_ON.format(version=versions[0]))
    return made


def _order(name: str) -> list[int]:
    return [int(part) for part in name.split(".") if part.isdigit()]


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / 'site'))}/index.html\n")
