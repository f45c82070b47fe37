"""Record `postscan demo` as a picture of a terminal: docs/pictures/demo.svg.

    .venv/bin/python tools/demo_recording.py

It has the commands of the third job, which is cancelled, and what they printed. It loads no font from another host.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs" / "pictures" / "demo.svg"
WIDTH: Final = 110

_FONTS: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_SENT: Final = re.compile(r"(^.* SendImage 1:.*\n)(?:.* SendImage .*\n)*(?=.* SendImage )", re.MULTILINE)


def main() -> None:
    """Run the demo, and write the picture."""
    command = [sys.executable, "-P", "-m", "postscan.cli", "demo"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603  (ours)
    PICTURE.write_text(picture(excerpt(output)))


def excerpt(output: str) -> str:
    """Return the commands of the cancelled job and what they printed, with "..." for what is left out."""
    third = output[output.index("\n3. ") + 1 :]
    job, _, rest = third.partition("\nDocuments\n")
    shares = [line for line in rest.splitlines() if line.startswith(("What was delivered", "share/", "As expected"))]
    sent = _SENT.sub(r"\1...\n", job)
    return "\n".join(["$ postscan demo", "...", sent.rstrip(), "...", *shares])


def picture(text: str) -> str:
    """Return a picture of a terminal with this text, as SVG."""
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115,PTH123
    for line in text.splitlines():
        console.print(Text(line, style="bold green" if line.startswith("$ ") else ""), overflow="crop", no_wrap=True)
    svg = console.export_svg(title="postscan demo", theme=MONOKAI, unique_id="demo")
    return _FONTS.sub("", svg)


if __name__ == "__main__":
    main()
