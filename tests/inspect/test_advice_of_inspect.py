"""What `edgecnn inspect` advises on splits, groups, fields and pictures of phones."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError, OptionError
from edgecnn.images.dataset import load_dataset
from edgecnn.inspect.checks.labels import check_labels
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


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Parts under one inspection camera, 19 good ones for each bad one: a bad one has a scratch."""
    root, rng = tmp_path_factory.mktemp("parts"), np.random.default_rng(3)
    for k in range(240):
        picture = np.full((96, 96), 80.0)
        cv2.circle(picture, tuple(rng.integers(46, 51, 2).tolist()), 38, 180.0, -1)
        picture += rng.normal(0, 3, picture.shape)
        if k % 20 == 0:
            x, y = rng.integers(30, 60, 2).tolist()
            cv2.line(picture, (x, y), (x + 6, y + 4), 110.0, 1)
        path = root / ("good" if k % 20 else "bad") / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), picture.clip(0, 255).astype(np.uint8))
    return inspect(root)


def test_parts_that_look_alike_are_not_called_one_picture_with_a_wrong_label(parts):
    assert parts.copies.across_classes
    assert {copy.kind for copy in parts.copies.across_classes} == {"near-duplicate"}
    assert not [f for f in parts.findings if (f.severity, f.topic) == ("problem", "copies")]


def test_lamps_that_differ_in_colour_alone_are_no_wrong_labels(tmp_path):
    """In grey each red lamp equals a green one; one green lamp is really red."""
    rng = np.random.default_rng(0)
    for k in range(24):
        picture = rng.normal(40, 3, (48, 48, 3))
        lamp = (60, 150, 40) if k % 2 and k != 3 else (60, 60, 250)
        cv2.circle(picture, (20 + k // 3, 20 + k % 3 * 4), 14, lamp, -1)
        path = tmp_path / ("green" if k % 2 else "red") / f"{k:02d}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), picture.clip(0, 255).astype(np.uint8))
    (copy,) = inspect(tmp_path).copies.across_classes
    assert copy.file == "green/03.png"


@pytest.mark.parametrize(("contrast", "checked"), [(0, False), (60, True)])
def test_a_quick_classifier_that_does_not_know_the_rare_class_questions_no_label(contrast, checked):
    """It agrees with 95 % of the labels by saying the common class alone."""
    rng = np.random.default_rng(0)
    classes = (np.arange(400) % 20 > 0).astype(np.int64)
    tensors = rng.normal(120, 25, (400, 32, 32, 3))
    tensors[classes == 0, 8:24, 15:17] += contrast  # 0: no picture shows which class it is of
    data = SimpleNamespace(
        classes=classes, labels=("bad", "good"), tensors=tensors.clip(0, 255).astype("u1"), name=str
    )
    found = check_labels(SimpleNamespace(data=data), np.arange(400))
    assert found.held_out.accuracy >= 0.94
    assert (found.why_not is None) == checked
    assert not any("mislabelled" in one.what for one in found.findings)
