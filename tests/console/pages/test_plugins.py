"""The pages of plugins: why one cannot be used, its settings without secrets, and the switch in the settings file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from console_browser import Browser, person
from works import until

from postscan.console.http.app import create_app
from postscan.console.routes import ROUTES
from postscan.core.engine import Engine
from postscan.core.filters.parameters import Parameter
from postscan.core.model.principal import Role
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginKind, PluginState, SourceInfo
from postscan.core.registry.remembered import RememberedCatalogue

EVIL = "<img src=x onerror=alert(1)>\u202e"
SETTINGS = (
    Parameter("folder", "text", required=True, help=f"where they go {EVIL}"),
    Parameter("password", "text", secret=True, default="swordfish"),
    Parameter("pin", "text", secret=True),
)
PARCEL = Plugin(
    "acme",
    "postscan-acme",
    "1.2",
    PluginState.READY,
    filters=(FilterInfo("urn:acme:copy", "Copy", "", 5.0, lacks=("there is no string",), settings=SETTINGS),),
)
BROKEN = Plugin(
    "stamp", "postscan", "1", PluginState.QUARANTINED, reason=f"No module {EVIL}", traceback=f"Traceback {EVIL}"
)
SOURCE = Plugin(
    "folder",
    "postscan",
    "1",
    PluginState.READY,
    kind=PluginKind.SOURCE,
    source=SourceInfo("Folder", "", ("local",), 5.0, settings=SETTINGS, refused={"hall": "no such folder"}),
)


class Site:
    """A console with three plugins and a settings file."""

    def __init__(self, core: Engine, folder: Path) -> None:
        self.core = core
        self.file = folder / "postscan.toml"
        self.file.write_text("# ours\nplugins.disabled = []\n")
        self.readings = 0
        core.settings = core.settings.model_copy(
            update={
                "filters": {
                    "acme": {"folder": "/out", "password": "hunter22", "pin": "q7q", "api_key": "0123456789abcdef"}
                }
            }
        )
        core.remembered_catalogue = RememberedCatalogue(self._read, core.clock)
        self.browser = Browser(create_app(core, settings_file=self.file), core)

    def _read(self) -> Catalogue:
        self.readings += 1
        return Catalogue((PARCEL, BROKEN, SOURCE))

    @property
    def disabled(self) -> list[str]:
        """The list in the settings file."""
        return list(tomllib.loads(self.file.read_text())["plugins"]["disabled"])


@pytest.fixture
def site(core: Engine, tmp_path: Path) -> Site:
    """A console, with an administrator at it."""
    found = Site(core, tmp_path)
    found.browser.sign_in(Role.ADMINISTRATOR)
    return found


def test_a_quarantine_reason_is_read_and_the_plugin_is_disabled(site: Site) -> None:
    """List, plugin, button: the reason is on the first, the traceback on the second; the file has nothing else new."""
    admin = site.browser
    admin.get("/plugins")
    assert admin.sees("No module")
    assert 'href="/plugins/stamp"' in admin.page
    admin.get("/plugins/stamp")
    assert admin.sees("Traceback")
    assert 'action="/plugins/stamp/disable"' in admin.page
    response = admin.post("/plugins/stamp/disable")
    admin.get(response.headers["location"])

    assert site.file.read_text() == '# ours\nplugins.disabled = ["stamp"]\n'
    assert admin.sees("stamp is disabled in the settings file. No server is running with this data folder")
    admin.get("/plugins")
    assert admin.sees("disabled after the next restart")

    admin.post("/plugins/stamp/enable")
    assert site.disabled == []


def test_a_change_of_the_list_is_audited_and_needs_a_new_proof(site: Site) -> None:
    """The route table asks for the proof."""
    site.browser.post("/plugins/stamp/disable")
    later = site.core.clock.now() + timedelta(days=1)
    line = list(site.core.audit_trail.older_than(later, person(Role.ADMINISTRATOR)))[-1]

    assert (line.who, line.verb, line.token, line.detail) == ("link:administrator", "switched", "stamp", "disabled")
    assert [row.confirm for row in ROUTES if row.path.startswith("/plugins/{name}/")] == [True, True]


def test_no_secret_is_on_a_page(site: Site) -> None:
    """Whether it is declared as one, or only has the name of one; the default or set; however short it is."""
    site.browser.get("/plugins/acme")

    assert site.browser.sees("/out")
    assert site.browser.sees("there is no string")
    assert [word for word in ("swordfish", "hunter22", "0123456789abcdef", "q7q") if word in site.browser.page] == []


def test_texts_of_plugins_stay_text(site: Site) -> None:
    """In reasons, tracebacks and descriptions of settings."""
    for path in ("/plugins", "/plugins/stamp", "/plugins/acme", "/plugins/folder"):
        assert site.browser.get(path).status_code == 200
        assert "<img" not in site.browser.page


def test_an_unknown_plugin_is_not_there(site: Site) -> None:
    """And cannot be disabled."""
    assert site.browser.get(f"/plugins/{EVIL}").status_code == 404
    assert site.browser.post("/plugins/nothing/disable").status_code == 404
    assert site.disabled == []


def test_a_disabled_plugin_that_is_not_installed_can_be_taken_off_the_list(site: Site) -> None:
    """Else it would stay there."""
    site.file.write_text("plugins.disabled = ['gone']\n")

    assert site.browser.get("/plugins/gone").status_code == 200
    assert site.browser.post("/plugins/gone/enable").status_code == 303
    assert site.disabled == []


def test_a_file_that_cannot_be_written_is_left_as_it_is(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so; so does the audit trail."""

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert site.browser.post("/plugins/stamp/disable").status_code == 409
    assert site.browser.sees("No space left on device")
    assert site.disabled == []


def test_plugins_are_loaded_once_and_again_when_a_person_asks(site: Site) -> None:
    """However many pages are read."""
    for _ in range(3):
        site.browser.get("/plugins")
    assert site.readings == 1

    site.browser.post("/plugins")
    until(lambda: site.readings == 2 and not site.core.remembered_catalogue.is_under_way)


def test_without_a_settings_file_the_page_says_what_to_write(core: Engine, browser: Callable[..., Browser]) -> None:
    """And has no button."""
    core.remembered_catalogue = RememberedCatalogue(lambda: Catalogue((replace(PARCEL),)), core.clock)
    admin = browser(Role.ADMINISTRATOR)
    admin.get("/plugins/acme")

    assert admin.sees('plugins.disabled = ["acme"]')
    assert "/plugins/acme/disable" not in admin.page
    assert admin.post("/plugins/acme/disable").status_code in (404, 409)
