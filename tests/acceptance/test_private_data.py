"""What the server stores is for its own user alone."""

from __future__ import annotations

import re
from pathlib import Path

from acceptance.server import running


def test_a_server_closes_its_data_to_other_users(tmp_path: Path) -> None:
    """T-F4: an open data folder is closed at the start, with one line in the log, and nothing new is open."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)

    with running(tmp_path) as server:
        mode = (tmp_path / "data").stat().st_mode
        umask = re.search(r"^Umask:\s+(\d+)$", Path(f"/proc/{server.pid}/status").read_text(), re.MULTILINE)
        log = server.log()

    assert mode & 0o7777 == 0o700
    assert umask
    assert umask[1] == "0077"
    assert log.count("data folder closed to other users") == 1
