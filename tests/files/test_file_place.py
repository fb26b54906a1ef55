"""A file that a command writes replaces one of its own kind only."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecnn.errors import OutputError
from edgecnn.files.staging import check_file_place, write_file

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


@pytest.mark.parametrize(
    "content", [b"begin MARK end", b"MARK" + bytes(200_000), bytes(200_000) + b"MARK"]
)
def test_a_file_with_the_mark_of_its_kind_may_be_replaced(tmp_path, content):
    target = tmp_path / "plot.pdf"
    target.write_bytes(content)
    check_file_place(target, "a plot", mark=b"MARK")
    with pytest.raises(OutputError, match="not a plot of this command"):
        check_file_place(target, "a plot", mark=b"ANOTHER")


def refuse_both(target: Path) -> None:
    for write in (lambda: check_file_place(target, "a table"), lambda: write_file(target, "x")):
        with pytest.raises(OutputError, match="expected a regular file"):
            write()


def test_a_pipe_is_refused_and_stays(tmp_path):
    """It stands for /dev/null, which root could replace by a file."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link):
        refuse_both(target)
    assert pipe.is_fifo()
    assert link.is_symlink()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux names open files so")
def test_what_is_open_already_is_refused_and_stays(tmp_path):
    """It stands for /dev/stdout behind `> log`."""
    log, link = tmp_path / "log", tmp_path / "link"
    with log.open("w") as opened:
        stream = Path(f"/proc/self/fd/{opened.fileno()}")
        link.symlink_to(stream)
        for target in (stream, link):
            refuse_both(target)
        opened.write("the result")
    assert log.read_text() == "the result"


@pytest.mark.parametrize("there", [True, False])
def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path, there):
    link, real = tmp_path / "link.csv", tmp_path / "deep" / "real.csv"
    link.symlink_to(real)
    if there:
        real.parent.mkdir()
        real.write_text("file,label\n1,2\n")
    check_file_place(link, "a table", b"file")
    write_file(link, "file,label\n")
    assert link.is_symlink()
    assert real.read_text() == "file,label\n"
    assert [path.name for path in real.parent.iterdir()] == ["real.csv"]


def test_a_link_to_itself_is_one_line(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OutputError, match="loop"):
        check_file_place(loop, "a table")
