"""Draw the pages of `postscan demo`, as a scanner would send them: cli/demo/pages.

    .venv/bin/python tools/demo_pages.py

Needs Pillow and the fonts of Debian's `fonts-dejavu-core`. All texts, names and pictures are made here. Pages of text
lie a little askew, with a shadow along one edge. The same call draws the same pages.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

PAGES: Final = Path(__file__).resolve().parent.parent / "cli" / "demo" / "pages"
FONTS: Final = Path("/usr/share/fonts/truetype/dejavu")
SIZE: Final = (1240, 1754)  # A4 in pixels
DPI: Final = (150, 150)
MARGIN: Final = 130
INK, PAPER = 40, 248

LETTERS: Final = {
    "letter": (
        "Fabrikam Shipping\n14 Harbour Road",
        "Your pallets of 12 May",
        """
        Dear Ms Lind,

        four of the six pallets have left our warehouse this morning. The other two follow on Thursday, since one of
        them had been labelled for another harbour.

        Please count the cartons before you sign the delivery note. If one is missing, write its number on the note and
        send us a copy; we replace it within three working days.

        With kind regards,

        John Adeyemi, Dispatch
        """,
    ),
    "minutes": (
        "Works council\nRoom 2.14",
        "Minutes of 3 June",
        """
        Present: Lind, Adeyemi, Okafor, Brandt.

        1. The new scanners are on every floor. Each shows the same four destinations.

        2. A scan that was sent to the wrong folder can be stopped at the device as long as it has not been delivered.
        What has been delivered stays where it is.

        3. The canteen closes at two on Fridays.

        Next meeting: 1 July, nine o'clock.
        """,
    ),
    "contract": (
        "Northwind Offices\n3 Mill Lane",
        "Rental agreement, annex B",
        """
        The tenant returns the rooms in the state in which they were taken over. Wear from ordinary use is not a defect.

        Two keys belong to each door. The loss of a key is reported within a day, and the tenant pays for the exchange
        of the lock.

        Bicycles are parked in the yard and not in the hall. The hall is an escape route.

        Changes of this annex need the written form.
        """,
    ),
}

TABLES: Final = {
    "invoice": ("Invoice 2026-0417", ("Paper, A4, 80 g", "Toner, black", "Feeder roller", "Delivery"), 3),
    "delivery-note": ("Delivery note 88-310", ("Cartons, empty", "Tape, brown", "Labels, 70 x 36", "Film, 500 mm"), 8),
    "price-list": (
        "Prices from 1 July",
        ("Copy, grey", "Copy, colour", "Scan", "Binding", "Fold", "Punch", "Staple"),
        5,
    ),
    "receipt": ("Receipt", ("Coffee", "Bread roll", "Apple juice"), 11),
    "form": ("Application for leave", ("From", "To", "Days", "Deputy", "Reason", "Signature"), 13),
}


def main() -> None:
    """Write the pages: text in black and white or grey, pictures in colour."""
    PAGES.mkdir(exist_ok=True)
    for name, parts in LETTERS.items():
        page = scanned(letter(*parts), seed=name)
        if name == "contract":
            page.convert("1", dither=Image.Dither.NONE).save(PAGES / f"{name}.tif", compression="group4", dpi=DPI)
        else:
            save(page, name)
    for name, (title, lines, seed) in TABLES.items():
        save(scanned(table(title, lines, seed), seed=name), name)
    for name, picture in {"poster": poster(), "chart": chart(), "plan": plan()}.items():
        picture.filter(ImageFilter.GaussianBlur(0.7)).save(PAGES / f"{name}.jpg", quality=60, dpi=DPI)


def save(page: Image.Image, name: str) -> None:
    """Write a page of text in sixteen shades of grey."""
    page.quantize(16, dither=Image.Dither.NONE).save(PAGES / f"{name}.png", optimize=True, dpi=DPI)


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font of this size in pixels."""
    return ImageFont.truetype(FONTS / f"DejaVuSerif{'-Bold' if bold else ''}.ttf", size)


def letter(sender: str, subject: str, text: str) -> Image.Image:
    """Return a page with a sender, a subject and paragraphs."""
    page = Image.new("L", SIZE, PAPER)
    draw = ImageDraw.Draw(page)
    draw.multiline_text((MARGIN, 120), sender, INK, font(28), spacing=10)
    draw.text((MARGIN, 420), subject, INK, font(36, bold=True))
    top = 520.0
    for paragraph in text.strip().split("\n\n"):
        for line in wrapped(draw, paragraph, font(26), SIZE[0] - 2 * MARGIN):
            draw.text((MARGIN, top), line, INK, font(26))
            top += 40
        top += 40
    return page


