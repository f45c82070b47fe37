"""Which values of a filter's settings are secret."""

from __future__ import annotations

from examined_filters import Secretive

from postscan.core.filters import parameters
from postscan.core.registry import redaction


def test_secrets_are_what_is_declared_and_what_sounds_like_it():
    """However deep; not a path, which only says where the secret is, and nothing so short that any text has it."""
    table = {
        "phrase": "forty years",
        "folder": "/srv/out",
        "servers": {"a": {"user": "ann@acme", "password": "swordfish", "key_file": "/etc/key.pem", "token": "x"}},
    }

    assert redaction.secrets(Secretive, table) == {"forty years", "swordfish"}
    assert redaction.secrets(None, {"list": [{"api_key": "0123456789"}]}) == {"0123456789"}


def test_secrets_are_found_by_what_a_plugin_has_declared_as_data():
    """The server has no class of the plugin, and finds the same."""
    table = {"phrase": "forty years", "folder": "/srv/out", "token": "0123456789"}

    assert redaction.of_parameters(parameters.settings(Secretive), table) == redaction.secrets(Secretive, table)
    assert redaction.of_parameters((), table) == {"0123456789"}
