"""What an administrator reads of the settings: each value with its meaning, and no secret."""

from __future__ import annotations

from typing import Any

import pytest

from postscan.core.settings import Settings
from postscan.core.settings.explanation import HIDDEN, TOP, ExplainedValue, explain

SECRET = "correct-horse-battery"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ"
SID = "S-1-5-21-1-2-3-1001"


def explained(tables: dict[str, Any]) -> dict[str, dict[str, ExplainedValue]]:
    """Return the values by table and key."""
    return {one.name: {value.key: value for value in one.values} for one in explain(Settings.model_validate(tables))}


def test_every_setting_has_its_value_its_meaning_and_whether_it_is_the_default() -> None:
    """In the tables of the file, with what a reload takes over."""
    found = explained({"limits": {"open_jobs": 7}, "users": {SID: {"name": "ann@fabrikam"}}})

    assert found["limits"]["open_jobs"][1:3] == ("7", False)
    assert found["limits"]["images_per_job"][1:3] == ("1000", True)
    assert found["limits"]["image_bytes"].value == "2_147_483_648"
    assert (found["limits"]["open_jobs"].is_reloaded, found["limits"]["source_jobs"].is_reloaded) == (True, False)
    assert found["retention"]["jobs"].is_reloaded
    assert found[TOP]["log_level"][1:3] == ("info", True)
    assert found[f'users."{SID}"']["name"].value == "ann@fabrikam"
    assert all(one.meaning for table in found.values() for one in table.values())


@pytest.mark.parametrize(
    "tables",
    [
        {"filters": {"email": {"host": SECRET, "pin": 1234, "inner": {"word": SECRET}}}},
        {"destinations": {"a": {"label": "A", "process": "1" * 8 + "-1111-1111-1111-" + "1" * 12}},
         "sources": {"mail": {"plugin": "smtp", "word": SECRET}}},
        {"storage": {"database": f"postgresql://ann:{SECRET}@db/x"}},
        {"storage": {"database": f"postgresql://db/x?password={SECRET}"}},
        {"console": {"oidc": {"client_secret": SECRET}}},
        {"accounts": {"ann": {"hash": HASH, "user": SID}}},
    ],
)  # fmt: skip
def test_no_secret_is_shown(tables: dict[str, Any]) -> None:
    """Neither what a plugin may keep secret, nor passwords in URLs, nor hashes."""
    shown = " ".join(str(one) for table in explained(tables).values() for one in table.values())

    assert SECRET not in shown
    assert "1234" not in shown
    assert HASH not in shown


def test_what_is_not_shown_is_said_to_be_set() -> None:
    """An administrator sees which settings of a plugin there are, and where the database is."""
    found = explained({"filters": {"email": {"inner": {"pin": 1234}}}, "storage": {"database": "postgresql://a:b@c/d"}})

    assert found["filters.email"]["inner.pin"].value == HIDDEN
    assert found["storage"]["database"].value == "postgresql://a:***@c/d"
