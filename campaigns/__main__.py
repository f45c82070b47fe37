"""Run one campaign: `python -m campaigns NAME [arguments]`. The exit code is 1 if a promise was broken."""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Final

ALL: Final = {
    "cancels": "campaigns.cancels",
    "crash": "campaigns.crash_points",
    "faults": "campaigns.disk_faults",
    "outages": "campaigns.outages",
    "recovery": "campaigns.recovery",
    "model": "campaigns.model",
    "directory": "campaigns.directory",
    "controls": "campaigns.controls",
    "flood": "campaigns.flood.campaign",
    "cuts": "campaigns.cuts.campaign",
    "sources": "campaigns.hostile_sources.campaign",
    "reset": "campaigns.log_reset",
    "presses": "campaigns.panels.presses",
    "panel_cancels": "campaigns.panels.cancels",
}


def main() -> int:
    """Run the campaign that is named."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stopped campaign ends its servers
    name, *arguments = sys.argv[1:] or [""]
    if name not in ALL:
        print(f"there is no campaign {name!r}; there are: {', '.join(ALL)}")
        return 2
    code: int = importlib.import_module(ALL[name]).run(*arguments)
    return code


sys.exit(main())
