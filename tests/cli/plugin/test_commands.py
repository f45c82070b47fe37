"""`postscan plugin`: listing, explaining, switching off and on, and beginning a new one."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import documents
import pytest
from documents import ROOT
from plugin_names import unused
from typer.testing import CliRunner, Result

from postscan.cli.app import app

PARCEL = '''
from dataclasses import dataclass
from typing import Literal
from postscan.plugins import Filter, element, hookimpl, setting

@dataclass(frozen=True)
class Instructions:
    """ParcelConfig: how it is packed."""
    weight: int = element("Weight", least=1, most=30, help="in kilograms")
    paper: Literal["brown", "red"] = element("Paper", default="brown", help="colour of the paper")
    labels: tuple[str, ...] = element("Labels/Label", default=(), help="what stands on it")

@dataclass(frozen=True)
class Settings:
    """Where it goes."""
    depot: str = setting("Berlin", help="where parcels are brought")
    password: str = setting("swordfish", help="of the depot", secret=True)

class Parcel(Filter):
    """Pack every page."""
    dialect = "urn:test:parcel"
    title = "Parcel"
    grace = 1.5
    Instructions = Instructions
    Settings = Settings
    def requires(self):
        yield "there is no string"
    def run(self, job, token):
        token.check()

@hookimpl
def postscan_filters():
    return [Parcel()]
'''


HAMPER = '''
from dataclasses import dataclass
from postscan.plugins import Source, hookimpl, setting

@dataclass(frozen=True)
class HamperSettings:
    """Where it stands."""
    place: str = setting("hall", help="where it stands")
    password: str = setting("swordfish", help="of the lid", secret=True)

class Hamper(Source):
    """Take what is in the hamper."""
    title = "Hamper"
    proofs = ("local", "device")
    grace = 1.5
    Settings = HamperSettings
    def requires(self):
        yield "there is no lid"
    def run(self, inlet, token):
        token.wait(60)
    def pull(self, inlet, destination):
        pass

@hookimpl
def postscan_sources():
    return [Hamper()]
'''


FEW = f"disabled = {unused('fileshare', 'stamp')}\n"


@pytest.fixture
def few_plugins(settings_file: Path) -> None:
    """The test's own settings, with two of our own plugins: whoever lists or explains plugins loads all of them."""
    settings_file.write_text(f"{settings_file.read_text()}[plugins]\n{FEW}")


@pytest.fixture
def install(tmp_path: Path, few_plugins: None) -> Iterator[Callable[..., None]]:
    """Install plugins beside the few: each a name and its code; of filters, unless the group of a source is given."""
    site = tmp_path / "site"
    site.mkdir()
    sys.path.append(str(site))

    def put(name: str, code: str, group: str = "postscan.filters", entry_point: str = "") -> None:
        documents.install(site, f"{name}_module", code, entry_point or name, group)

    yield put
    sys.path.remove(str(site))


# --- list and info -----------------------------------------------------------------------------------------------


def test_plugins_are_listed_with_what_they_bring(
    postscan: Callable[..., Result], install: Callable[[str, str], None]
) -> None:
    """The shipped ones come in through the door that is open to everybody."""
    install("parcel", PARCEL)
    plugins = {one["name"]: one for one in json.loads(postscan("plugin", "list", "--json").stdout)}

    assert plugins["fileshare"]["state"] == "ready"
    assert [one["dialect"] for one in plugins["stamp"]["filters"]] == ["urn:postscan:2026:filter:stamp"]
    parcel = plugins["parcel"]
    assert (parcel["version"], parcel["distribution"], parcel["state"]) == ("1.0", "parcel_module", "ready")
    assert parcel["filters"][0]["lacks"] == ["there is no string"]


def test_the_table_has_a_line_for_each_filter(
    postscan: Callable[..., Result], install: Callable[[str, str], None]
) -> None:
    """With its plugin, and what it lacks here."""
    install("parcel", PARCEL)
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("parcel "))

    assert " ".join(row.split()) == "parcel 1.0 parcel_module ready urn:test:parcel Parcel there is no string"


