"""A postscan filter that removes blank pages: the filters after it get the others.

A page counts as blank if hardly any of it is darker than the paper around it. The paper is measured on each page
separately, so grey paper, shadows and yellowed edges do not count as ink.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter, ImageSequence, UnidentifiedImageError

from postscan.plugins import (
    CancellationToken,
    Document,
    Filter,
    FilterContext,
    FilterFailed,
    FilterResult,
    element,
    hookimpl,
)

LONGEST_SIDE = 800  # pixels: a page is scaled down to this before it is measured
DARKER = 24  # of 255: what is less dark than this, compared with the paper around it, is noise


@dataclass(frozen=True)
class Instructions:
    """BlankPagesConfig: when a page counts as blank."""

    ink: float = element("Ink", default=0.2, least=0, most=100, help="percent of a page that may be ink on a blank one")


class BlankPages(Filter):
    """Remove the blank pages."""

    dialect = "https://postscan.example/filter/blank-pages"
    title = "Blank pages"
    grace = 2.0
    Instructions = Instructions

    def run(self, job: FilterContext, token: CancellationToken) -> FilterResult | None:
        """Remove every document whose pages are all blank; a document that is not an image stays."""
        unread = []
        for document in job.documents:
            try:
                if all(share <= job.instructions.ink for share in ink(document, token)):
                    job.remove(document)
                    job.log(f"{document.name} is blank")
            except UnidentifiedImageError:
                unread.append(f"{document.name}: {document.format} cannot be read, so it stays")
            except (OSError, Image.DecompressionBombError) as error:
                raise FilterFailed(detail=f"{document.name}: {error}") from error
        return FilterResult(tuple(unread))


def ink(document: Document, token: CancellationToken) -> Iterable[float]:
    """Yield the ink of each page of a document, in percent."""
    with Image.open(document.path) as image:
        for page in ImageSequence.Iterator(image):
            token.check()
            grey = page.convert("L")
            grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            token.check()
            yield darker_than_its_paper(grey)


def darker_than_its_paper(page: Image.Image) -> float:
    """Return the share of pixels of a grey page that are clearly darker than their surroundings, in percent."""
    paper = page.filter(ImageFilter.MaxFilter(9)).filter(ImageFilter.GaussianBlur(max(page.size) / 20))
    darker = ImageChops.subtract(paper, page).histogram()
    return 100 * sum(darker[DARKER:]) / sum(darker)


@hookimpl
def postscan_filters() -> Iterable[Filter]:
    """Return the filter."""
    return [BlankPages()]
