"""Small whole files that are made of boxes or parts: JPEG 2000 and XPS; see `sample_files`."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Final

from sample_files import Make, Sample, ghostscript, noise, padded, saved

# --- JPEG 2000 -------------------------------------------------------------------------------------------------------


def box(kind: bytes, content: bytes, *, is_long: bool = False, is_open: bool = False) -> bytes:
    """Return a box, with a length of eight bytes or without a length if need be."""
    if is_long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content
    return struct.pack(">I4s", 0 if is_open else 8 + len(content), kind) + content


def parts() -> tuple[bytes, bytes]:
    """Return the boxes before the codestream that Pillow writes, in four tiles, and the codestream."""
    content = saved(noise("L", (20, 20)), "JPEG2000", tile_size=(10, 10), num_resolutions=2)
    at = content.index(b"jp2c") - 4
    return content[:at], content[at + 8 :]


def boxed(*, is_long: bool = False, is_open: bool = False, behind: bytes = b"") -> bytes:
    """Return a JP2 with its codestream in another form of box."""
    head, codestream = parts()
    return head + box(b"jp2c", codestream, is_long=is_long, is_open=is_open) + behind


def unsized(*, is_open: bool = True) -> bytes:
    """Return a JP2 whose last tile-part goes on to the end mark, with a packet mark that looks like one."""
    head, codestream = parts()
    last = codestream.rindex(b"\xff\x90\0\x0a")
    data = codestream.index(b"\xff\x93", last) + 2
    changed = bytearray(codestream)
    changed[last + 6 : last + 10] = bytes(4)
    changed[data:data] = b"\xff\x91\0\x04\xff\xd9"
    return head + box(b"jp2c", bytes(changed), is_open=is_open)


def jp2_with_boxes() -> Sample:
    """Return a JP2 with two boxes behind the codestream; without them it is whole, since nothing refers to them."""
    whole, xml = boxed(), box(b"xml ", b"<page/>")
    lengths = {len(whole), len(whole) + len(xml)}
    # A box that is cut within the zeros at its begin looks like padding.
    lengths |= {length + zeros for length in lengths for zeros in (1, 2, 3)}
    return padded(Sample("jpeg2k", whole + xml + box(b"uuid", b"0123456789abcdef"), lengths), bytes(4))


JP2: Final[dict[str, Make]] = {
    "JP2": lambda: Sample("jpeg2k", saved(noise(), "JPEG2000")),
    "JP2 in tiles": lambda: Sample("jpeg2k", boxed()),
    "JP2 with a long box": lambda: Sample("jpeg2k", boxed(is_long=True)),
    "JP2 with an open box": lambda: Sample("jpeg2k", boxed(is_open=True)),
    "JP2 with an open tile": lambda: Sample("jpeg2k", unsized()),
    "JP2 with an open tile in a box": lambda: Sample("jpeg2k", unsized(is_open=False)),
    "JP2 with boxes behind": jp2_with_boxes,
}


# --- XPS -------------------------------------------------------------------------------------------------------------

_SEQUENCE: Final = b'<FixedDocumentSequence xmlns="http://schemas.microsoft.com/xps/2005/06"/>'


class _Stream(io.BytesIO):
    """A file that cannot seek: what is written into it has its sizes behind the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation


def archive(file: io.BytesIO | None = None, *, is_long: bool = False, comment: bytes = b"") -> bytes:
    """Return a small package with the parts that make it an XPS document."""
    file = file or io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
        package.comment = comment
        for name in ("[Content_Types].xml", "_rels/.rels", "FixedDocSeq.fdseq", "Documents/1/Pages/1.fpage"):
            with package.open(name, "w", force_zip64=is_long) as part:
                part.write(_SEQUENCE)
    return file.getvalue()


def long_numbers() -> bytes:
    """Return a package in the form of ZIP64: all sizes and offsets in fields of eight bytes."""
    content = archive()
    at = content.rindex(b"PK\x05\x06")
    number, begin = struct.unpack_from("<H4xI", content, at + 10)
    position, directory = begin, b""
    for _ in range(number):
        entry = bytearray(content[position : position + 46])
        name_bytes, extra_bytes = struct.unpack_from("<HH", entry, 28)
        name = content[position + 46 : position + 46 + name_bytes]
        compressed, plain = struct.unpack_from("<II", entry, 20)
        (offset,) = struct.unpack_from("<I", entry, 42)
        extra = struct.pack("<HHxHHQQQ", 0x9999, 1, 1, 24, plain, compressed, offset)
        struct.pack_into("<IIHH", entry, 20, 0xFFFF_FFFF, 0xFFFF_FFFF, name_bytes, len(extra))
        struct.pack_into("<I", entry, 42, 0xFFFF_FFFF)
        directory += bytes(entry) + name + extra
        position += 46 + name_bytes + extra_bytes
    record = begin + len(directory)
    end = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, number, number, len(directory), begin)
    end += struct.pack("<4sIQI", b"PK\x06\x07", 0, record, 1)
    return content[:begin] + directory + end + b"PK\x05\x06" + b"\0" * 4 + b"\xff" * 12 + b"\0\0"


XPS: Final[dict[str, Make]] = {
    "XPS": lambda: Sample("xps", archive()),
    "XPS in a stream": lambda: Sample("xps", archive(_Stream())),
    "XPS with comment": lambda: Sample("xps", archive(comment=b"a comment")),
    "XPS, ZIP64": lambda: Sample("xps", long_numbers()),
    "XPS of Ghostscript": lambda: Sample("xps", ghostscript("xpswrite", pages=2)),
    "XPS with padding": lambda: padded(Sample("xps", archive()), bytes(3)),
}

SAMPLES: Final = JP2 | XPS
