"""The stamp filter, on real images."""

from __future__ import annotations

import os
import struct
import sys
import zlib

import pytest

from postscan.core.errors import InvalidArgument
from postscan.core.model.states import FilterState
from postscan.plugins.filters import stamp
from postscan.plugins.filters.stamp import PAGE, Settings, Stamp
from postscan.plugins.testing import run_filter

Image = pytest.importorskip("PIL.Image", reason="the stamp filter needs the extra [image]")

USER = "anna@fabrikam.example"
STEM = f"Scan_{USER}_20260302-094107_001"


def config(text="Received", folder=r"\\demo\stamped"):
    """Return a StampConfig."""
    return (
        f"<st:StampConfig xmlns:st='{stamp.NAMESPACE}'><st:Text>{text}</st:Text>"
        f"<st:FolderUNC>{folder}</st:FolderUNC></st:StampConfig>"
    ).encode()


@pytest.fixture
def share(tmp_path):
    """An empty destination."""
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


@pytest.fixture
def page(tmp_path):
    """A small grey page."""
    return saved(tmp_path / "page.png", Image.new("L", (60, 80), 128))


def saved(path, image, **how):
    """Save an image and return its path."""
    image.save(path, **how)
    return path


def stamped(files, share, instructions=None, **how):
    """Run the filter and return its result."""
    settings = {"shares": {r"\\demo\stamped": str(share)}}
    return run_filter(Stamp(), files, instructions=instructions or config(), settings=settings, **how)


def outputs(share):
    """Return every file below the share."""
    return sorted(path for path in share.rglob("*") if path.is_file())


def ink(image, box):
    """Return how many dark pixels lie in a part of a page."""
    return sum(image.crop(box).convert("L").histogram()[:100])


BOTTOM = (0, PAGE[1] - 120, *PAGE)


def test_a_page_comes_out_on_a4_at_300_dpi(page, share):
    """As PNG, under the document's name, in the user's folder."""
    result = stamped([page], share)
    (path,) = outputs(share)

    assert result.outcome is FilterState.SUCCEEDED
    assert path == share / USER / f"{STEM}-stamped.png"
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (2480, 3508))
        assert [round(dpi) for dpi in image.info["dpi"]] == [300, 300]


@pytest.mark.parametrize("size", [(60, 80), (400, 100), (100, 900), (3000, 4000)])
def test_the_picture_keeps_its_shape_and_does_not_cover_the_line(tmp_path, share, size):
    """It is as large as fits, and centred."""
    stamped([saved(tmp_path / "page.png", Image.new("L", size, 0))], share)
    with Image.open(outputs(share)[0]) as image:
        dark = image.convert("L").point(lambda value: 255 * (value < 64)).crop((0, 0, PAGE[0], BOTTOM[1]))
        left, top, right, bottom = dark.getbbox()

        assert (right - left) / (bottom - top) == pytest.approx(size[0] / size[1], rel=0.01)
        assert max((right - left) / 2360, (bottom - top) / 3284) == pytest.approx(1, abs=0.01)
        assert left == pytest.approx(PAGE[0] - right, abs=2)


def test_a_line_is_written_along_the_bottom_edge(page, share, tmp_path):
    """More text, more ink; and with another text other pixels."""
    stamped([page], share, config("Received"))
    (tmp_path / "other").mkdir()
    stamped([page], tmp_path / "other", config("Received by the registry"))
    with Image.open(outputs(share)[0]) as short, Image.open(outputs(tmp_path / "other")[0]) as long:
        assert 0 < ink(short, BOTTOM) < ink(long, BOTTOM)
        assert short.crop((0, 0, PAGE[0], BOTTOM[1])).tobytes() == long.crop((0, 0, PAGE[0], BOTTOM[1])).tobytes()


def test_a_long_line_is_made_smaller_and_not_cut(page, share):
    """The right margin stays white, and the text of 255 characters is all there."""
    stamped([page], share, config("W" * 255))
    with Image.open(outputs(share)[0]) as image:
        assert ink(image, BOTTOM) > 0
        assert ink(image, (PAGE[0] - 40, BOTTOM[1], *PAGE)) == 0


def test_line_ends_in_the_text_are_blanks(page, share):
    """One line is one line."""
    assert stamped([page], share, config("Received\n   today")).outcome is FilterState.SUCCEEDED


def test_colour_stays_colour_and_grey_stays_grey(tmp_path, share):
    """A grey page must not become three times as large."""
    stamped([saved(tmp_path / "grey.png", Image.new("1", (60, 80)))], share)
    stamped([saved(tmp_path / "red.png", Image.new("RGB", (60, 80), "red"))], share)
    modes = []
    for path in outputs(share):
        with Image.open(path) as image:
            modes.append(image.mode)

    assert sorted(modes) == ["L", "RGB"]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("page.png", {}),
        ("page.jpg", {}),
        ("page.bmp", {}),
        ("page.tif", {"compression": "group4"}),
        ("page.tif", {"compression": "tiff_lzw"}),
    ],
)
def test_every_format_that_pillow_can_read_is_stamped(tmp_path, share, name, how):
    """png, jfif, dib and the TIFF kinds."""
    image = Image.new("1" if how.get("compression") == "group4" else "L", (60, 80))
    result = stamped([saved(tmp_path / name, image, **how)], share)

    assert result.outcome is FilterState.SUCCEEDED
    assert len(outputs(share)) == 1


