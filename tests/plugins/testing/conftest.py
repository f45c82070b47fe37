"""A destination, and filters that do what a function says, examined."""

from __future__ import annotations

import pytest
from examined_filters import Does

from postscan.plugins.testing import contract
from postscan.plugins.testing.contract import ContractReport


@pytest.fixture
def examined(tmp_path, out):
    """Examine a filter that does what a function says, on two files; `job.settings["folder"]` is the destination."""
    pages = [tmp_path / "one.png", tmp_path / "two.png"]
    for page in pages:
        page.write_bytes(page.name.encode() * 1000)

    def examine(what, filter=Does, settings=None, **how) -> ContractReport:
        return contract.examine(filter(what), pages, settings={"folder": str(out), **(settings or {})}, **how)

    return examine
