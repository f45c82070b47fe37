"""Pictures of real and of hostile images, each made by a real worker process."""

from __future__ import annotations

import dataclasses
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from sourced import picture as tiny
from works import PATIENCE

from postscan.core.errors import PictureUnavailable, Unavailable
from postscan.core.service.administration.pictures.maker import MEMORY, PictureMaker
from postscan.core.spool.pictures import StoredPicture
from postscan.core.workers.rlimits import Resources
from postscan.core.workers.slot import Limits

GREEN = (20, 160, 60)
LIMITS = Limits(
    PATIENCE, grace=0.1, term=0.1, start=PATIENCE, resources=Resources(MEMORY, PATIENCE, 8 << 20, open_files=64)
)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pages(*shades: int) -> bytes:
    """Return a TIFF with a page of each shade of grey."""
    first, *others = (Image.new("L", (40, 60), shade) for shade in shades)
    return encoded(first, "TIFF", save_all=True, append_images=others)


def clear() -> bytes:
    """Return a PNG of one colour of a palette, which is transparent."""
    return encoded(Image.new("P", (40, 60)), "PNG", transparency=0)


def turned() -> bytes:
    """Return a JPEG that lies on its side, as its Exif says."""
    turn = Image.Exif()
    turn[0x0112] = 6
    return encoded(Image.new("RGB", (600, 400), GREEN), "JPEG", exif=turn)


def huge() -> bytes:
    """Return a PNG of more pixels than a picture is made of."""
    return encoded(Image.new("1", (10_001, 10_000)), "PNG")


def truncated() -> bytes:
    """Return the first bytes of a PNG."""
    return encoded(Image.effect_noise((300, 300), 50), "PNG")[:9000]


