"""The cache of trained networks: made once, made anew when it must be, never half."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trained
from test_architecture import MAY_IMPORT
from trained import OTHER_ROOMS, is_whole, made_once


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EDGECNN_TEST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def recipe():
    """A `make` that counts its calls, and their number."""
    calls = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "part").mkdir()
        (folder / "part" / "model").write_text("trained")

    return make, calls


def test_an_entry_is_made_once_and_by_one_of_several_at_a_time(recipe, cache):
    make, calls = recipe
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(made_once("net", make))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert {(entry / "part" / "model").read_text() for entry in found} == {"trained"}
    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".lock"]


@pytest.mark.parametrize("harm", ["altered", "added", "removed"])
def test_an_entry_that_was_written_to_is_made_anew(recipe, harm):
    make, calls = recipe
    entry = made_once("net", make)
    if harm == "added":
        (entry / "more").write_text("x")
    elif harm == "removed":
        (entry / "part" / "model").unlink()
    else:
        (entry / "part" / "model").write_text("spoilt")
    assert not is_whole(entry)
    assert is_whole(made_once("net", make))
    assert len(calls) == 2


def test_a_recipe_that_fails_leaves_nothing(cache):
    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once("net", fail)
    assert [path.name for path in cache.iterdir()] == ["net.lock"]


def test_what_decides_an_entry_is_its_key(recipe, tmp_path, monkeypatch):
    """A bundle's exporters, a network's trainers, the recipe, the libraries; nothing else."""
    make, _ = recipe
    sources = tmp_path / "edgecnn"
    for room in ("train", "export", "device"):
        (sources / room).mkdir(parents=True)
        (sources / room / "a.py").write_text("1")
    other = tmp_path / "recipe.py"
    other.write_text("1")
    monkeypatch.setattr(trained, "SOURCES", sources)

    def both() -> tuple[Path, Path]:
        return made_once("net", make, recipe=other), made_once("bundle", make, exports=True)

    def changes(change) -> list[bool]:
        before = both()
        change()
        return [a != b for a, b in zip(before, both(), strict=True)]

    assert changes(lambda: None) == [False, False]
    assert changes(lambda: (sources / "device" / "a.py").write_text("2")) == [False, False]
    assert changes(lambda: (sources / "export" / "a.py").write_text("2")) == [False, True]
    assert changes(lambda: (sources / "train" / "a.py").write_text("2")) == [True, True]
    assert changes(lambda: other.write_text("2")) == [True, False]
    monkeypatch.setattr(trained, "LIBRARIES", ("numpy",))
    before = both()
    monkeypatch.setattr(trained, "version", lambda name: "another")
    assert not set(before) & set(both())


def test_no_room_that_may_decide_an_entry_is_left_out_of_its_key():
    assert not OTHER_ROOMS & (MAY_IMPORT["train"] | MAY_IMPORT["export"])
    assert "export" not in MAY_IMPORT["train"]


def test_an_entry_made_of_another_follows_it(recipe):
    make, calls = recipe
    whole = made_once("net", make)

    def make_other(folder: Path) -> None:
        (folder / "model").write_text("another")

    first = made_once("bundle", make, of=whole)
    assert made_once("bundle", make, of=whole) == first
    assert made_once("bundle", make, of=made_once("another net", make_other)) != first
    assert len(calls) == 3
