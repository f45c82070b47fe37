"""The server's name: made once, the same for everybody and for ever."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postscan.core.errors import SettingsError
from postscan.soap.metadata.endpoint_id import FILE, endpoint_id

A_NAME = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def test_the_name_is_a_uuid_and_stays(tmp_path: Path) -> None:
    """DPW-015: the same after every restart; nothing else is left in the folder."""
    name = endpoint_id(tmp_path)

    assert re.fullmatch(A_NAME, name)
    assert endpoint_id(tmp_path) == name
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_two_servers_have_two_names(tmp_path: Path) -> None:
    """It is drawn, not derived."""
    for one in ("a", "b"):
        (tmp_path / one).mkdir()

    assert endpoint_id(tmp_path / "a") != endpoint_id(tmp_path / "b")


def test_all_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    """Metadata and discovery start together: the first to finish the file has named the server."""
    with ThreadPoolExecutor(16) as many:
        names = set(many.map(lambda _: endpoint_id(tmp_path), range(64)))

    assert len(names) == 1


@pytest.mark.parametrize("text", ["", "urn:uuid:1234", "<script>", "\xff"])
def test_a_file_that_holds_no_name_is_not_written_over(tmp_path: Path, text: str) -> None:
    """Somebody may have put it there on purpose: the error says what was expected, and where."""
    (tmp_path / FILE).write_text(text, "latin-1")

    with pytest.raises(SettingsError, match=FILE):
        endpoint_id(tmp_path)

    assert (tmp_path / FILE).read_text("latin-1") == text


def test_a_folder_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    """The data folder is made by whoever opens the data, not here."""
    with pytest.raises(SettingsError, match="nowhere"):
        endpoint_id(tmp_path / "nowhere")
