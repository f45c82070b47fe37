"""Make the pictures of the console in the documents: run a server with jobs, and look at it in a browser.

    .venv/bin/python tools/console_pictures.py

Needs what the tests of `tests/browser` need. Each picture has 64 colours, so that it is small.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image

ROOT: Final = Path(__file__).parent.parent
PICTURES: Final = ROOT / "docs" / "pictures"
COLOURS: Final = 64

OUTSIDE: Final = ROOT / "tests" / "outside"  # filters whose jobs run until they are cancelled

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "doubles"), str(OUTSIDE)]
os.environ["PYTHONPATH"] = str(OUTSIDE)  # for the server


def main() -> None:
    """Write the pictures."""
    from browser.site import at_console, chromium, open_site

    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, open_site(Path(folder)) as site, chromium() as one:
        site.make_jobs()
        with at_console(site, one, viewport={"width": 1000, "height": 700}, color_scheme="light") as admin:
            pages = {
                "dashboard": "/",
                "job-running": f"/jobs/{site.jobs['running']}",
                "job-canceled": f"/jobs/{site.jobs['canceled']}",
                "job-failed": f"/jobs/{site.jobs['failed']}",
                "process": "/processes/new",
            }
            for name, path in pages.items():
                page = admin.open(path)
                page.wait_for_load_state("networkidle" if path.startswith("/processes") else "load")
                page.wait_for_timeout(1000)  # the first event of its stream
                write(name, page.screenshot())
                page.close()


def write(name: str, png: bytes) -> None:
    """Write a picture with few colours."""
    with Image.open(io.BytesIO(png)) as whole:
        whole.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
