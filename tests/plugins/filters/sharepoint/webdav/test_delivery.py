"""What is delivered to libraries on premises, and under which names: to those named, and to the one of the user."""

from __future__ import annotations

import pytest
from webdav_runs import FOLDER, NAMES, USER, run, settings

from postscan.core.filters.parameters import read
from postscan.core.model.states import FilterState
from postscan.plugins.filters.sharepoint import NAMESPACE, Instructions, SharePoint
from postscan.plugins.testing import run_filter

# --- libraries that are named ----------------------------------------------------------------------------------------


def test_every_document_goes_to_every_library_into_the_users_folder(dav, pages):
    """PSP-024; and its bytes stay as they are (PSP-026)."""
    (dav.root / "docs" / "hr").mkdir()
    result = run(dav, pages, dav.library, f"{dav.library}/hr")
    contents = [page.read_bytes() for page in pages]

    assert result.outcome is FilterState.SUCCEEDED
    assert dav.files() == {
        f"{folder}/{USER}/{name}": content
        for folder in ("docs", "docs/hr")
        for name, content in zip(NAMES, contents, strict=True)
    }


def test_the_server_hears_of_every_output(dav, pages):
    """Document, destination as the scan process spells it, and name."""
    result = run(dav, pages, f"{dav.library}/")

    assert result.published == [(1, f"{dav.library}/", NAMES[0]), (2, f"{dav.library}/", NAMES[1])]


def test_the_users_folder_is_made_once_and_nothing_above_it(dav, pages):
    """One MKCOL for all documents; a library that is not there is not made."""
    run(dav, pages)
    result = run(dav, pages, f"{dav.library}/missing")

    assert dav.methods().count("MKCOL") == 2
    assert result.reasons == ("UnknownError",)
    assert result.detail == f"{dav.library}/missing: there is no such library, or no such folder in it"
    assert not (dav.root / "docs" / "missing").exists()


def test_a_library_that_is_named_twice_gets_each_document_once(dav, pages):
    """The case of the host, a slash at the end and the way of escaping make no second library (I20)."""
    run(dav, pages[:1], dav.library, dav.library.replace("http", "HTTP").replace("docs", "d%6Fcs/"))

    assert list(dav.files()) == [f"{FOLDER}/{NAMES[0]}"]


def test_blanks_and_umlauts_may_be_written_as_they_are(dav, pages):
    """People copy such addresses from their browsers."""
    (dav.root / "docs" / "Größe 100%").mkdir()
    result = run(dav, pages[:1], f"{dav.library}/Größe 100%25")

    assert result.outcome is FilterState.SUCCEEDED
    assert list(dav.files()) == [f"docs/Größe 100%/{USER}/{NAMES[0]}"]


def test_a_name_that_somebody_has_is_left_alone(dav, pages):
    """The next free one is taken (D9)."""
    theirs = dav.root / FOLDER / NAMES[0]
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    result = run(dav, pages[:1])

    assert theirs.read_bytes() == b"theirs"
    assert result.published == [(1, dav.library, NAMES[0].replace(".png", "-2.png"))]
    assert len(dav.files()) == 2


def test_running_twice_after_a_crash_does_no_harm(dav, pages):
    """What was published is recognised by name and hash, and not even sent again (I20)."""
    first = run(dav, pages)
    before = len(dav.requests)
    second = run(dav, pages, earlier=first.published)

    assert (second.outcome, second.published) == (FilterState.SUCCEEDED, [])
    assert sorted(dav.files()) == [f"{FOLDER}/{name}" for name in NAMES]
    assert "PUT" not in dav.methods()[before:]


@pytest.mark.parametrize("content", [b"theirs", bytes(600_000), None])
def test_what_was_granted_but_never_appeared_is_delivered(dav, pages, content):
    """Another file of the name is not ours, even one of the same size."""
    if content is not None:
        (dav.root / FOLDER).mkdir()
        (dav.root / FOLDER / NAMES[0]).write_bytes(content)
    result = run(dav, pages[:1], earlier=[(1, dav.library, NAMES[0])])

    assert len(result.published) == 1
    assert (dav.root / FOLDER / result.published[0][2]).read_bytes() == pages[0].read_bytes()


def test_without_destinations_it_warns(dav, pages):
    """Legal, and nothing is done (P-5)."""
    nothing = read(Instructions, f"<SharePointConfig xmlns='{NAMESPACE}'/>".encode(), NAMESPACE)
    result = run_filter(SharePoint(), pages, instructions=nothing, settings=settings(dav))

    assert result.outcome is FilterState.WARNINGS
    assert result.warnings == ("the scan process names no library: nothing was delivered",)


def test_the_instructions_are_those_of_the_schema():
    """PSP-006 and PSP-008: names, order and the length of an address."""
    long = f"https://sharepoint.example/{'x' * 2021}"
    xml = f"""<s:SharePointConfig xmlns:s='{NAMESPACE}'><s:SaveToMySite> 1 </s:SaveToMySite><s:SaveToSharePointSites>
        <s:SaveToSharePointSiteURL>{long}</s:SaveToSharePointSiteURL></s:SaveToSharePointSites></s:SharePointConfig>"""

    assert read(Instructions, xml.encode(), SharePoint.dialect) == Instructions(True, (long,))
    with pytest.raises(ValueError, match="at most 2048 characters"):
        read(Instructions, xml.replace("xxx", "xxxxx", 1).encode(), SharePoint.dialect)


# --- the user's own library ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "folder"),
    [("{user}", USER), ("personal/{account}", "personal/anna"), ("{personal}", "anna_fabrikam_example")],
)
def test_the_users_own_library_is_one_more_destination(dav, pages, template, folder):
    """PSP-025: where it is, the settings say."""
    (dav.root / "docs" / folder).mkdir(parents=True)
    table = {**settings(dav), "my_site": f"{dav.library}/{template}"}
    result = run(dav, pages[:1], dav.library, my_site=True, table=table)

    assert sorted(dav.files()) == sorted([f"{FOLDER}/{NAMES[0]}", f"docs/{folder}/{USER}/{NAMES[0]}"])
    assert result.published == [(1, dav.library, NAMES[0]), (1, "MySite", NAMES[0])]


def test_without_a_place_for_own_libraries_the_others_are_served(dav, pages):
    """And the sentence says which setting is missing (PSP-029, PSP-030)."""
    result = run(dav, pages[:1], my_site=True)

    assert result.reasons == ("UnknownError",)
    assert result.detail == "MySite: its URL is not configured; set filters.sharepoint.my_site"
    assert len(dav.files()) == 1
