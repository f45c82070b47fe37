"""The file share filter, on real folders."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest
from destinations import open_folder, small_disk, without_privileges
from lxml import etree

from postscan.core.errors import InvalidArgument
from postscan.core.model.principal import User
from postscan.core.model.states import FilterState
from postscan.plugins.filters.fileshare import NAMESPACE, FileShare, Settings
from postscan.plugins.testing import run_filter

USER = "anna@fabrikam.example"
NAMES = [f"Scan_{USER}_20260302-094107_{id:03d}.{suffix}" for id, suffix in ((1, "png"), (2, "tif"))]


def config(*uncs, prefix="fsf"):
    """Return a FileShareConfig that names these shares."""
    root = etree.Element(f"{{{NAMESPACE}}}FileShareConfig", nsmap={prefix: NAMESPACE})
    if uncs:
        shares = etree.SubElement(root, f"{{{NAMESPACE}}}FileShares")
        for unc in uncs:
            etree.SubElement(shares, f"{{{NAMESPACE}}}ShareUNC").text = unc
    return etree.tostring(root)


@dataclass
class Shares:
    """Two shares in one folder, as settings and as paths."""

    home: object

    def __post_init__(self):
        self.one, self.two = self.home / "one", self.home / "two"
        self.one.mkdir()
        self.two.mkdir()

    def settings(self, **more):
        return {"shares": {r"\\files\one": str(self.one), r"\\files\two": str(self.two), **more}}

    def files(self):
        """Return every file below the shares, as share/folder/name."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file())


@pytest.fixture
def shares(tmp_path):
    """Two empty shares."""
    home = tmp_path / "shares"
    home.mkdir()
    return Shares(home)


@pytest.fixture
def pages(tmp_path):
    """Two pages."""
    paths = [tmp_path / "page.png", tmp_path / "page.tif"]
    for path in paths:
        path.write_bytes(os.urandom(5000))
    return paths


def test_every_document_goes_to_every_share_into_the_users_folder(shares, pages):
    """PSP-014, PSP-015 and PSP-016."""
    result = run_filter(
        FileShare(), pages, instructions=config(r"\\files\one", r"\\files\two"), settings=shares.settings()
    )

    assert result.outcome is FilterState.SUCCEEDED
    assert shares.files() == [f"{share}/{USER}/{name}" for share in ("one", "two") for name in NAMES]


def test_the_bytes_of_an_image_stay_as_they_are(shares, pages):
    """PSP-026."""
    run_filter(FileShare(), pages, instructions=config(r"\\files\one"), settings=shares.settings())

    assert [(shares.one / USER / name).read_bytes() for name in NAMES] == [page.read_bytes() for page in pages]


def test_the_server_hears_of_every_output(shares, pages):
    """Document, destination as the scan process spells it, and name."""
    result = run_filter(
        FileShare(), pages, instructions=config(r"\\files\one", r"\\Files\Two"), settings=shares.settings()
    )

    assert result.published == [
        (1, r"\\files\one", NAMES[0]),
        (1, r"\\Files\Two", NAMES[0]),
        (2, r"\\files\one", NAMES[1]),
        (2, r"\\Files\Two", NAMES[1]),
    ]


def test_a_share_that_is_named_twice_gets_each_document_once(shares, pages):
    """Case and trailing backslashes make no second share (I20)."""
    run_filter(
        FileShare(), pages[:1], instructions=config(r"\\files\one", "\\\\FILES\\one\\"), settings=shares.settings()
    )

    assert shares.files() == [f"one/{USER}/{NAMES[0]}"]


def test_a_folder_on_a_share_may_be_named(shares, pages):
    """A path below the mapped prefix, if it is there."""
    (shares.one / "hr").mkdir()
    run_filter(FileShare(), pages[:1], instructions=config(r"\\files\one\hr"), settings=shares.settings())

    assert shares.files() == [f"one/hr/{USER}/{NAMES[0]}"]


def test_without_destinations_it_warns(shares, pages):
    """Legal, and nothing is done (P-5)."""
    for instructions in (config(), config().replace(b"/>", b"><!-- none --></fsf:FileShareConfig>")):
        result = run_filter(FileShare(), pages, instructions=instructions, settings=shares.settings())

        assert result.outcome is FilterState.WARNINGS
        assert result.warnings == ("the scan process names no ShareUNC: nothing was delivered",)


