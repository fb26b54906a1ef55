"""A file that a command writes replaces one of its own kind only."""

from __future__ import annotations

import pytest

from edgecnn.errors import OutputError
from edgecnn.files.staging import check_file_place

START = b"<!doctype html"


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE HTML><title>x</title>", START])
def test_an_empty_file_and_one_of_the_same_kind_may_be_replaced(tmp_path, content):
    target = tmp_path / "page.html"
    target.write_bytes(content)
    check_file_place(target, "a page", START)
    check_file_place(tmp_path / "new" / "page.html", "a page", START)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n", b'{"event": "frame"}\n', b"<"])
def test_any_other_file_is_refused_and_stays(tmp_path, content):
    target = tmp_path / "page.html"
    target.write_bytes(content)
    with pytest.raises(OutputError, match=r"not a page of this command; choose another name"):
        check_file_place(target, "a page", START)
    assert target.read_bytes() == content
