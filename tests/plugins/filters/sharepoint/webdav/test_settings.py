"""The settings of sites on premises: what is refused at load, and that no password is shown."""

from __future__ import annotations

import pytest
import webdav
from webdav_runs import run, settings

from postscan.core.model.states import FilterState
from postscan.plugins.filters.sharepoint import Settings
from postscan.plugins.filters.sharepoint.delivery import Address

ENTRY = {"kind": "webdav", "user": "svc", "password": "t0p-secret"}


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"sites": {"sharepoint.example": ENTRY}}, "not the address of a library"),
        ({"sites": {"https://sp.example": {}}}, "kind is None; expected one of webdav, online"),
        ({"sites": {"https://sp.example": "x"}}, "expected a table"),
        ({"sites": {"https://sp.example": {**ENTRY, "pasword": "x"}}}, "there is no setting 'pasword'"),
        ({"sites": {"https://sp.example": {**ENTRY, "password": 1234}}}, "password has an invalid value"),
        ({"sites": {"https://sp.example": {**ENTRY, "seconds": 0}}}, "a number of seconds above 0"),
        ({"sites": {"https://sp.example": {**ENTRY, "password_file": "/x"}}}, "expected one of them"),
        ({"sites": {"https://sp.example": {"kind": "webdav", "user": "svc"}}}, "needs a password"),
        ({"sites": {"https://sp.example": {**ENTRY, "user": "a:b"}}}, "has a colon"),
        ({"sites": {"http://sp.example": ENTRY}}, "expected https, or allow_plain_http"),
        ({"sites": {"https://sp.example": ENTRY, "HTTPS://SP.example:443/": ENTRY}}, "appears twice"),
        ({"sites": {"https://sp.example": ENTRY}, "my_site": "https://my.example/{user}"}, "covers it"),
        ({"sites": {"https://sp.example": ENTRY}, "my_site": "https://sp.example/x"}, "the same for every user"),
        ({"sites": {"https://sp.example": ENTRY}, "my_site": "https://sp.example/{name}"}, "none of {user}"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_at_load(table, sentence):
    """The sentence names the key, and contains no password."""
    with pytest.raises(ValueError) as refused:
        Settings(**table)

    assert sentence in str(refused.value)
    assert "filters.sharepoint." in str(refused.value)
    assert "t0p-secret" not in str(refused.value)


def test_over_plain_http_only_with_leave():
    """Then the administrator has decided."""
    table = Settings(sites={"http://sp.example": {**ENTRY, "allow_plain_http": True}})

    assert table.site_of(Address.parse("http://SP.example/docs")) == Address.parse("http://sp.example")


def test_the_password_may_be_in_a_file(dav, pages, tmp_path):
    """With a line end behind it; if the file is not there, the sentence names it."""
    file = tmp_path / "password"
    missing = run(dav, pages[:1], table=settings(dav, password="", password_file=str(file)))
    file.write_text(f"{webdav.PASSWORD}\n")
    result = run(dav, pages[:1], table=settings(dav, password="", password_file=str(file)))

    assert result.outcome is FilterState.SUCCEEDED
    assert missing.detail == f"{dav.library}: password_file {file} cannot be read: No such file or directory"


def test_the_password_is_not_shown_with_its_entry():
    """Whoever prints the settings gives nothing away."""
    site = next(iter(Settings(sites={"https://sp.example": ENTRY}).by_prefix.values()))

    assert "t0p-secret" not in repr(site)