def test_any_prefix_blanks_and_foreign_elements_are_fine(shares, pages):
    """PSP-008 and PSP-010."""
    xml = f"""<FileShareConfig xmlns='{NAMESPACE}' xmlns:v='urn:vendor' v:x='1'>
        <v:Before/><FileShares><v:ShareUNC>\\\\files\\two</v:ShareUNC><ShareUNC>
            \\\\files\\one </ShareUNC></FileShares></FileShareConfig>"""
    run_filter(FileShare(), pages[:1], instructions=xml.encode(), settings=shares.settings())

    assert shares.files() == [f"one/{USER}/{NAMES[0]}"]


@pytest.mark.parametrize("xml", [b"<a/>", b"<FileShareConfig/>", b"<x:FileShareConfig xmlns:x='urn:x'/>"])
def test_what_is_no_config_is_refused(shares, pages, xml):
    """Before the filter runs, and the sentence says what was expected (PSP-007, PSP-030)."""
    with pytest.raises(InvalidArgument, match=rf"expected {{{NAMESPACE}}}FileShareConfig"):
        run_filter(FileShare(), pages, instructions=xml, settings=shares.settings())

    assert shares.files() == []


def test_no_entity_is_read_from_the_disk(shares, pages, tmp_path):
    """Even if the server had let one through, its content would not become a path."""
    secret = tmp_path / "secret"
    secret.write_text(r"\\files\one")
    xml = f"""<!DOCTYPE a [<!ENTITY e SYSTEM "file://{secret}">]>
        <FileShareConfig xmlns='{NAMESPACE}'><FileShares><ShareUNC>&e;</ShareUNC></FileShares></FileShareConfig>"""
    with pytest.raises(ElementTree.ParseError, match="undefined entity"):
        run_filter(FileShare(), pages, instructions=xml.encode(), settings=shares.settings())

    assert shares.files() == []


def test_one_destination_that_fails_does_not_keep_the_others_from_it(shares, pages):
    """All are tried; then each reason once, and a sentence for each destination (PSP-029, O-27)."""
    uncs = (r"\\files\gone", r"\\files\one", "nonsense", r"\\files\unknown", r"\\files\two")
    settings = shares.settings(**{r"\\files\gone": str(shares.home / "gone")})
    result = run_filter(FileShare(), pages, instructions=config(*uncs), settings=settings)

    assert result.outcome is FilterState.ERRORS
    assert result.reasons == ("UnknownError", "InvalidArgs")
    assert all(part in result.detail for part in (r"\\files\gone", "'nonsense'", r"\\files\unknown", "shares"))
    assert shares.files() == [f"{share}/{USER}/{name}" for share in ("one", "two") for name in NAMES]


def test_a_share_without_right_to_write_is_access_denied():
    """The file system's own refusal, as a user whom permissions bind (PSP-030)."""
    with open_folder() as place:
        (place / "page.png").write_bytes(b"page")
        shares = Shares(place)
        shares.one.chmod(0o555)
        with without_privileges():
            result = run_filter(
                FileShare(), [place / "page.png"], instructions=config(r"\\files\one"), settings=shares.settings()
            )

        assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("FileShareAccessDenied",))
        assert r"\\files\one: Permission denied" in result.detail


def test_a_file_system_that_refuses_even_root_is_access_denied(pages):
    """Nobody makes folders in /sys: EPERM, or EROFS where it is mounted read-only."""
    result = run_filter(
        FileShare(),
        pages,
        instructions=config(r"\\files\sys"),
        settings={"shares": {r"\\files\sys": "/sys"}},
    )

    assert result.reasons == ("FileShareAccessDenied",)


def test_a_full_share_is_out_of_disk_space_and_keeps_no_half_file(shares, tmp_path):
    """The other share gets its copy all the same (F-R11, I19, PSP-030)."""
    big = tmp_path / "big.png"
    big.write_bytes(os.urandom(1 << 20))
    with small_disk(shares.one, 256 * 1024):
        result = run_filter(
            FileShare(), [big], instructions=config(r"\\files\one", r"\\files\two"), settings=shares.settings()
        )

        assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("FileShareOutOfDiskSpace",))
        assert r"\\files\one: No space left on device" in result.detail
        assert shares.files() == [f"two/{USER}/{NAMES[0]}"]