def test_a_quarantined_plugin_is_listed_with_its_reason_and_explained_with_its_traceback(
    postscan: Callable[..., Result], install: Callable[[str, str], None]
) -> None:
    """Its author needs the line, and the terminal must stay in one piece."""
    install("broken", "raise RuntimeError('no \\x1b[31m paper')")
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("broken "))
    info = postscan("plugin", "info", "broken")

    assert r"quarantined: RuntimeError: no \x1b[31m paper" in row
    assert info.exit_code == 0
    assert 'broken_module.py", line 1, in <module>' in info.stdout
    assert info.stdout.count("\x1b") == 0


def test_info_says_what_a_filter_is_and_takes(
    postscan: Callable[..., Result], install: Callable[[str, str], None]
) -> None:
    """All of it from the dataclasses of its author."""
    install("parcel", PARCEL)
    lines = [" ".join(line.split()) for line in postscan("plugin", "info", "parcel").stdout.splitlines()]

    for line in (
        "Plugin: parcel 1.0, of parcel_module",
        "State: ready",
        "Filter: Parcel",
        "Dialect: urn:test:parcel",
        "About: Pack every page.",
        "Grace: 1.5 s",
        "Lacks: there is no string",
        "Instructions in ParcelConfig: how it is packed.",
        'Paper one of brown, red "brown" colour of the paper',
        "Labels/Label a text of at most 255 characters, any number of times [] what stands on it",
        "Weight a whole number, at least 1, at most 30 (required) in kilograms",
        "Settings in [filters.parcel]",
        'depot text "Berlin" where parcels are brought',
        "password text, secret of the depot",
    ):
        assert line in lines


def test_info_for_programs_has_the_same(postscan: Callable[..., Result], install: Callable[[str, str], None]) -> None:
    """A form could be made of it."""
    install("parcel", PARCEL)
    (one,) = json.loads(postscan("plugin", "info", "parcel", "--json").stdout)["filters"]

    assert (one["dialect"], one["title"], one["summary"]) == ("urn:test:parcel", "Parcel", "Pack every page.")
    assert one["instructions"]["element"] == "ParcelConfig"
    assert [parameter["path"] for parameter in one["instructions"]["parameters"]] == ["Weight", "Paper", "Labels/Label"]
    assert one["settings"][0] == {
        "key": "depot",
        "type": "text",
        "many": False,
        "required": False,
        "default": "Berlin",
        "choices": [],
        "secret": False,
        "help": "where parcels are brought",
    }


def test_no_value_of_a_secret_and_nothing_that_is_set_comes_out(
    postscan: Callable[..., Result], settings_file: Path, install: Callable[[str, str], None]
) -> None:
    """Neither the default of the author nor what the administrator wrote."""
    install("parcel", PARCEL)
    settings_file.write_text(
        f"storage.data_dir = 'data'\nplugins.{FEW}[filters.parcel]\npassword = 'trout'\ndepot = 'Rome'\n"
    )
    said = "".join(
        postscan(*words).output
        for words in (
            ("plugin", "info", "parcel"),
            ("plugin", "info", "parcel", "--json"),
            ("plugin", "list", "--json"),
        )
    )

    assert "Parcel" in said
    assert not any(value in said for value in ("swordfish", "trout", "Rome"))


@pytest.mark.usefixtures("few_plugins")
def test_an_unknown_plugin_is_an_error_that_names_the_installed_ones(postscan: Callable[..., Result]) -> None:
    """One line, and exit code 1."""
    result = postscan("plugin", "info", "stmap")

    assert result.exit_code == 1
    assert result.stderr.startswith("postscan: no plugin 'stmap' is installed; installed are: acme, ")
    assert "stamp" in result.stderr


# --- sources -----------------------------------------------------------------------------------------------------


@pytest.fixture
def hamper(install: Callable[..., None]) -> None:
    """A source that is installed."""
    install("hamper", HAMPER, "postscan.sources")


@pytest.mark.usefixtures("hamper")
def test_a_source_is_listed_among_the_plugins(postscan: Callable[..., Result]) -> None:
    """With what it brings in place of a dialect."""
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("hamper "))
    plugins = {one["name"]: one for one in json.loads(postscan("plugin", "list", "--json").stdout)}

    assert " ".join(row.split()) == "hamper 1.0 hamper_module ready (source) Hamper there is no lid"
    assert (plugins["hamper"]["brings"], plugins["hamper"]["filters"]) == ("source", [])
    assert plugins["hamper"]["source"]["proofs"] == ["device", "local"]
    assert (plugins["stamp"]["brings"], plugins["stamp"]["source"]) == ("filters", None)


