"""The README is true: its commands exist, its files are there, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from edgecnn.cli.main import app

REPO = Path(__file__).resolve().parents[1]
README = (REPO / "README.md").read_text()
CODE = "\n".join(re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
COMMANDS = sorted(set(re.findall(r"^(?:\S*/)?edgecnn ([a-z][^#\n]*)", CODE, re.MULTILINE)))


def test_the_readme_shows_the_whole_path():
    shown = {line.split()[0] for line in COMMANDS}
    assert shown >= {"train", "export", "evaluate", "benchmark", "run", "audit", "doctor"}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_in_the_readme_parses(line):
    name, *args = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    command.make_context(name, args)


def test_every_tool_in_the_readme_exists_and_can_be_run():
    tools = set(re.findall(r"\btools/([a-z_]+)", README))
    assert {"demo", "test", "check"} <= tools
    for tool in tools:
        assert (REPO / "tools" / tool).stat().st_mode & 0o111, tool
