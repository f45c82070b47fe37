"""`postscan naming preview`: what documents would be called."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result


def test_the_names_of_a_job_are_shown_one_a_line(postscan: Callable[..., Result]) -> None:
    """Those that the server would give without any settings."""
    names = postscan("naming", "preview").stdout.split("\n\n")[0].splitlines()

    assert len(names) == 3
    for number, name in enumerate(names, start=1):
        assert re.fullmatch(rf"Invoice_ann@fabrikam\.example_\d{{8}}-\d{{6}}_00{number}\.png", name)


def test_a_template_can_be_tried_with_values_of_ones_own(postscan: Callable[..., Result]) -> None:
    """Nothing else has to be set for it."""
    values = ["--root", "Letter", "--user", "boris@x.example", "--process", "Mail", "--pages", "2", "--format", "xps"]
    result = postscan("naming", "preview", "--template", "{process} {root} {user} {page:02d}", *values)

    assert result.stdout.splitlines()[:2] == [
        "Mail Letter boris@x.example 01.xps",
        "Mail Letter boris@x.example 02.xps",
    ]


def test_the_template_of_the_settings_is_taken_unless_told(
    postscan: Callable[..., Result], settings_file: Path
) -> None:
    """So that one sees what is in force."""
    settings_file.write_text("[naming]\ntemplate = 'p{page:d}'\n")

    assert postscan("naming", "preview", "--pages", 1).stdout.startswith("p1.png\n")


def test_it_shows_the_users_folder_and_what_becomes_of_a_name_that_is_taken(postscan: Callable[..., Result]) -> None:
    """The two other names that depend on somebody (DSP-082, PSP-015)."""
    lines = postscan("naming", "preview", "--template", "{root}_{page}").stdout.splitlines()

    assert lines[-2] == "The user's folder:  ann@fabrikam.example"
    assert lines[-1] == "If a name is taken: Invoice_001-2.png"


def test_hostile_values_are_shown_as_the_harmless_names_that_they_become(postscan: Callable[..., Result]) -> None:
    """Neither a path nor a terminal sequence comes out of it (T-F1)."""
    result = postscan(
        "naming", "preview", "--root", "../\x1b[31m/etc", "--user", "a/../b", "--template", "{root}{page}"
    )

    assert result.stdout.startswith("_[31m_etc001.png\n".replace("_[", "__["))
    assert "\x1b" not in result.stdout
    assert "/" not in result.stdout


def test_what_is_wrong_with_a_template_is_said(postscan: Callable[..., Result]) -> None:
    """With what could stand there instead."""
    result = postscan("naming", "preview", "--template", "{user.__class__}_{page}")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert "--template: {user.__class__} is no field; expected one of {root}, {user}, {date}" in " ".join(
        result.stderr.split()
    )
