"""Outputs appear whole or not at all, and nobody's files are lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from edgecnn.errors import OutputError
from edgecnn.files.staging import check_writable, remove_left, staged_folder, write_file


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(target: Path, content: str = "new") -> None:
    with staged_folder(target, marker="card.json") as stage:
        (stage / "card.json").write_text(content)


def test_a_folder_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "out"
    with staged_folder(target, marker="card.json") as stage:
        (stage / "card.json").write_text("{}")
        assert not target.exists()
    assert names(target) == ["card.json"]
    assert names(target.parent) == ["out"]


def test_an_older_one_is_replaced_whole(tmp_path):
    target = tmp_path / "out"
    make(target, "old")
    (target / "left_over").write_text("x")
    make(target)
    assert names(target) == ["card.json"]
    assert (target / "card.json").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_an_empty_folder_may_be_taken(tmp_path):
    (tmp_path / "out").mkdir()
    make(tmp_path / "out")
    assert names(tmp_path / "out") == ["card.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_the_older_one_stands_and_nothing_is_left(tmp_path, error):
    target = tmp_path / "out"
    make(target, "old")

    def fail_half_way() -> None:
        with staged_folder(target, marker="card.json") as stage:
            (stage / "card.json").write_text("half")
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert (target / "card.json").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_a_folder_of_another_kind_and_a_file_are_refused_before_the_work(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    (tmp_path / "file").write_text("x")
    for name in ("photos", "file"):
        with pytest.raises(OutputError, match=name):
            check_writable(tmp_path / name, marker="card.json")
    with pytest.raises(OutputError, match="file"):
        check_writable(tmp_path / "file" / "below", marker="card.json")
    assert names(tmp_path) == ["file", "photos"]


@pytest.mark.parametrize("there", [True, False])
def test_of_a_link_the_folder_that_it_leads_to_is_replaced_or_made(tmp_path, there):
    link, real = tmp_path / "link", tmp_path / "deep" / "real"
    link.symlink_to(real)
    if there:
        make(real, "old")
    check_writable(link, marker="card.json")
    make(link)
    assert link.is_symlink()
    assert (real / "card.json").read_text() == "new"
    assert (names(tmp_path), names(real.parent)) == (["deep", "link"], ["real"])


def test_a_link_that_leads_nowhere_is_refused_before_the_work(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("x")
    (tmp_path / "into_file").symlink_to(tmp_path / "file" / "below")
    for name in ("loop", "into_file"):
        with pytest.raises(OutputError, match=name):
            check_writable(tmp_path / name, marker="card.json")
    assert names(tmp_path) == ["file", "into_file", "loop"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_place_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="Permission denied"):
        check_writable(tmp_path / "out", marker="card.json")


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        make(tmp_path / "out")
        write_file(tmp_path / "report.html", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "report.html").stat().st_mode & 0o777 == 0o640


def test_a_file_is_replaced_whole(tmp_path):
    write_file(tmp_path / "a.json", "old")
    write_file(tmp_path / "a.json", "ünïcode")
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "ünïcode"
    assert names(tmp_path) == ["a.json"]
    with pytest.raises(OutputError, match="can't write"):
        write_file(tmp_path, "a folder is there")


FULL_DISK = """
import sys
from pathlib import Path
from edgecnn.errors import OutputError
from edgecnn.files.staging import staged_folder, write_file
target = Path(sys.argv[1])
try:
    if sys.argv[2] == "file":
        write_file(target, bytes(100_000))
    else:
        with staged_folder(target, marker="card.json") as stage:
            (stage / "card.json").write_bytes(bytes(100_000))
except OutputError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_on_a_full_disk_the_older_one_stands_and_nothing_is_left(tmp_path, kind):
    """A limit on the size of files stands for the full disk: writing fails half-way."""
    target = tmp_path / "out"
    if kind == "file":
        write_file(target, "old")
    else:
        make(target, "old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, target, kind],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.startswith(f"can't write {target}")
    assert done.stdout.count("\n") == 1
    assert (target if kind == "file" else target / "card.json").read_text() == "old"
    assert names(tmp_path) == ["out"]


def test_what_a_killed_run_left_of_a_file_is_removed_once_nobody_writes_it(tmp_path):
    target = tmp_path / "a [1].partial"

    def killed(file: object) -> None:
        del file
        (left,) = tmp_path.iterdir()
        (tmp_path / "old").write_text(left.name)

    write_file(target, killed)
    old = tmp_path / (tmp_path / "old").read_text()
    others = ("young", f"{target.name}.abcdefgh", f".b{target.name}.abcdefgh", f"{old.name}9")
    for name in (old.name, *others):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    young = tmp_path / f".{target.name}.zzzzzzzz"
    young.touch()
    remove_left(target)
    assert not old.exists()
    assert {*others, young.name, target.name} <= set(names(tmp_path))
    remove_left(tmp_path / "nowhere" / "x")
