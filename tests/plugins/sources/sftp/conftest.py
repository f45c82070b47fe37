"""One inlet for each file of tests; a test may have its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sftp_inlet
from sftp_inlet import SftpInlet


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpInlet]:
    """An inlet that the tests of a file share."""
    with sftp_inlet.running(tmp_path_factory.mktemp("sftp"), idle_seconds=60) as inlet:
        yield inlet


@pytest.fixture
def inlet(shared: SftpInlet) -> SftpInlet:
    """The inlet, with no job and no line of the log."""
    shared.server.jobs.clear()
    shared.server.log.clear()
    return shared
