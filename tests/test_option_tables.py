"""tools/docs: the tables of options in docs/ come from the options."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edgecnn.cli.app import COMMANDS
from edgecnn.cli.main import main

REPO = Path(__file__).resolve().parents[1]
PAGE = "# A page\n\n<!-- options: evaluate -->\nwhat stood here\n<!-- /options -->\n\nThe `<!-- options: X -->`.\n"
assert main  # importing it registers the commands


def docs(*args: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(REPO / "tools" / "docs"), *map(str, args)],
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def test_a_page_gets_each_option_once_and_is_then_up_to_date(tmp_path):
    page = tmp_path / "evaluate.md"
    page.write_text(PAGE)
    status, said = docs("--check", tmp_path)
    assert status == 1
    assert str(page) in said
    assert page.read_text() == PAGE
    assert docs(tmp_path) == (0, "")
    text = page.read_text()
    assert "what stood here" not in text
    assert text.endswith(PAGE.rpartition("<!-- /options -->")[2])
    for about in COMMANDS["evaluate"].shown:
        assert text.count(f"`{about.typed}`") == 1
        assert f"| {about.help} |" in text
    assert "a whole number from 1 to 64" in text
    assert docs("--check", tmp_path) == (0, "")


def test_a_block_that_is_open_or_names_no_command_is_an_error(tmp_path):
    for text in ("<!-- options: evaluate -->\n", PAGE.replace("evaluate", "fly")):
        (tmp_path / "x.md").write_text(text)
        status, said = docs(tmp_path)
        assert status == 1
        assert "x.md" in said
        assert (tmp_path / "x.md").read_text() == text


def test_the_docs_of_this_commit_are_up_to_date():
    assert docs("--check") == (0, "")
