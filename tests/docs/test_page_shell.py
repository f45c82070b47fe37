"""The shell that follows pages: it notices a command that fails, and an output that is not the one of the page."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import page_shell
import pytest
from page_shell import PageShell, ShownCommand

FOLLOWED = """
# A page

Save this as `a.toml`:

```toml
port = 2525
```

Add this to `a.toml`:

```toml
more = 1
```

Then:

```console
$ export WORD="kept by \\
    the shell"
$ mkdir below && cd below
$ echo "$WORD $(pwd)"
kept by the shell /tmp/trial/below
$ cat ../a.toml
port = 2525
more ...
$ (sleep 0.2; echo ready at 2525) &
ready at 2525
$ cat
$ kill %1; wait
```
"""


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[ShownCommand]]:
    """A function that follows a page with this text in a folder of the test's own."""

    def followed(text: str) -> list[ShownCommand]:
        monkeypatch.setattr(page_shell, "page", lambda name: text)
        replaced = {"/tmp/trial": str(tmp_path), "2525": "7"}
        with contextlib.closing(
            PageShell(tmp_path, {"PATH": "/usr/bin:/bin"}, replaced, {"a.toml": "less = 1\n"})
        ) as shell:
            return list(shell.follow("a page"))

    return followed


def test_a_page_is_followed_in_one_shell(follow: Callable[[str], list[ShownCommand]], tmp_path: Path) -> None:
    """Files, variables, folders and jobs stay from one command to the next; no command reads the others."""
    commands = follow(FOLLOWED)

    assert [(one.command, one.code, one.missing) for one in commands if one.code or one.missing] == []
    assert len(commands) == 7
    assert (tmp_path / "a.toml").read_text() == "port = 7\nless = 1\nmore = 1\n"


@pytest.mark.parametrize(
    ("command", "shown", "code", "missing"),
    [
        ("false", "", 1, ()),
        ("true; (exit 3)", "", 3, ()),
        ("echo one", "two", 0, ("two",)),
        ("echo one", "one more ...", 0, ("one more ...",)),
        ("echo port 2525", "port 993", 0, ()),
        ("echo  wide   columns", "wide columns", 0, ()),
    ],
)
def test_what_is_not_as_the_page_says_is_noticed(
    follow: Callable[[str], list[ShownCommand]], command: str, shown: str, code: int, missing: tuple[str, ...]
) -> None:
    """An exit code, or a line that was not printed; numbers and widths of columns do not count."""
    (found,) = follow(f"Then:\n\n```console\n$ {command}\n{shown + chr(10) if shown else ''}```\n")

    assert (found.code, found.missing) == (code, missing)


def test_a_sample_without_the_name_of_its_file_is_noticed(follow: Callable[[str], list[ShownCommand]]) -> None:
    """Each sample of a page is one that is used."""
    with pytest.raises(AssertionError, match="which file"):
        follow("An example:\n\n```toml\nport = 1\n```\n")


def test_a_block_that_would_be_left_out_is_noticed(follow: Callable[[str], list[ShownCommand]]) -> None:
    """It follows a line of text and a blank one, or it is not found."""
    with pytest.raises(AssertionError, match="does not follow"):
        follow("Then:\n```console\n$ true\n```\n")
