"""Where UNC paths lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postscan.core.filters.results import FilterFailed
from postscan.core.filters.shares import Place, Shares
from postscan.core.model.states import FilterReason

KEY = "filters.fileshare.shares"


@pytest.fixture
def scans(tmp_path):
    """A folder that stands for a share."""
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


def failure(shares, unc):
    """Return why *unc* leads nowhere."""
    with pytest.raises(FilterFailed) as caught:
        shares.find(unc)
    return caught.value


@pytest.mark.parametrize(
    "unc", [r"\\demo\scans", r"\\DEMO\Scans", "\\\\demo\\scans\\", "\\\\demo\\scans\\\\", r"\\Demo\SCANS"]
)
def test_case_and_trailing_backslashes_do_not_count(scans, unc):
    """A UNC path is the same share however it is written."""
    assert Shares({"\\\\Demo\\scans\\": str(scans)}, KEY).find(unc) == Place(scans, ())


def test_a_path_below_the_prefix_leads_below_the_folder(scans):
    """The names of the sub-folders are kept as they are written."""
    shares = Shares({r"\\demo\scans": str(scans)}, KEY)

    assert shares.find(r"\\demo\scans\Invoices\2026") == Place(scans, ("Invoices", "2026"))


def test_the_longest_prefix_wins(scans, tmp_path):
    """A deeper mapping is an exception to the one above it."""
    shares = Shares({r"\\demo\scans": str(tmp_path), r"\\demo\scans\hr": str(scans)}, KEY)

    assert shares.find(r"\\demo\scans\hr\new") == Place(scans, ("new",))
    assert shares.find(r"\\demo\scans\hrx") == Place(tmp_path, ("hrx",))


@pytest.mark.parametrize(
    "unc",
    [
        *("", "\\", "\\\\", r"\\demo", "\\\\demo\\", r"\demo\scans", r"demo\scans", r"C:\scans", "//demo/scans"),
        *(r"\\?\C:\scans", r"\\.\pipe\x", r"\\?\UNC\demo\scans", "file://demo/scans", "smb://demo/scans"),
        *(r"\\demo@80\scans", r"\\demo@SSL\DavWWWRoot\scans", r"\\user@demo\scans", r"\\\demo\scans"),
        *(r"\\demo\scans\..\other", r"\\demo\scans\.", r"\\demo\..", r"\\demo\scans\\x", r"\\demo\scans\a/../../b"),
        *(
            r"\\demo\scans\CON",
            r"\\demo\scans\nul.txt",
            r"\\demo\scans\a:b",
            "\\\\demo\\scans\\a\0b",
            r"\\demo\scans\x.",
        ),
        *("\\\\demo\\scans\\a\nb", "\\\\demo\\scans\\a\u202eb", r"\\demo\scans\*", r" \\demo\scans"),
    ],
)
def test_what_is_no_unc_path_is_refused(tmp_path, unc):
    """InvalidArgs, with the value and the form that was expected (T-F3, PSP-030)."""
    caught = failure(Shares({r"\\demo\scans": str(tmp_path)}, KEY), unc)

    assert caught.reasons == (FilterReason.INVALID_ARGS,)
    assert caught.detail == rf"{unc!r} is not a UNC path; expected \\server\share or \\server\share\folder"


@given(st.text(alphabet="\\./:aA dem@?*oscn\x00~", max_size=40))
def test_no_path_leads_out_of_its_folder(tail):
    """Whatever follows the prefix: components that go down, or a refusal (T-F3)."""
    shares = Shares({r"\\demo\scans": "/"}, KEY)
    try:
        place = shares.find(r"\\demo\scans" + "\\" + tail)
    except FilterFailed:
        return

    assert not {"", ".", ".."} & set(place.below)
    assert not any("/" in part or "\0" in part for part in place.below)


def test_a_share_that_is_not_mapped_leads_nowhere(scans):
    """The sentence names the key to add it to; nothing is ever sought on the network (T-F3, I30)."""
    caught = failure(Shares({r"\\demo\scans": str(scans)}, KEY), r"\\attacker\scans")

    assert caught.reasons == (FilterReason.UNKNOWN_ERROR,)
    assert caught.detail == r"\\attacker\scans: no folder stands for it; add it to filters.fileshare.shares"


def test_a_mapped_folder_that_is_missing_is_named(tmp_path):
    """It may be a mount that is not there: nothing is made in its place."""
    caught = failure(Shares({r"\\demo\scans": str(tmp_path / "gone")}, KEY), r"\\demo\scans")

    assert caught.reasons == (FilterReason.UNKNOWN_ERROR,)
    assert f"there is no folder {tmp_path}/gone" in caught.detail
    assert KEY in caught.detail
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({r"demo\scans": "/srv"}, "is not a UNC path"),
        ({r"\\demo": "/srv"}, "is not a UNC path"),
        ({r"\\demo\scans": "srv/scans"}, "expected an absolute path"),
        ({r"\\demo\scans": 3}, "expected an absolute path"),
        ({r"\\demo\scans": "/a", r"\\DEMO\scans": "/b"}, "is there twice"),
        (["/srv"], "is not a table"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table, problem):
    """At load, not in the middle of the first job."""
    with pytest.raises(ValueError, match=problem):
        Shares(table, KEY)
