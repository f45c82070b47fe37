"""Where the console listens."""

from __future__ import annotations

import pytest

from postscan.console.http import server
from postscan.core.errors import SettingsError
from postscan.core.settings import Settings


def test_it_serves_no_passwords_in_clear_when_it_runs_alone() -> None:
    """By these settings `postscan serve` starts no console, and `postscan console` refuses to."""
    settings = Settings.model_validate({"console": {"host": "0.0.0.0"}})

    assert not settings.console.is_on
    with pytest.raises(SettingsError, match=r"is not a loopback address: set tls\.certificate"):
        server.listen(settings)


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_free_port_is_in_the_url(host: str, shown: str) -> None:
    """Unless the settings have a URL for browsers."""
    settings = Settings.model_validate({"console": {"host": host, "port": 0}})
    public = Settings.model_validate({"console": {"port": 0, "public_url": "https://scans.example"}})
    with server.listen(settings) as listener:
        port = listener.getsockname()[1]

        assert server.url(settings, listener) == f"http://{shown}:{port}"
        assert server.url(public, listener) == "https://scans.example"
