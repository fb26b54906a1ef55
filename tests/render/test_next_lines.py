"""The commands to try next can be typed as they are printed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from edgecnn.render.next_lines import camera_source, next_lines


@pytest.mark.parametrize("name", ["-x.edgecnn", "--json", "- x", "plain", "a b/-x"])
def test_a_path_is_never_read_as_an_option(name):
    (_, line) = next_lines(("evaluate", Path(name), "--threads", "2"))
    command, evaluate, path, *rest = shlex.split(line)
    assert (command, evaluate, rest) == ("edgecnn", "evaluate", ["--threads", "2"])
    assert not path.startswith("-")
    assert Path(path) == Path(name)


def test_a_camera_is_named_where_one_is_there(tmp_path):
    assert camera_source(tmp_path) == "SOURCE"
    (tmp_path / "video0").touch()
    assert camera_source(tmp_path) == "0"
