"""What the scan process of a destination asks the device for (scan-process.md section 4)."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, StrictInt, model_serializer

from postscan.core.model.json_lines import Message, storable

LONGEST: Final = 255
"""Most characters of each text of a ticket."""

FORMATS: Final = 16
"""Most formats of a ticket."""

_Text = Annotated[str, Field(strict=True, max_length=LONGEST), BeforeValidator(storable)]
_Count = Annotated[StrictInt, Field(ge=0, le=(1 << 31) - 1)]


class ScanTicket(Message):
    """What the scan process of a destination asks the device for; an empty field leaves it to the device.

    The texts are the keywords of WS-Scan, and may be others than the known ones: `formats` are in order of preference
    (`jfif`, `tiff-single-g4`, `pdf-a` ...), `input_source` is `Platen`, `ADF`, `ADFDuplex` or `Film`, `color` is
    `BlackAndWhite1`, `Grayscale8`, `RGB24` or another ColorProcessing, `content_type` is `Auto`, `Text`, `Photo`,
    `Halftone` or `Mixed`. `images` is how many are transferred, 0 for all that there are. Resolutions are in dots per
    inch; the region is in 1/1000 inch, and 0 of its width or height is the whole of the bed. `quality` is 1 to 100. The
    last three are texts for the description of the scan job at the device.
    """

    formats: Annotated[tuple[_Text, ...], Field(max_length=FORMATS)] = ()
    input_source: _Text = ""
    images: _Count = 0
    color: _Text = ""
    x_resolution: _Count = 0
    y_resolution: _Count = 0
    width: _Count = 0
    height: _Count = 0
    x_offset: _Count = 0
    y_offset: _Count = 0
    content_type: _Text = ""
    quality: Annotated[StrictInt, Field(ge=0, le=100)] = 0
    job_name: _Text = ""
    user_name: _Text = ""
    information: _Text = ""

    @model_serializer(mode="wrap")
    def _without_empty(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value}