@pytest.mark.usefixtures("hamper")
def test_info_says_what_a_source_is_and_takes(postscan: Callable[..., Result], settings_file: Path) -> None:
    """With what is wrong in the tables of its inlets, and without any of their values."""
    settings_file.write_text(
        f"{settings_file.read_text()}"
        '[destinations.all]\nlabel = "All"\nprocess = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"\n'
        '[sources.desk]\nplugin = "hamper"\npassword = "trout"\n'
        '[sources.door]\nplugin = "hamper"\nplaec = "trout"\n'
    )
    text = postscan("plugin", "info", "hamper").stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]

    for line in (
        "Plugin: hamper 1.0, of hamper_module",
        "Source: Hamper",
        "About: Take what is in the hamper.",
        "Proofs: device, local",
        "Grace: 1.5 s",
        "Pulls: an administrator can ask it for a scan",
        "Lacks: there is no lid",
        "Refuses: [sources.door] has no setting 'plaec'; it has: password, place",
        'Settings in an inlet with plugin = "hamper"',
        'place text "hall" where it stands',
        "password text, secret of the lid",
    ):
        assert line in lines
    text += postscan("plugin", "info", "hamper", "--json").stdout
    assert not any(value in text for value in ("swordfish", "trout"))


def test_filters_and_a_source_of_one_name_are_both_explained(
    postscan: Callable[..., Result], install: Callable[..., None]
) -> None:
    """The name is that of a package, which may bring both."""
    install("basket_case", PARCEL)
    install("hamper", HAMPER, "postscan.sources", "basket_case")
    text = postscan("plugin", "info", "basket_case").stdout
    both = json.loads(postscan("plugin", "info", "basket_case", "--json").stdout)

    assert "Filter:   Parcel" in text
    assert "Source:   Hamper" in text
    assert [one["brings"] for one in both] == ["filters", "source"]


@pytest.mark.usefixtures("hamper")
def test_a_source_is_switched_off_as_filters_are(postscan: Callable[..., Result]) -> None:
    """And then never imported."""
    assert postscan("plugin", "disable", "hamper").exit_code == 0
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("hamper "))

    assert row.split()[3:] == ["disabled", "(source)"]
    assert postscan("plugin", "enable", "hamper").exit_code == 0


# --- enable and disable ------------------------------------------------------------------------------------------


def test_a_disabled_plugin_stays_visible_and_none_of_its_code_is_imported(
    postscan: Callable[..., Result], settings_file: Path, tmp_path: Path, install: Callable[[str, str], None]
) -> None:
    """Its import would leave a file: not while it is switched off, not while it is listed or explained."""
    trace = tmp_path / "imported"
    install("unwanted", f"open({str(trace)!r}, 'w').close()\n{PARCEL}")

    assert postscan("plugin", "disable", "unwanted").exit_code == 0
    (row,) = (line for line in postscan("plugin", "list").stdout.splitlines() if line.startswith("unwanted "))
    assert row.split()[3:] == ["disabled"]
    assert "State:    disabled\n" in postscan("plugin", "info", "unwanted").stdout
    assert postscan("plugin", "enable", "unwanted").exit_code == 0
    assert not trace.exists()

    assert "urn:test:parcel" in postscan("plugin", "info", "unwanted").stdout
    assert trace.exists()


