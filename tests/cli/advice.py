"""The messages of status 2 that name an option or a command, as the source holds them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import edgecnn
from edgecnn import errors
from edgecnn.cli.main import COMMANDS

__all__ = ["Message", "messages"]

PACKAGE = Path(edgecnn.__file__).parent
ERRORS = {name for name in errors.__all__ if name.endswith("Error")}
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])")
COMMAND = re.compile(rf"edgecnn ({'|'.join(COMMANDS)})\b")


@dataclass(frozen=True)
class Message:
    """A message: the module that raises it, and its text with {} for what is filled in."""

    module: str
    text: str

    @property
    def options(self) -> list[str]:
        return OPTION.findall(self.text)

    @property
    def commands(self) -> list[str]:
        return COMMAND.findall(self.text)


@cache
def messages() -> tuple[Message, ...]:
    """Every message that names an option, or a command of edgecnn."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) in ERRORS and node.args:
                found += [Message(module, text) for text in _texts(node.args[0])]
    return tuple(one for one in dict.fromkeys(found) if one.options or one.commands)


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _texts(node: ast.expr) -> Iterator[str]:
    """What an expression of text may be; both ways of an `if`."""
    if isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from (a + b for a in _texts(node.left) for b in _texts(node.right))
    elif isinstance(node, ast.JoinedStr):
        parts = (p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
        yield "".join(map(str, parts))
    elif isinstance(node, ast.Constant):
        yield str(node.value)
    else:
        yield "{}"
