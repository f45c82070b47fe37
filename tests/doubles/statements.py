"""The statements of a module, for tests that read code: a tree is mostly expressions, which take long to visit."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_BLOCKS = ("body", "handlers", "cases", "orelse", "finalbody")


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Yield every statement of a module, nested ones as well."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        for name in _BLOCKS:
            waiting += getattr(node, name, ())