def test_every_page_of_a_file_is_stamped(tmp_path, share):
    """A TIFF of three pages gives three files, and running twice gives no more."""
    pages = [Image.new("L", (60, 80), shade) for shade in (0, 128, 255)]
    path = saved(tmp_path / "pages.tif", pages[0], save_all=True, append_images=pages[1:])
    first = stamped([path], share)
    second = stamped([path], share, earlier=first.published)

    assert [path.name for path in outputs(share)] == [
        f"{STEM}-stamped-page2.png",
        f"{STEM}-stamped-page3.png",
        f"{STEM}-stamped.png",
    ]
    assert len(first.published) == 3
    assert second.published == []


@pytest.mark.parametrize("name", ["page.xps", "page.pdf", "page.jbg"])
def test_what_is_no_picture_is_skipped_with_a_warning(tmp_path, page, share, name):
    """The others are stamped."""
    path = tmp_path / name
    path.write_bytes(b"no picture")
    result = stamped([path, page], share)

    assert result.outcome is FilterState.WARNINGS
    assert "cannot be stamped" in result.warnings[0]
    assert len(outputs(share)) == 1


@pytest.mark.parametrize("content", ["nothing", "cut", "jpeg", "postscript"])
def test_a_page_that_cannot_be_read_fails_and_the_others_do_not(tmp_path, page, share, content):
    """UnknownError with the name; only the decoder of the declared format is ever asked (T-P2, T-P3)."""
    broken = tmp_path / "broken.png"
    whole = saved(tmp_path / "whole.png", Image.effect_noise((60, 80), 50)).read_bytes()
    jpeg = saved(tmp_path / "whole.jpg", Image.new("L", (60, 80))).read_bytes()
    broken.write_bytes({"nothing": b"", "cut": whole[:-2000], "jpeg": jpeg, "postscript": b"%!PS-Adobe\n"}[content])
    result = stamped([broken, page], share)

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("UnknownError",))
    assert f"{STEM}.png: cannot be read as png" in result.detail
    assert [path.name for path in outputs(share)] == [f"{STEM.replace('_001', '_002')}-stamped.png"]


def bomb(side):
    """Return a PNG that claims side x side pixels and is a few hundred bytes long."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000], ids=["above Pillow's first limit", "above its second"])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, share, side):
    """ServerOutOfMemory (T-P1)."""
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side))
    result = stamped([path], share)

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("ServerOutOfMemory",))
    assert outputs(share) == []


def test_a_share_that_refuses_is_told_in_the_words_of_the_protocol(page):
    """The same reasons as for the file share."""
    result = stamped([page], "/sys")

    assert (result.outcome, result.reasons) == (FilterState.ERRORS, ("FileShareAccessDenied",))


@pytest.mark.parametrize("folder", ["", "   "])
def test_without_a_folder_it_warns_and_does_nothing(page, share, folder):
    """As the file share does without destinations (P-5)."""
    result = stamped([page], share, config(folder=folder))

    assert result.outcome is FilterState.WARNINGS
    assert outputs(share) == []


@pytest.mark.parametrize("xml", [b"<a/>", b"<StampConfig/>", b"<s:Other xmlns:s='urn:postscan:2026:filter:stamp'/>"])
def test_what_is_no_config_is_refused(page, share, xml):
    """Before the filter runs, and the sentence says what was expected."""
    with pytest.raises(InvalidArgument, match=rf"expected {{{stamp.NAMESPACE}}}StampConfig"):
        stamped([page], share, xml)

    assert outputs(share) == []


def test_running_it_again_does_no_harm(page, share):
    """The same job gives the same bytes, so an earlier delivery is recognised (I20)."""
    first = stamped([page], share)
    second = stamped([page], share, earlier=first.published)

    assert second.published == []
    assert len(outputs(share)) == 1


def test_a_cancel_at_any_check_leaves_a_whole_page_or_none(tmp_path, share):
    """Also in the middle of saving, and in the middle of the second page (promise 6)."""
    image = saved(tmp_path / "page.png", Image.new("L", (8, 8)))
    checks = stamped([image], share).checks.number
    (whole,) = outputs(share)
    seen = set()
    for number in range(1, checks + 1):
        home = tmp_path / str(number)
        home.mkdir()
        result = stamped([image], home, cancel_at=number)
        files = outputs(home)
        seen.add(len(files))

        assert result.outcome is FilterState.CANCELED
        assert all(path.read_bytes() == whole.read_bytes() for path in files)
        assert len(files) == len(result.published)

    assert seen == {0, 1}


def test_it_looks_at_its_token_within_the_longest_step(tmp_path, share):
    """While the page is being packed: pieces of noise are large, so there are many (promise 9)."""
    noise = Image.frombytes("L", (1240, 1754), os.urandom(1240 * 1754))
    result = stamped([saved(tmp_path / "noise.png", noise)], share)

    assert result.checks.number > 40


def test_without_pillow_it_says_what_to_install(page, share, monkeypatch):
    """The catalogue shows it, and a run fails with the same sentence."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    sentence = "Pillow is not installed; pip install 'postscan[image]'"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert list(Stamp().requires()) == [sentence]
    assert stamped([page], share).detail == sentence


def test_with_pillow_it_lacks_nothing():
    """So it is ready."""
    assert list(Stamp().requires()) == []


def test_settings_that_cannot_be_used_are_refused_at_load():
    """The sentence names the key."""
    with pytest.raises(ValueError, match=r"filters\.stamp\.shares: .*is not a UNC path"):
        Settings({"demo": "/srv"})
