"""The errors of the core: their tree, and the sentences that they make."""

from __future__ import annotations

from postscan.core import errors


def tree(error, prefix=""):
    """Draw the subclasses of *error* that the module defines, as its docstring does."""
    children = [one for one in error.__subclasses__() if one.__module__ == errors.__name__]
    for child in children:
        last = child is children[-1]
        yield f"{prefix}{'└── ' if last else '├── '}{child.__name__}"
        yield from tree(child, prefix + ("    " if last else "│   "))


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    """Whoever reads the module's first lines knows every error and what it is a kind of."""
    lines = [line.strip() for line in errors.__doc__.splitlines()]
    start = lines.index("PostscanError") + 1
    drawn = lines[start : lines.index("", start)]
    classes = list(tree(errors.PostscanError))

    assert [line[: len(name)] for line, name in zip(drawn, classes, strict=True)] == classes


def test_an_invalid_argument_is_named_with_its_value_and_what_was_expected():
    """The sentence says what was wrong, and what would have been right."""
    error = errors.InvalidArgument("DocumentId", "0", "a number from 1 on")

    assert str(error) == "DocumentId: '0' is not valid; expected a number from 1 on"


def test_a_missing_argument_is_said_to_be_missing():
    """Without a value there is nothing to quote."""
    assert str(errors.InvalidArgument("JobToken")) == "JobToken is missing or empty"


def test_a_long_value_is_cut_in_the_sentence_but_kept_in_the_error():
    """A hostile value cannot flood a log line."""
    error = errors.InvalidArgument("Format", "x" * 1000)

    assert len(str(error)) < 100
    assert error.value == "x" * 1000