LAYOUTS = {
    "no table": ("# ours\na = 1\n", '# ours\na = 1\n\n[plugins]\ndisabled = ["stamp"]\n'),
    "a table": (
        "[plugins]  # of ours\nprobe_seconds = 3\n\n[x]\ny = 1\n",
        '[plugins]  # of ours\nprobe_seconds = 3\ndisabled = ["stamp"]\n\n[x]\ny = 1\n',
    ),
    "dotted": ("plugins.disabled = ['a']  # why\n", "plugins.disabled = ['a', \"stamp\"]  # why\n"),
    "inline": (
        "plugins = { disabled = [] , probe_seconds = 3 }\n",
        'plugins = { disabled = ["stamp"] , probe_seconds = 3 }\n',
    ),
    "lines": (
        "[plugins]\ndisabled = [\n  'a',  # too slow\n]\n# end\n",
        "[plugins]\ndisabled = [\n  'a',  # too slow\n  \"stamp\",\n]\n# end\n",
    ),
    "windows": ("[plugins]\r\ndisabled = []\r\n", '[plugins]\r\ndisabled = ["stamp"]\r\n'),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_list_of_the_disabled_changes(layout: str) -> None:
    """Comments, blanks and line ends stay as the administrator wrote them; and the way back is a way back."""
    from postscan.cli.plugin import enable

    before, after = LAYOUTS[layout]

    assert enable._edited(before, "stamp", disabled=True) == after
    back = tomllib.loads(enable._edited(after, "stamp", disabled=False))
    assert back.pop("plugins", {}).get("disabled") == tomllib.loads(before).get("plugins", {}).get("disabled", [])
    assert back == {key: value for key, value in tomllib.loads(before).items() if key != "plugins"}


def test_the_file_keeps_its_mode_and_its_place_behind_a_link(settings_file: Path, tmp_path: Path) -> None:
    """It may hold passwords, and may lie elsewhere than where it is named."""
    settings_file.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(settings_file)
    result = CliRunner().invoke(app, ["--config", str(link), "plugin", "disable", "stamp"])

    assert result.stdout == f"stamp is disabled in {settings_file}; restart a running server\n"
    assert tomllib.loads(settings_file.read_text())["plugins"]["disabled"] == ["stamp"]
    assert stat.S_IMODE(settings_file.stat().st_mode) == 0o640
    assert link.is_symlink()


def test_a_write_that_fails_leaves_the_file_as_it_was(
    postscan: Callable[..., Result], settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or not at all, and nothing beside it."""

    def full(_: object) -> None:
        raise OSError(28, "No space left on device", str(settings_file))

    before = settings_file.read_text()
    monkeypatch.setattr("os.fsync", full)
    result = postscan("plugin", "disable", "stamp")

    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert settings_file.read_text() == before
    assert [path.name for path in settings_file.parent.iterdir() if "postscan.toml" in path.name] == ["postscan.toml"]


@pytest.mark.parametrize(("verb", "word"), [("enable", "enabled"), ("disable", "disabled")])
def test_what_is_so_already_is_said_and_nothing_is_written(
    postscan: Callable[..., Result], settings_file: Path, verb: str, word: str
) -> None:
    """That is no error."""
    settings_file.write_text("plugins.disabled = ['stamp']\n" if verb == "disable" else "plugins.disabled = []\n")
    before = settings_file.stat()
    result = postscan("plugin", verb, "stamp")

    assert (result.exit_code, result.stdout) == (0, f"stamp is already {word}\n")
    assert (settings_file.stat().st_ino, settings_file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_without_a_settings_file_the_line_is_told(tmp_path: Path) -> None:
    """And that line does it."""
    result = CliRunner().invoke(app, ["plugin", "disable", "stamp"], env={"POSTSCAN_CONFIG": None})
    line = result.stderr.partition("the line ")[2].partition(", and name it")[0]

    assert result.exit_code == 1
    assert tomllib.loads(line) == {"plugins": {"disabled": ["stamp"]}}


def test_an_unknown_name_is_refused(postscan: Callable[..., Result], settings_file: Path) -> None:
    """A slip of the pen must not look like a plugin that is switched off."""
    before = settings_file.read_text()
    results = [postscan("plugin", verb, "stmap") for verb in ("enable", "disable")]

    assert [result.exit_code for result in results] == [1, 1]
    assert all("no plugin 'stmap' is installed; installed are: acme, " in result.stderr for result in results)
    assert settings_file.read_text() == before


def test_a_name_that_is_no_longer_installed_can_be_taken_off_the_list(
    postscan: Callable[..., Result], settings_file: Path
) -> None:
    """Else it would stay there forever."""
    settings_file.write_text("plugins.disabled = ['gone', 'stamp']\n")
    result = postscan("plugin", "enable", "gone")

    assert result.exit_code == 0
    assert settings_file.read_text() == "plugins.disabled = ['stamp']\n"


def test_settings_that_cannot_be_used_are_not_touched(postscan: Callable[..., Result], settings_file: Path) -> None:
    """The mistake is told, as by every other command."""
    settings_file.write_text("[limits]\nopen_jobs = 0\n")
    result = postscan("plugin", "disable", "stamp")

    assert result.exit_code == 1
    assert "limits.open_jobs" in result.stderr
    assert settings_file.read_text() == "[limits]\nopen_jobs = 0\n"


# --- new ---------------------------------------------------------------------------------------------------------


def written(folder: Path) -> list[str]:
    """Return the files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def new(*arguments: object) -> Result:
    """Call `postscan plugin new`."""
    return CliRunner().invoke(app, ["plugin", "new", *map(str, arguments)])


def test_a_new_package_has_everything_that_it_needs(tmp_path: Path) -> None:
    """What becomes of it is seen in tests/acceptance/test_new_plugin.py."""
    result = new("acme-letter", "--folder", tmp_path / "letter")

    assert result.exit_code == 0
    assert written(tmp_path / "letter") == [
        *(".gitignore", "Makefile", "README.md", "pyproject.toml", "src/acme_letter.py", "tests/test_acme_letter.py"),
        *("try/postscan.toml", "try/process.xml"),
    ]
    assert f"cd {tmp_path}/letter" in result.stdout


def test_a_new_source_has_everything_that_it_needs(tmp_path: Path) -> None:
    """What becomes of it is seen in tests/acceptance/test_new_source.py."""
    result = new("acme-letter", "--source", "--folder", tmp_path / "letter")

    assert result.exit_code == 0
    assert written(tmp_path / "letter") == [
        *(".gitignore", "Makefile", "README.md", "pyproject.toml", "src/acme_letter.py", "tests/test_acme_letter.py"),
        "try/postscan.toml",
    ]


def test_the_folder_is_named_after_the_package_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the current folder."""
    monkeypatch.chdir(tmp_path)
    new("acme-letter")

    assert [path.name for path in tmp_path.iterdir()] == ["acme-letter"]


@pytest.mark.parametrize(("option", "group"), [([], "postscan.filters"), (["--source"], "postscan.sources")])
def test_nothing_is_left_to_be_filled_in(tmp_path: Path, option: list[str], group: str) -> None:
    """Every word of the template has become one of the package's own."""
    new("acme-letter", *option, "--folder", tmp_path)
    texts = [(tmp_path / name).read_text() for name in written(tmp_path)]

    assert not any("{{" in text or "}}" in text for text in texts)
    package = tomllib.loads((tmp_path / "pyproject.toml").read_text())
    assert package["project"]["entry-points"] == {group: {"acme-letter": "acme_letter"}}
    assert "license" not in package["project"]


@pytest.mark.parametrize("option", [[], ["--source"]])
@pytest.mark.parametrize("command", [["check"], ["format", "--diff"]])
def test_the_new_package_is_written_in_the_style_of_ours(tmp_path: Path, command: list[str], option: list[str]) -> None:
    """What authors begin with is what they go on with."""
    new("acme-letter", *option, "--folder", tmp_path)
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", ROOT / "pyproject.toml"]
    # Its tests are tests, as ours are: they may assert.
    finished = subprocess.run(
        [*ruff, *(["--ignore", "S101"] if command == ["check"] else []), tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("present", ["README.md", "src/acme_letter.py", "try/process.xml"])
def test_no_file_that_is_there_is_written_over(tmp_path: Path, present: str) -> None:
    """And then nothing else is written either."""
    (tmp_path / present).parent.mkdir(exist_ok=True)
    (tmp_path / present).write_text("mine")
    result = new("acme-letter", "--folder", tmp_path)

    assert result.exit_code == 1
    assert result.stderr == f"postscan: {tmp_path / present}: already exists, and would be overwritten\n"
    assert written(tmp_path) == [present]
    assert (tmp_path / present).read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", "Acme", "acme_letter", "-acme", "acme-", "a--b", "1st", "a.b", "../x", "a/b", "é", "lambda", "a" * 41]
)
def test_a_name_that_no_package_could_have_is_refused(tmp_path: Path, name: str) -> None:
    """A wrong command line: it says what a name may be."""
    result = new("--folder", tmp_path, "--", name)

    assert result.exit_code == 2
    assert "expected lower-case letters, digits and single hyphens" in " ".join(result.stderr.split())
    assert written(tmp_path) == []


@pytest.mark.parametrize("name", ["json", "pytest", "acme-filters"])
def test_a_name_that_another_module_has_is_refused(tmp_path: Path, name: str) -> None:
    """One of the two could not be imported."""
    result = new(name, "--folder", tmp_path)

    assert result.exit_code == 2
    assert f"Python already has a module {name.replace('-', '_')}: " in result.stderr
