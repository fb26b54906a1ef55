"""Outputs lie neither among the images that are read nor inside a folder of edgecnn's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgecnn.errors import OutputError
from edgecnn.files.own_folders import check_outside
from edgecnn.files.staging import check_file_place, check_writable

KINDS = {
    "a bundle": ("card.json", "SHA256SUMS"),
    "a MODEL folder": ("card.json", "model.keras"),
}


@pytest.fixture(params=KINDS)
def own(request, tmp_path):
    """(kind, folder)"""
    folder = tmp_path / "own"
    (folder / "golden").mkdir(parents=True)
    for name in KINDS[request.param]:
        (folder / name).touch()
    return request.param, folder


@pytest.mark.parametrize("name", ["x.csv", "golden/x.csv", "new/x.csv"])
def test_no_file_and_no_folder_is_written_into_a_folder_of_edgecnns(own, name):
    kind, folder = own
    for check in (
        lambda: check_file_place(folder / name, "a table", b"file"),
        lambda: check_writable(folder / name, marker="card.json"),
    ):
        with pytest.raises(OutputError, match=f"is inside {re.escape(str(folder))}, {kind}, "):
            check()
    assert not (folder / "new").exists()


def test_a_link_to_such_a_folder_is_no_way_in(own, tmp_path):
    (tmp_path / "link").symlink_to(own[1])
    with pytest.raises(OutputError, match="is inside"):
        check_file_place(tmp_path / "link" / "x.csv", "a table", b"file")


def test_such_a_folder_itself_may_be_replaced_and_places_beside_it_be_taken(own):
    check_writable(own[1], marker=KINDS[own[0]][0])
    check_writable(own[1].parent / "other", marker="card.json")
    check_file_place(own[1].parent / "x.csv", "a table", b"file")


@pytest.mark.parametrize("place", ["field", "field/sub", "field/a/../sub", "link/sub"])
def test_an_output_among_the_images_is_refused(tmp_path, place):
    (tmp_path / "field" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "field")
    said = "is" if place == "field" else "lies in"
    with pytest.raises(OutputError, match=rf" {said} .*/field, .* choose another -o, beside it$"):
        check_outside(tmp_path / place, [tmp_path / "lab", tmp_path / "field"])


def test_an_output_in_the_place_of_the_images_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"/picked/images lies in .*/picked, "):
        check_outside(tmp_path / "picked", [tmp_path / "picked" / "images"])
    check_outside(tmp_path / "field2", [tmp_path / "field"])


def test_paths_from_the_working_directory_are_compared_where_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"^out lies in \."):
        check_outside(Path("out"), [Path()])
