"""The directory of `tests/outside/directory`: its file, and settings that use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plugin_names import unused
from works import until

from postscan.core.engine import Engine
from postscan.core.registry.directory.hooks_thread import HooksState
from postscan.core.settings import Settings

OUTSIDE = Path(__file__).parents[1] / "outside" / "directory"
ANN, BOB, CLARK = (f"S-1-5-21-7-7-7-100{number}" for number in (1, 2, 3))
SCANNERS = "S-1-5-21-7-7-7-2001"
INVOICES = "3D5F2A90-6C1E-4B7A-9E42-0A8B6C4D2E10"


class Staff:
    """The file of the directory, which a test changes while a server runs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "staff.json"
        self.trace = folder / "asked"
        self.content: dict[str, Any] = {"users": {}, "processes": {}, "fault": ""}
        self.write()

    def write(self) -> None:
        """Put the content into the file, whole."""
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.content))
        part.rename(self.path)

    def add(self, login: str, sid: str, **facts: Any) -> None:
        """Add a user, or change one."""
        self.content["users"][login] = {"sid": sid, **facts}
        self.write()

    def process(self, identifier: str = INVOICES, *, members: tuple[str, ...], **facts: Any) -> None:
        """Add a scan process."""
        self.content["processes"][identifier] = {"display_name": "Invoices", "members": list(members), **facts}
        self.write()

    def fail(self, fault: str) -> None:
        """Let every further question meet this fault; "" for none."""
        self.content["fault"] = fault
        self.write()

    def asked(self, kind: str = "") -> list[str]:
        """Return what the plugin was asked, all or of one kind."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [line for line in lines if line.startswith(kind)]

    def settings(self, settings: Settings, *names: str, **directory: Any) -> Settings:
        """Return settings with the plugins of these names, `staff` by default, and this table `[directory]`."""
        table = {"file": str(self.path), "trace": str(self.trace)}
        values = settings.model_dump() | {"directory": directory}
        values["plugins"] = {"disabled": unused()} | dict.fromkeys(names or ("staff",), table)
        return Settings.model_validate(values)


def ready(core: Engine, state: HooksState = HooksState.READY) -> None:
    """Wait until all plugins of hooks are in this state."""
    until(lambda: all(one.state is state for one in core.directory.conditions().values()))
