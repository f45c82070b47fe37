"""The servers in the settings of the file share filter."""

from __future__ import annotations

import pytest

from postscan.plugins.filters.fileshare import Settings


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("scan", "expected a table with user and password"),
        ({"password": "p"}, "user: missing"),
        ({"user": "scan"}, "expected either password or password_file"),
        ({"user": "scan", "password": "p", "password_file": "/p"}, "expected either password or password_file"),
        ({"user": "scan", "password": 7}, "password: expected a text"),
        ({"user": "scan", "password_file": "p"}, "expected an absolute path"),
        ({"user": "scan", "password_file": "/nowhere/p"}, "cannot be read: No such file"),
        ({"user": "scan", "password_file": "/dev/null"}, "contains no password"),
        ({"user": "", "password": "p"}, "user: '' is not a text"),
        ({"user": "scan", "password": "p", "port": 0}, "port: 0 is out of range; expected a whole number from 1 to"),
        ({"user": "scan", "password": "p", "port": True}, "port: True is out of range"),
        ({"user": "scan", "password": "p", "seconds": 0.5}, "seconds: 0.5 is out of range"),
        ({"user": "scan", "password": "p", "encrypt": "yes"}, "encrypt: 'yes' is neither true nor false"),
        ({"user": "scan", "password": "p", "host": 7}, "host: 7 is not a text"),
        ({"user": "scan", "password": "p", "sign": False}, "sign: there is no such setting; known are encrypt"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused_at_load(line, sentence):
    """The sentence names the key and what was expected."""
    with pytest.raises(ValueError) as refused:
        Settings(servers={"files02": line})

    assert str(refused.value).startswith('filters.fileshare.servers."files02"')
    assert sentence in str(refused.value)


@pytest.mark.parametrize("name", ["", r"\\files02", "files02/one", "scan@files02"])
def test_a_name_that_no_server_can_have_is_refused(name):
    """Nothing of a UNC path would ever match it."""
    with pytest.raises(ValueError, match="is not the name of a server"):
        Settings(servers={name: {"user": "scan", "password": "p"}})


def test_a_server_that_is_there_twice_is_refused():
    """Case does not count."""
    line = {"user": "scan", "password": "p"}
    with pytest.raises(ValueError, match="FILES appears twice"):
        Settings(servers={"files": line, "FILES": line})


def test_nobody_sees_a_password():
    """Neither who prints the settings, nor who prints a server."""
    settings = Settings(servers={"files02": {"user": "scan", "password": "right-horse"}})
    where = settings.remote(r"\\files02\one")

    assert where.server.password == "right-horse"
    assert "right-horse" not in f"{settings!r} {settings.known_servers!r} {where!r}"