def test_a_planted_link_in_place_of_the_users_folder_is_refused(shares, pages, tmp_path):
    """Whoever may write into the share cannot have another's pages delivered elsewhere (T-F4)."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (shares.one / USER).symlink_to(elsewhere)
    result = run_filter(FileShare(), pages, instructions=config(r"\\files\one"), settings=shares.settings())

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnknownError",))
    assert "expected a folder" in result.detail
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc", "..", "/etc", "a/b@x", "con", "x\0y"])
def test_a_hostile_user_name_stays_below_the_share(shares, pages, name):
    """One folder, directly below the share (T-F2, PSP-017)."""
    run_filter(
        FileShare(),
        pages[:1],
        instructions=config(r"\\files\one"),
        settings=shares.settings(),
        user=User("S-1-5-9", name),
    )
    (folder,) = shares.one.iterdir()
    (file,) = folder.iterdir()

    assert file.read_bytes() == pages[0].read_bytes()
    assert sorted(path.name for path in shares.home.iterdir()) == ["one", "two"]


def test_a_foreign_file_of_that_name_is_left_alone(shares, pages):
    """DSP-082, I21."""
    (shares.one / USER).mkdir()
    (shares.one / USER / NAMES[0]).write_bytes(b"mine")
    run_filter(FileShare(), pages[:1], instructions=config(r"\\files\one"), settings=shares.settings())

    assert (shares.one / USER / NAMES[0]).read_bytes() == b"mine"
    assert (shares.one / USER / NAMES[0].replace(".png", "-2.png")).read_bytes() == pages[0].read_bytes()


def test_running_it_again_delivers_only_what_is_missing(shares, pages):
    """A crash came after the first file: the second run adds the rest and no second copy (I20)."""
    both = config(r"\\files\one", r"\\files\two")
    first = run_filter(FileShare(), pages, instructions=both, settings=shares.settings(), cancel_at=5)
    second = run_filter(FileShare(), pages, instructions=both, settings=shares.settings(), earlier=first.published)

    assert first.outcome is FilterState.CANCELED
    assert 0 < len(first.published) < 4
    assert len(first.published) + len(second.published) == 4
    assert shares.files() == [f"{share}/{USER}/{name}" for share in ("one", "two") for name in NAMES]


def test_a_cancel_at_any_check_leaves_whole_files_and_nothing_else(tmp_path, pages):
    """Delivered stays, half is never visible, and nothing is beside (promises 3 and 6)."""
    seen = set()
    for number in itertools.count(1):
        home = tmp_path / str(number)
        home.mkdir()
        shares = Shares(home)
        result = run_filter(
            FileShare(),
            pages,
            instructions=config(r"\\files\one", r"\\files\two"),
            settings=shares.settings(),
            cancel_at=number,
        )
        contents = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
        seen.add(len(contents))

        assert all(content in (pages[0].read_bytes(), pages[1].read_bytes()) for content in contents)
        assert len(contents) == len(result.published)
        if result.outcome is not FilterState.CANCELED:
            break

    assert seen == {0, 1, 2, 3, 4}


def test_it_looks_at_its_token_often_enough(shares, tmp_path):
    """While it copies a large file too: a cancel does not wait for the end of it (promise 9)."""
    big = tmp_path / "big.png"
    big.write_bytes(bytes(32 << 20))
    began = time.monotonic()
    result = run_filter(FileShare(), [big], instructions=config(r"\\files\one"), settings=shares.settings())

    assert result.checks.number > 32
    assert result.checks.longest < time.monotonic() - began


def test_settings_that_cannot_be_used_are_refused_at_load():
    """The sentence names the key."""
    with pytest.raises(ValueError, match=r"filters\.fileshare\.shares: .*expected an absolute path"):
        Settings({r"\\files\one": "one"})


def test_the_dialect_is_the_namespace_of_its_schema():
    """PSP-006."""
    assert FileShare.dialect == "http://schemas.microsoft.com/windows/2007/10/imaging/postscan/filter/fileshare"
