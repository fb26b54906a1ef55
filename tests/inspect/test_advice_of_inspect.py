"""What `edgecnn inspect` advises on splits, groups, fields and pictures of phones."""

from __future__ import annotations

import shutil

import pytest

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError, OptionError
from edgecnn.images.dataset import load_dataset
from edgecnn.inspect.inspect import inspect
from edgecnn.inspect.options import InspectOptions


def test_a_class_without_training_images_is_a_problem_and_no_training_is_advised(tmp_path, write):
    for k in range(60):
        write(tmp_path, f"{'train' if k < 40 else 'test'}/{'ab'[k % 2]}/{k:03d}.png", k)
    for k in range(60, 72):
        write(tmp_path, f"test/c/{k:03d}.png", k)
    found = inspect(tmp_path)
    (problem,) = [one for one in found.findings if one.severity == "problem"]
    assert "`edgecnn train` can't split these images: class 'c' has images for test" in problem.what
    assert "leave the class out" in problem.mend
    assert "next:" not in found.to_text()


def test_files_that_two_classes_have_are_counted_as_train_counts_them(tmp_path, write):
    for k in range(62):
        write(tmp_path, f"{'ab'[k % 2] if k < 50 else 'c'}/{k:03d}.png", k)
    for k in range(50, 56):
        shutil.copy(tmp_path / "c" / f"{k:03d}.png", tmp_path / "a")
    shutil.copy(tmp_path / "b" / "001.png", tmp_path / "b" / "copy.png")
    text = inspect(tmp_path).to_text()
    assert "fewer than 10 usable images: c (6 that no other class has)" in text
    assert "next:" not in text
    with pytest.raises(DataError, match="class 'c' 6"):
        load_dataset(tmp_path, InputSpec(width=16, height=16))
    assert "augmented copies" not in text


def test_a_class_that_no_test_image_shows_is_named(tmp_path, write):
    for k in range(90):
        part, label = ("test", "ab"[k % 2]) if k >= 70 else ("train", "abc"[k % 3])
        write(tmp_path, f"{part}/{label}/{k:03d}.png", k)
    found = inspect(tmp_path)
    assert any("test has no image of class c" in one.what for one in found.findings)
    assert "edgecnn train" in found.to_text()


def test_a_column_of_groups_without_a_table_is_refused():
    with pytest.raises(OptionError, match="--group site is a column of --manifest"):
        InspectOptions(group="site")


def test_lab_images_are_no_field_and_no_calibration_on_them_is_advised(two_classes, tmp_path):
    found = inspect(two_classes, InspectOptions(field=two_classes))
    assert "edgecnn calibrate" not in found.to_text().partition("next:")[2]
    few = tmp_path / "field"
    few.mkdir()
    for path in sorted(two_classes.rglob("*.png"))[:3]:
        (few / path.name).write_bytes(path.read_bytes() + b"anew")
    (note,) = (
        one
        for one in inspect(two_classes, InspectOptions(field=few)).findings
        if "may be chance" in one.what
    )
    assert "the field has 3 images only" in note.what


def test_the_next_line_keeps_the_column_of_groups(two_classes, tmp_path):
    files = sorted(two_classes.rglob("*.png"))
    table = tmp_path / "sites.csv"
    rows = [f"{path.relative_to(two_classes)},site{k % 9}" for k, path in enumerate(files)]
    table.write_text("\n".join(["file,site", *rows]) + "\n")
    text = inspect(two_classes, InspectOptions(manifest=table, group="site")).to_text()
    assert f"edgecnn train {two_classes} --manifest {table} --group site" in text


def test_pictures_of_phones_are_not_only_called_broken(two_classes):
    (two_classes / "a" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 50)
    (problem,) = (one for one in inspect(two_classes).findings if one.severity == "problem")
    assert "pip install '.[heif]'" in problem.mend
