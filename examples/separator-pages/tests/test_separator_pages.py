"""The filter on pages with and without barcodes, and under the contract of filters."""

import io
from itertools import count
from pathlib import Path

import pikepdf
import pytest
import zxingcpp
from PIL import Image, ImageDraw
from separator_pages import Instructions, SeparatorPages

from postscan.plugins.testing import assert_filter_contract, run_filter

LETTER, SEPARATOR = "a letter", zxingcpp.BarcodeFormat.QRCode


def page(path: Path, text: str = "", kind: zxingcpp.BarcodeFormat = SEPARATOR) -> Path:
    """Write a page with a line of text, or with a barcode that is a little askew."""
    sheet = Image.new("L", (620, 877), 246)
    if text == LETTER:
        ImageDraw.Draw(sheet).text((60, 60), f"{path.stem}: four of the six pallets have left our warehouse.", 30)
    elif text:
        code = Image.fromarray(zxingcpp.create_barcode(text, kind).to_image(scale=4))
        sheet.paste(code.rotate(3, fillcolor=246, expand=True), (120, 300))
    sheet.save(path)
    return path


@pytest.fixture
def stack(tmp_path: Path) -> list[Path]:
    """Two letters of two pages and one page, and a separator page between them."""
    return [
        page(tmp_path / f"{number}.png", text)
        for number, text in enumerate((LETTER, LETTER, "SEPARATOR", LETTER), start=1)
    ]


def test_a_stack_becomes_one_pdf_for_each_letter(stack: list[Path]) -> None:
    """The separator page is in neither of them."""
    result = run_filter(SeparatorPages(), stack)

    assert result.outcome == "CompletedSuccessfully"
    assert [(one.id, one.format) for one in result.documents or []] == [(1, "pdf"), (4, "pdf")]
    assert [pages_in(one.content) for one in result.documents or []] == [2, 1]


@pytest.mark.parametrize("kind", [zxingcpp.BarcodeFormat.Code128, zxingcpp.BarcodeFormat.DataMatrix])
def test_any_kind_of_barcode_separates(stack: list[Path], kind: zxingcpp.BarcodeFormat) -> None:
    """As long as it has the text of the instructions."""
    page(stack[2], "NEXT", kind)
    result = run_filter(SeparatorPages(), stack, instructions=Instructions(text="NEXT"))

    assert len(result.documents or []) == 2


def test_a_barcode_with_another_text_is_a_page(stack: list[Path]) -> None:
    """Invoices have barcodes of their own."""
    page(stack[2], "4006381333931")
    result = run_filter(SeparatorPages(), stack)

    assert [pages_in(one.content) for one in result.documents or []] == [4]


def test_separator_pages_alone_are_an_error(tmp_path: Path) -> None:
    """A job without a page would be delivered as nothing."""
    result = run_filter(SeparatorPages(), [page(tmp_path / "1.png", "SEPARATOR")])

    assert result.outcome == "CompletedWithErrors"
    assert "only separator pages" in result.detail


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    """The filter fails; nothing is left out unseen."""
    (tmp_path / "letter.xps").write_bytes(b"PK not an image")
    result = run_filter(SeparatorPages(), [tmp_path / "letter.xps"])

    assert "xps is not an image that can be read" in result.detail


def test_whenever_it_is_cancelled_the_pages_stay_as_they_are(stack: list[Path]) -> None:
    """Changes of a cancelled run do not count."""
    for number in count(1):
        result = run_filter(SeparatorPages(), stack, cancel_at=number)
        if result.outcome != "Canceled":
            break
        assert result.documents is None

    assert number > len(stack)


def test_it_keeps_the_contract(stack: list[Path]) -> None:
    """Run, cancelled and run again, it has no defects."""
    assert_filter_contract(SeparatorPages(), stack)


def pages_in(pdf: bytes) -> int:
    """Return the number of pages."""
    with pikepdf.open(io.BytesIO(pdf)) as opened:
        return len(opened.pages)
