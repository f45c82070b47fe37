"""What the contract test of a source drives: an origin, which its author writes, and the pages that it brings."""

from __future__ import annotations

import random
import struct
import zlib
from abc import ABC, abstractmethod
from typing import Final

_SIDE: Final = 40  # pixels: a page of about 1.7 KB, since noise cannot be compressed


class Origin(ABC):
    """Brings pages to the source under test: a client, a device, a folder.

    The calls come one after another, but for `acknowledged`, which comes during others as well. The source may die
    during a call: a client whose connection fails returns. A call must end by itself within some seconds.
    """

    @abstractmethod
    def bring(self, page: bytes) -> None:
        """Bring a page as a new origin; return when the source has answered, or when it is where the source looks."""

    @abstractmethod
    def cut(self, page: bytes, size: int) -> None:
        """Bring a new origin of which only *size* bytes of the page come, as when a device is switched off."""

    @abstractmethod
    def again(self) -> None:
        """Bring the last origin again, whole and otherwise the same, as a device does that was not acknowledged.

        Where a device does nothing for it, since the source looks again by itself: nothing. It is called repeatedly.
        """

    @abstractmethod
    def acknowledged(self) -> bool:
        """Whether the last origin counts as taken: it was told so, or what it brought is gone.

        What was refused is not taken: not what was told so, and not a file that was put aside.
        """

    def cancel(self, page: bytes) -> None:
        """Bring a page as a new origin and cancel it before its end. Override it if the protocol has a cancel."""
        raise NotImplementedError


def page(number: int) -> bytes:
    """Return a small PNG of noise, another one for each number."""
    noise = random.Random(number)  # noqa: S311  (no secret: it has to be the same in each run)
    rows = b"".join(b"\0" + noise.randbytes(_SIDE) for _ in range(_SIDE))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack("!2I5B", _SIDE, _SIDE, 8, 0, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows)),
            (b"IEND", b""),
        )
    )


def noise(number: int) -> bytes:
    """Return bytes that are no image, others for each number: nothing in them says whether they are whole."""
    return b"~" + random.Random(f"noise {number}").randbytes(len(page(0)) - 1)  # noqa: S311  (as above)
