"""The scene of every test of bad input."""

from __future__ import annotations

import uuid

import pytest
from acceptance.bad_input.scene import ASKED, PNG, Scene
from acceptance.scanning import Scanner, good
from acceptance.server import Server


@pytest.fixture
def scene(server: Server) -> Scene:
    """A new job with image 1."""
    scanner = Scanner(server)
    token = scanner.create(*ASKED)
    good(scanner.device.send_image(token, 1, PNG))
    return Scene(server, scanner.device, token, f"urn:uuid:{uuid.uuid4()}")