def profiled() -> bytes:
    """Return a JPEG with a profile and a comment, both with a word of its own."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(Image.new("RGB", (40, 60), GREEN), "JPEG", icc_profile=profile + b"canary", comment=b"canary")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., StoredPicture]]:
    """Make a picture of these bytes: `make(data, format, page=1, side=320)`."""
    makers: list[PictureMaker] = []

    def make(data: bytes | None, format: str, page: int = 1, side: int = 320, limits: Limits = LIMITS) -> StoredPicture:
        image = tmp_path / "image"
        if data is not None:
            image.write_bytes(data)
        makers.append(PictureMaker(tmp_path / "run", limits))
        return makers[-1].make(image, format, page, side, "anna")

    (tmp_path / "run").mkdir()
    yield make
    for maker in makers:
        maker.close()
    assert list((tmp_path / "run").iterdir()) == []


def opened(picture: StoredPicture) -> Image.Image:
    """Return what a browser sees."""
    return Image.open(io.BytesIO(picture.data), formats=("WEBP",))


@pytest.mark.parametrize(
    ("data", "format", "page", "size", "colour"),
    [
        (encoded(Image.new("RGB", (800, 1600), GREEN), "PNG"), "png", 1, (160, 320), GREEN),
        (encoded(Image.new("RGB", (3200, 1600), GREEN), "JPEG"), "jfif", 1, (320, 160), GREEN),
        (encoded(Image.new("RGB", (400, 800), GREEN), "BMP"), "dib", 1, (160, 320), GREEN),
        (encoded(Image.new("1", (1600, 800), 1), "TIFF", compression="group4"), "tiff-single-g4", 1, (320, 160), None),
        (encoded(Image.new("CMYK", (40, 60)), "TIFF"), "tiff-single-uncompressed", 1, (40, 60), (255, 255, 255)),
        (pages(0, 128, 255), "tiff-multi-uncompressed", 2, (40, 60), (128, 128, 128)),
        (encoded(Image.new("I;16", (40, 60), 128 * 257), "PNG"), "png", 1, (40, 60), (128, 128, 128)),
        (clear(), "png", 1, (40, 60), (255, 255, 255)),
        (turned(), "exif", 1, (213, 320), GREEN),
    ],
    ids=["png", "jpeg", "dib", "fax", "cmyk", "tiff page", "16 bits", "transparent", "turned"],
)
def test_a_page_of_each_format_fits_into_its_size_and_keeps_its_colour(
    make: Callable[..., StoredPicture],
    data: bytes,
    format: str,
    page: int,
    size: tuple[int, int],
    colour: tuple[int, int, int] | None,
) -> None:
    """It is never larger than the image; what is transparent is white, and 16 bits are not cut off."""
    picture = opened(make(data, format, page))

    found = picture.convert("RGB").getpixel((size[0] // 2, size[1] // 2))
    assert picture.size == size
    assert isinstance(found, tuple)
    assert all(abs(one - other) < 8 for one, other in zip(found, colour or (255, 255, 255), strict=True))


def test_a_tiff_has_as_many_pages_as_it_says_and_no_other_format_has_more_than_one(
    make: Callable[..., StoredPicture],
) -> None:
    """The page that shows one picture leads to the next one."""
    assert make(pages(0, 128, 255), "tiff-multi-uncompressed", 3).pages == 3
    assert make(tiny(), "png").pages == 1


def test_a_picture_has_no_byte_of_the_image(make: Callable[..., StoredPicture]) -> None:
    """T-C2: a profile, a comment or Exif data would reach the browser as the stranger wrote them."""
    data = profiled()

    assert data.count(b"canary") == 2
    assert b"canary" not in make(data, "jfif").data
    assert b"Exif" not in make(turned(), "exif").data


@pytest.mark.parametrize(
    ("data", "format", "page", "reason"),
    [
        (huge, "png", 1, "10001 x 10000 pixels; at most 100,000,000"),
        (truncated, "png", 1, "cannot be read as png: .*truncated"),
        (tiny, "tiff-single-g4", 1, "no image of the format tiff-single-g4"),
        (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n", "png", 1, "no image of the format png"),
        (lambda: b"", "jfif", 1, "no image of the format jfif"),
        (lambda: pages(0, 255), "tiff-multi-uncompressed", 3, "it has 2 pages, and no page 3"),
        (lambda: pages(0, 255), "tiff-multi-uncompressed", -1, "it has 2 pages, and no page -1"),
        (tiny, "png", 2, "it has 1 pages, and no page 2"),
    ],
    ids=["huge", "truncated", "wrong kind", "PostScript", "empty", "page behind", "page before", "page of a png"],
)
def test_an_image_that_cannot_be_shown_says_why_and_not_where_it_is(
    make: Callable[..., StoredPicture], tmp_path: Path, data: Callable[[], bytes], format: str, page: int, reason: str
) -> None:
    """T-P1 to T-P3: only the decoder of the declared format is tried, and pixels are counted before they are read."""
    image = data()  # not in the list above, which is made in each process of the tests
    with pytest.raises(PictureUnavailable, match=reason) as refused:
        make(image, format, page)

    assert str(tmp_path) not in str(refused.value)


def test_an_image_that_needs_too_much_memory_ends_its_worker_alone(make: Callable[..., StoredPicture]) -> None:
    """T-P1: the limit is the kernel's; the next picture is made."""
    few = dataclasses.replace(LIMITS, resources=dataclasses.replace(LIMITS.resources, memory=320 << 20))
    with pytest.raises(PictureUnavailable, match="more than 320 MiB of memory"):
        make(encoded(Image.new("RGB", (9000, 9000)), "PNG", compress_level=1), "png", limits=few)

    assert make(tiny(), "png", limits=few).pages == 1


def test_an_image_that_takes_too_long_is_given_up(make: Callable[..., StoredPicture], tmp_path: Path) -> None:
    """T-P2: a pipe that nobody writes to stands for a decoder that never ends; its worker is killed."""
    os.mkfifo(tmp_path / "image")

    with pytest.raises(PictureUnavailable, match=r"longer than 0\.3 s"):
        make(None, "png", limits=dataclasses.replace(LIMITS, seconds=0.3))


def test_an_image_that_is_gone_is_no_error_of_the_server(make: Callable[..., StoredPicture]) -> None:
    """It may have been removed since its row was read."""
    with pytest.raises(PictureUnavailable, match="No such file"):
        make(None, "png")


def test_no_picture_is_made_after_the_close(tmp_path: Path) -> None:
    """The console stops: whoever waits is sent away."""
    maker = PictureMaker(tmp_path)
    maker.close()

    with pytest.raises(Unavailable, match="stopping"):
        maker.make(tmp_path / "image", "png", 1, 320, "anna")


def test_pictures_are_made_one_at_a_time(tmp_path: Path) -> None:
    """However many are asked for, they take one process."""
    (tmp_path / "run").mkdir()
    (tmp_path / "image").write_bytes(tiny())
    maker = PictureMaker(tmp_path / "run", LIMITS)
    most = 0
    made: list[int] = []

    def ask(caller: str) -> None:
        made.append(maker.make(tmp_path / "image", "png", 1, 320, caller).pages)

    threads = [threading.Thread(target=ask, args=(f"caller {number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, len(list((tmp_path / "run").iterdir())))
    maker.close()

    assert made == [1] * 5
    assert most == 1
