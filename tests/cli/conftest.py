"""Run a command in this process, or only read what was typed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgecnn.cli.app import COMMANDS
from edgecnn.cli.command import Command
from edgecnn.cli.main import app

Ran = tuple[int, str, str]


class Nothing:
    """The result of a command that did nothing."""

    def to_json(self) -> dict[str, Any]:
        return {}

    def to_text(self) -> str:
        return ""


@pytest.fixture
def edgecnn(capfd) -> Callable[..., Ran]:
    """Run a command; returns (status, stdout, stderr)."""

    def run(*args: object) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(arg) for arg in args], prog_name="edgecnn")
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def read(monkeypatch, edgecnn) -> Callable[..., dict[str, Any]]:
    """What a command's function gets from what was typed; the command itself does nothing."""

    call = Command.call

    def run(name: str, *args: object) -> dict[str, Any]:
        got: dict[str, Any] = {}

        def function(**given: Any) -> tuple[Nothing, int]:
            got.update(given)
            return Nothing(), 0

        recorded = replace(COMMANDS[name], function=function)
        monkeypatch.setattr(Command, "call", lambda _, typed: call(recorded, typed))
        status, _, err = edgecnn(name, *args)
        assert status == 0, err
        return got

    return run
