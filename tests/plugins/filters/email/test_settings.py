"""`[filters.email]`: what is refused at load, and what a port goes by."""

from __future__ import annotations

import pytest

from postscan.core.errors import PluginError
from postscan.core.filters import loader, parameters
from postscan.plugins.filters.email import Email
from postscan.plugins.filters.email.settings import Settings


@pytest.mark.parametrize(("tls", "port"), [("none", 25), ("starttls", 587), ("implicit", 465)])
def test_the_port_goes_by_the_encryption(tls, port):
    """Unless it is given."""
    assert Settings(host="mail.example", tls=tls).address == ("mail.example", port)
    assert Settings(host="mail.example", tls=tls, port=2525).address == ("mail.example", 2525)


LOGIN = {"tls": "starttls", "user": "postscan", "password": "hush"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"host": 5}, "host: expected a text"),
        ({"host": "mail.example:25"}, "host: 'mail.example:25' is not a host"),
        ({"host": "mail example"}, "host: 'mail example' is not a host"),
        ({"port": "25"}, "port: expected a whole number"),
        ({"port": True}, "port: expected a whole number"),
        ({"port": 70000}, "port: 70000 is out of bounds; expected 0 to 65,535"),
        ({"tls": "ssl"}, "tls: 'ssl' is unknown; expected none, starttls, implicit"),
        ({"sender": "Scans <scans@x.example>"}, "sender: 'Scans <scans@x.example>' is not an address"),
        ({"subject": "{job.token}"}, "subject: {job.token} is not a field; expected {process}, {user} or {date}"),
        ({"text": "{}"}, "text: {} is not a field"),
        ({"most_bytes": 1000}, "most_bytes: 1000 is out of bounds"),
        ({"seconds": 0}, "seconds: 0 is out of bounds"),
        ({"tries": 0}, "tries: 0 is out of bounds; expected 1 to 10"),
        ({"allowed_domains": "x.example"}, "allowed_domains: expected a list of domains"),
        ({"allowed_domains": ["@x.example"]}, "allowed_domains: expected a list of domains"),
        ({"ehlo_name": "a b"}, "ehlo_name: 'a b' is not a name"),
        ({"ca_file": "/nowhere.pem", "tls": "implicit"}, "ca_file: '/nowhere.pem' is not a file"),
        ({"ca_file": __file__}, "ca_file: without TLS there is no certificate"),
        ({**LOGIN, "password_file": __file__}, "password and password_file are both set"),
        ({**LOGIN, "password": ""}, "user and its password belong together"),
        ({**LOGIN, "user": ""}, "user and its password belong together"),
        ({**LOGIN, "tls": "none"}, "user: the password would be sent in the clear"),
        ({**LOGIN, "password": "hüsh"}, "user and password: expected ASCII"),
        ({"passwort": "x"}, "[filters.email] has no setting 'passwort'"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_load(settings, sentence):
    """With a sentence that names the key, and never the password."""
    with pytest.raises(PluginError) as refusal:
        loader.settings_for("email", Email(), settings)

    assert sentence in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_the_password_is_a_secret_for_whoever_shows_settings():
    """It is declared as one, and the settings do not print it."""
    (password,) = (one for one in parameters.settings(Settings) if one.secret)

    assert password.name == "password"
    assert "hush" not in repr(Settings(host="mail.example", **LOGIN))
