"""Settings of mails about jobs: what is refused, and that no error shows a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from postscan.core.errors import SettingsError
from postscan.core.settings import load
from postscan.core.settings.job_mail import is_address

SERVER = 'host = "mail.example"\nsender = "postscan@fabrikam.example"\n'


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('host = "mail.example"', "sender is missing"),
        (SERVER + 'user = "post"\npassword = "hunter2"', "user needs tls"),
        (SERVER + 'tls = "starttls"\nuser = "post"', "password or password_file is missing"),
        (SERVER + 'password = ["hunter2"]', "job_mail.password"),
        (SERVER + 'when = ["always"]', "job_mail.when"),
        ('host = "mail.example:25"', "without a port"),
        ('sender = "a@b, c@d"', "a plain address"),
    ],
)
def test_a_table_that_cannot_work_is_refused_without_its_password(tmp_path: Path, lines: str, reason: str) -> None:
    """When the file is read, not when the first mail fails."""
    file = tmp_path / "postscan.toml"
    file.write_text(f"[job_mail]\n{lines}\n")

    with pytest.raises(SettingsError, match=reason) as refused:
        load(file)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("mail", ["", "anna", "a@b\r\nBcc: c@d", "Anna <a@b.example>"])
def test_who_wants_mails_has_a_plain_address(tmp_path: Path, mail: str) -> None:
    """Else the choice would have no effect, and nobody would know."""
    file = tmp_path / "postscan.toml"
    text = mail.replace("\r\n", "\\r\\n")
    file.write_text(f'[users."S-1-5-21-1-2-3-1001"]\nname = "anna"\nmail = "{text}"\njob_mail = true\n')

    with pytest.raises(SettingsError, match="a plain address"):
        load(file)


def test_the_files_of_the_table_lie_beside_the_settings(tmp_path: Path) -> None:
    """As those of [tls]."""
    file = tmp_path / "postscan.toml"
    file.write_text(
        f'[job_mail]\n{SERVER}tls = "implicit"\nuser = "post"\npassword_file = "secret"\nca_file = "ca.pem"\n'
    )
    table = load(file).job_mail

    assert (table.password_file, table.ca_file) == (tmp_path / "secret", tmp_path / "ca.pem")
    assert table.address == ("mail.example", 465)


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("anna@fabrikam.example", True),
        ("a.b+c_d@x-y.example", True),
        ("a@localhost", True),
        ("", False),
        ("a@", False),
        ("@b", False),
        (".a@b.example", False),
        ("a..b@c.example", False),
        ("a.@b.example", False),
        ("-a@b.example", False),
        ("|a@b.example", False),
        ('"a b"@c.example', False),
        ("a@b@c", False),
        ("a@-b.example", False),
        ("a@b..c", False),
        ("a b@c", False),
        ("a@b\n", False),
        ("ä@b.example", False),
        (f"{'a' * 300}@b.example", False),
    ],
)
def test_an_address_is_read_in_one_way_only(text: str, accepted: bool) -> None:
    """T-F7, T-F8: what a header, a relay or a program could read in another way is refused."""
    assert is_address(text) is accepted
