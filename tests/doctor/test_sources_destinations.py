"""What `postscan doctor` finds of the destinations of sources: whether jobs can be made for what people choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import messages
import pytest
from findings import bad, made, the
from plugin_names import unused
from sourced import ANNA, GUID

from postscan.cli.demo import sandbox
from postscan.core.errors import InvalidArgument, Unavailable
from postscan.core.model.process import Instructions
from postscan.core.registry.catalogue import Catalogue, FilterInfo, Plugin, PluginState
from postscan.core.settings import Settings
from postscan.doctor import destinations, sources
from postscan.doctor.findings import Finding
from postscan.soap.processes.folder import ProcessFolder

ARCHIVE = (Path(sandbox.__file__).parent / "samples" / "archive.xml").read_bytes()
FILESHARE = f"{messages.FILTER}fileshare"
ABOUT = "destination archive"
INVOICES = {"label": "Archive (Anna)", "process": GUID, "user": ANNA}


def tables(**changed: Any) -> dict[str, Any]:
    """Return the tables of a destination for Anna that one inlet offers."""
    return {
        "destinations": {"archive": INVOICES},
        "sources": {"mail": {"plugin": "smtp"}},
        "users": {ANNA: {"name": "anna@fabrikam.example"}},
        **changed,
    }


def stored(tmp_path: Path, *, open_to: Sequence[str] = (), xml: bytes = ARCHIVE, **changed: Any) -> Settings:
    """Return settings with the destination `archive`, and with its scan process, which is for these users only."""
    settings = made(tmp_path, **tables(**changed))
    ProcessFolder(settings.processes_dir).add(xml, display_name="Archive", users=open_to, identifier=GUID)
    return settings


def with_filters(*dialects: str) -> Catalogue:
    """Return a catalogue with filters of these dialects."""
    filters = tuple(FilterInfo(dialect, "A filter", "", 5.0) for dialect in dialects)
    return Catalogue((Plugin("ours", "postscan", "1.0", PluginState.READY, filters=filters),))


def accept(_instructions: Instructions) -> None:
    """Accept the instructions of every process."""


def found(
    settings: Settings,
    filters: Catalogue | None = None,
    check: Callable[[Instructions], None] = accept,
) -> list[Finding]:
    """Return the findings; the filter of the process is there unless *filters* are given."""
    folder = ProcessFolder(settings.processes_dir)
    return list(sources.destinations(settings, folder, filters or with_filters(FILESHARE), check))


def test_a_destination_that_is_in_order(tmp_path: Path) -> None:
    """One line, with the label that people read."""
    (only,) = found(stored(tmp_path))

    assert (only.check, str(only.severity), only.sentence) == (ABOUT, "ok", "jobs can be made for 'Archive (Anna)'")


def test_a_destination_for_senders_with_an_account(tmp_path: Path) -> None:
    """Its user is that of the account, so that there is none to check."""
    without = {name: value for name, value in INVOICES.items() if name != "user"}
    settings = stored(tmp_path, open_to=("boss@fabrikam.example",), destinations={"archive": without})

    assert bad(found(settings)) == []


def test_a_destination_that_no_source_offers(tmp_path: Path) -> None:
    """No device shows it; another one is named by the only inlet."""
    other = {**INVOICES, "label": "Letters"}
    inlet = {"plugin": "smtp", "destinations": ["letters"]}
    settings = stored(tmp_path, destinations={"archive": INVOICES, "letters": other}, sources={"mail": inlet})

    assert the(found(settings)) == (ABOUT, "warning", "no source offers it")


@pytest.mark.parametrize(
    ("off", "fix"),
    [
        ({"enabled": False}, "[sources.mail] enabled = true"),
        ({"plugin": "ftp"}, "postscan plugin enable ftp"),
    ],
    ids=["the inlet", "its plugin"],
)
def test_a_destination_that_only_disabled_inlets_offer(tmp_path: Path, off: dict[str, Any], fix: str) -> None:
    """No server starts one of them, so that no device shows it; the first one is named in the fix."""
    disabled = {"mail": {"plugin": "smtp", **off}, "old": {"plugin": "ftp"}}
    settings = stored(tmp_path, sources=disabled, plugins={"disabled": ["ftp"]})
    lines = found(settings)

    assert the(lines) == (ABOUT, "warning", "only disabled sources offer it: mail, old")
    assert [one.fix for one in lines] == [fix]


def test_a_destination_that_one_enabled_inlet_offers_is_in_order(tmp_path: Path) -> None:
    """Whatever others are."""
    inlets = {"mail": {"plugin": "smtp", "enabled": False}, "scans": {"plugin": "folder"}}

    assert bad(found(stored(tmp_path, sources=inlets))) == []


def test_a_destination_whose_scan_process_is_not_stored(tmp_path: Path) -> None:
    """Nothing else is said of it."""
    settings = made(tmp_path, **tables())

    assert the(found(settings)) == (ABOUT, "problem", f"there is no scan process {GUID}")


def test_a_scan_process_that_cannot_be_read(tmp_path: Path) -> None:
    """With the file and the reason."""
    settings = stored(tmp_path)
    (settings.processes_dir / f"{GUID}.xml").write_text("<oops>")
    check, severity, sentence = the(found(settings))

    assert (check, severity) == (ABOUT, "problem")
    assert sentence.startswith(f"the scan process {settings.processes_dir / GUID}.xml cannot be used: ")


def test_a_user_who_may_not_use_the_scan_process(tmp_path: Path) -> None:
    """Each job would be refused. A user may be named by the SID or by the name."""
    closed = stored(tmp_path / "a", open_to=("boss@fabrikam.example",))
    by_sid = stored(tmp_path / "b", open_to=(ANNA,))
    by_name = stored(tmp_path / "c", open_to=("anna@fabrikam.example",))

    assert the(found(closed)) == (ABOUT, "problem", f"{ANNA} may not use the scan process Archive")
    assert bad(found(by_sid)) == bad(found(by_name)) == []


def test_a_user_whom_the_settings_do_not_list(tmp_path: Path) -> None:
    """Jobs are made, and have no better name for the user."""
    sentence = f"the settings do not list {ANNA}: its jobs have the SID as the name of the user"

    assert the(found(stored(tmp_path, users={}))) == (ABOUT, "warning", sentence)


@pytest.mark.parametrize("error", [InvalidArgument("Colour", "red", "a number"), Unavailable("it does not reply")])
def test_instructions_that_a_filter_refuses_or_does_not_check(tmp_path: Path, error: Exception) -> None:
    """No job is made then, so that this is a problem in either case."""
    asked: list[Instructions] = []

    def refuse(instructions: Instructions) -> None:
        asked.append(instructions)
        raise error

    sentence = f"jobs cannot be created from its process: {error}"
    assert the(found(stored(tmp_path), check=refuse)) == (ABOUT, "problem", sentence)
    assert [[one.dialect for one in instructions.filters] for instructions in asked] == [[FILESHARE]]


def test_a_scan_process_whose_only_filter_no_plugin_has(tmp_path: Path) -> None:
    """Its jobs would all be Aborted, although they can be made: destination, process and filter are named."""
    sentence = f"process Archive, fileshare: no ready plugin has the dialect {FILESHARE}"

    assert the(found(stored(tmp_path), with_filters())) == (ABOUT, "warning", sentence)


def test_each_filter_that_no_plugin_has_is_named_once(tmp_path: Path) -> None:
    """Also if the process names it twice; those that are there are not named."""
    email = f"<psp:Filter>{messages.FILTERS.split('<psp:Filter>')[2]}"
    xml = messages.PROCESS.replace("</psp:FiltersToProcess>", f"{email}</psp:FiltersToProcess>")
    lines = bad(found(stored(tmp_path, xml=xml.encode())))

    assert [sentence.partition(":")[0] for _, _, sentence in lines] == [
        "process Archive, email",
        "process Archive, sharepoint",
    ]


def test_the_doctor_warns_of_filters_whose_plugins_are_disabled(tmp_path: Path) -> None:
    """The real catalogue: each plugin is disabled, so that the destination is not called in order."""
    settings = stored(tmp_path, plugins={"disabled": [*unused(), "acme", "basket"]})
    lines = [one for one in bad(destinations.destinations(settings)) if one[0] == ABOUT]

    assert lines == [
        (ABOUT, "warning", "only disabled sources offer it: mail"),
        (ABOUT, "warning", f"process Archive, fileshare: no ready plugin has the dialect {FILESHARE}"),
    ]
