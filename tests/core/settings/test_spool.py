"""Where images lie, as the settings say it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from postscan.core.settings import Settings, explanation
from postscan.core.settings.spool import SpoolSettings

KEYS = {"access_key": "name-of-a-key", "secret_key": "the-key-itself"}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"store": "relative/folder"}, "expected an absolute path"),
        ({"store": "https://s3.example.com/scans"}, "expected an absolute path"),
        ({"store": "s3://"}, "expected an absolute path"),
        ({"store": "s3://key:secret@scans/prefix"}, "expected an absolute path"),
        ({"store": "s3://scans/../others"}, "without empty parts and dots"),
        ({"store": "s3://scans/a//b"}, "without empty parts and dots"),
        ({"store": "s3://scans", "access_key": "name"}, "expected both or none"),
        ({"store": "/srv/spool", **KEYS}, "of an object store"),
        ({"store": "s3://scans", "endpoint": "ftp://s3.example.com"}, "expected https://"),
        ({"store": "s3://scans", "endpoint": "https://key:secret@s3.example.com"}, "without credentials"),
        ({"store": "s3://scans", "endpoint": "http://s3.example.com"}, "has no TLS"),
    ],
)
def test_what_is_no_place_for_images_is_refused(wrong: dict[str, str], reason: str) -> None:
    """T-B2, T-B3: with what was expected."""
    with pytest.raises(ValidationError, match=reason):
        SpoolSettings.model_validate(wrong)


def test_places_for_images(tmp_path: Path) -> None:
    """The disk on which images arrive is that of the folder, or of runs."""
    storage = {"data_dir": tmp_path}
    places = {"": tmp_path / "spool", "/srv/spool/": Path("/srv/spool"), "s3://scans/a/": tmp_path / "run"}

    for store, arrival in places.items():
        found = Settings.model_validate({"storage": storage, "spool": {"store": store}})
        assert found.arrival_dir == arrival
        assert found.spool.store == (store if store.startswith("/") else store.rstrip("/"))
    for endpoint in ("http://127.0.0.1:9000", "https://s3.example.com/"):
        assert SpoolSettings(store="s3://scans", endpoint=endpoint).endpoint == endpoint.rstrip("/")
    assert SpoolSettings(store="s3://scans", endpoint="http://store:9000", allow_http=True).is_object_store


def test_neither_key_is_shown() -> None:
    """T-B2: in no list of settings, and no representation."""
    found = Settings.model_validate({"spool": {"store": "s3://scans", **KEYS}})

    assert not any(key in repr(found) for key in KEYS.values())
    assert not any(key in repr(list(explanation.explain(found))) for key in KEYS.values())