def wrapped(draw: ImageDraw.ImageDraw, text: str, type_: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Divide a paragraph into lines of at most this width in pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, type_) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def table(title: str, lines: Sequence[str], seed: int) -> Image.Image:
    """Return a page with a table of these lines, and numbers."""
    chance = random.Random(seed)  # noqa: S311  (a drawing)
    page = Image.new("L", SIZE, PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 160), title, INK, font(40, bold=True))
    right, top = SIZE[0] - MARGIN, 320
    for line in lines:
        draw.text((MARGIN + 16, top + 16), line, INK, font(26))
        draw.text((right - 16, top + 16), f"{chance.randint(100, 99999) / 100:,.2f}", INK, font(26), anchor="ra")
        draw.rectangle((MARGIN, top, right, top + 68), outline=INK, width=2)
        top += 68
    draw.line((MARGIN, top + 300, MARGIN + 420, top + 300), INK, 2)
    draw.text((MARGIN, top + 310), "Date, signature", INK, font(20))
    return page


def scanned(page: Image.Image, seed: str) -> Image.Image:
    """Return a page as it lies on the glass: turned by less than a degree, softened, with a shadow along one edge."""
    chance = random.Random(seed)  # noqa: S311  (a drawing)
    turned = page.rotate(chance.uniform(-0.8, 0.8), Image.Resampling.BICUBIC, fillcolor=PAPER)
    shadow = Image.linear_gradient("L").rotate(90).resize(SIZE).point(lambda value: 255 - max(0, value - 235))
    return ImageChops.multiply(turned.filter(ImageFilter.GaussianBlur(0.6)), shadow)


def poster() -> Image.Image:
    """Return a page of colours: hills below a sun."""
    page = Image.new("RGB", SIZE, (244, 214, 150))
    draw = ImageDraw.Draw(page)
    draw.ellipse((760, 220, 1060, 520), (230, 110, 60))
    for number, colour in enumerate(((116, 150, 140), (78, 118, 112), (46, 84, 84), (24, 52, 58))):
        chance = random.Random(number)  # noqa: S311  (a drawing)
        level = 700 + 230 * number
        line = [(x, level + chance.randint(-90, 90)) for x in range(0, SIZE[0] + 155, 155)]
        draw.polygon([(0, SIZE[1]), *line, SIZE], colour)
    draw.text((MARGIN, 90), "Open day, 20 September", (60, 40, 30), font(56, bold=True))
    return page


def chart() -> Image.Image:
    """Return a page with bars."""
    page = Image.new("RGB", SIZE, (250, 250, 246))
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 120), "Pages scanned in a month", (40, 40, 40), font(40, bold=True))
    for number, height in enumerate((420, 510, 380, 760, 890, 640)):
        left = MARGIN + 160 * number
        draw.rectangle((left, 1400 - height, left + 110, 1400), (40 + 25 * number, 110, 140))
        draw.text(
            (left + 55, 1420), ("Jan", "Feb", "Mar", "Apr", "May", "Jun")[number], (40, 40, 40), font(26), anchor="ma"
        )
    draw.line((MARGIN - 20, 1402, SIZE[0] - MARGIN, 1402), (40, 40, 40), 3)
    return page


def plan() -> Image.Image:
    """Return a page with the plan of a floor."""
    page = Image.new("RGB", SIZE, (246, 248, 250))
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 120), "Second floor", (30, 50, 80), font(40, bold=True))
    rooms = {"2.11": (130, 260, 520, 700), "2.12": (520, 260, 900, 700), "2.13": (900, 260, 1110, 1100)}
    rooms |= {"Hall": (130, 700, 900, 900), "2.14": (130, 900, 620, 1500), "Scanner": (620, 900, 900, 1500)}
    for name, box in rooms.items():
        draw.rectangle(box, (225, 235, 245) if name != "Scanner" else (250, 220, 160), (30, 50, 80), 6)
        draw.text(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), name, (30, 50, 80), font(30), anchor="mm")
    return page


if __name__ == "__main__":
    main()
