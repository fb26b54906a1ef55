"""Labelled folders as people really have them."""

from __future__ import annotations

import os
import shutil
from io import BytesIO

import cv2
import numpy as np
import pytest

from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError
from edgecnn.images.dataset import MIN_IMAGES, load_dataset, suggest_size

SPEC = InputSpec(width=24, height=32)


def test_every_image_comes_as_the_device_would_see_it(two_classes):
    data = load_dataset(two_classes, SPEC)
    assert len(data) == 80
    assert data.labels == ("a", "b")
    for k in (0, 41, 79):
        assert (data.tensors[k] == to_tensor(read_image(data.files[k].path), SPEC)).all()
        assert data.labels[data.classes[k]] == data.files[k].path.parent.name


def test_broken_files_are_skipped_and_counted_with_a_reason(two_classes):
    good = next((two_classes / "a").glob("*.png")).read_bytes()
    (two_classes / "a" / "empty.jpg").write_bytes(b"")
    (two_classes / "a" / "text.jpg").write_text("a letter, not a picture")
    (two_classes / "b" / "cut short.png").write_bytes(good[: len(good) // 2])
    data = load_dataset(two_classes, SPEC)
    assert len(data) == 80
    reasons = {skipped.file: skipped.reason for skipped in data.skipped}
    assert set(reasons) == {"a/empty.jpg", "a/text.jpg", "b/cut short.png"}
    assert "0 bytes" in reasons["a/empty.jpg"]
    assert "truncated" in reasons["b/cut short.png"]


def test_unusual_images_are_used(two_classes, scene):
    from PIL import Image

    odd = two_classes / "a" / "Zähler 7 über uns"
    odd.mkdir()
    picture = scene(500)
    deep = picture.astype(np.uint16) * 257
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    alpha = np.dstack([picture, np.full(picture.shape[:2], 128, np.uint8)])
    for name, image in (("16 bit.png", deep), ("grau.png", grey), ("alpha.png", alpha)):
        cv2.imencode(".png", image)[1].tofile(odd / name)
    for name, mode, exif in (("cmyk.jpg", "CMYK", None), ("turned.jpg", "RGB", 6)):
        image, tags = Image.fromarray(picture[..., ::-1].copy()).convert(mode), Image.Exif()
        if exif:
            tags[0x0112] = exif
        buffer = BytesIO()
        image.save(buffer, "jpeg", quality=95, exif=tags)
        (odd / name).write_bytes(buffer.getvalue())
    data = load_dataset(two_classes, SPEC)
    assert not data.skipped
    tensors = {f.path.name: t for f, t in zip(data.files, data.tensors, strict=True)}
    expected = to_tensor(picture, SPEC).astype(int)
    assert np.abs(tensors["16 bit.png"] - expected).max() <= 1
    assert (tensors["alpha.png"] == expected).all()
    assert np.ptp(tensors["grau.png"], axis=2).max() == 0
    assert np.abs(tensors["cmyk.jpg"] - expected).mean() < 8
    upright = to_tensor(np.rot90(picture, -1).copy(), SPEC).astype(int)
    assert np.abs(tensors["turned.jpg"] - upright).mean() < 4


def test_an_animation_never_stops_the_reading(two_classes, scene):
    from PIL import Image

    frames = [Image.fromarray(scene(k)) for k in (600, 601)]
    frames[0].save(two_classes / "b" / "moving.gif", save_all=True, append_images=frames[1:])
    data = load_dataset(two_classes, SPEC)
    assert len(data) + len(data.skipped) == 81


def test_a_file_under_two_classes_is_reported_and_left_out(two_classes):
    picture = (two_classes / "a" / "000.png").read_bytes()
    (two_classes / "b" / "copy.png").write_bytes(picture)
    data = load_dataset(two_classes, SPEC)
    assert {(s.file, "another class" in s.reason) for s in data.skipped} == {
        ("a/000.png", True),
        ("b/copy.png", True),
    }
    assert len(data) == 79


def test_a_link_loop_is_read_once(two_classes):
    (two_classes / "a" / "loop").symlink_to(two_classes, target_is_directory=True)
    assert len(load_dataset(two_classes, SPEC)) == 80


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_class_folder_is_named(two_classes):
    (two_classes / "a").chmod(0)
    try:
        with pytest.raises(DataError, match="can't read"):
            load_dataset(two_classes, SPEC)
    finally:
        (two_classes / "a").chmod(0o755)


def test_an_unreadable_file_is_skipped(two_classes):
    (two_classes / "a" / "gone.png").symlink_to(two_classes / "nowhere.png")
    data = load_dataset(two_classes, SPEC)
    assert [s.file for s in data.skipped] == ["a/gone.png"]


def one_line(error: pytest.ExceptionInfo[DataError], *words: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_mostly_broken_folders_are_refused(two_classes):
    for k in range(90):
        (two_classes / "a" / f"x{k}.png").write_bytes(b"")
    with pytest.raises(DataError) as error:
        load_dataset(two_classes, SPEC)
    one_line(error, "90 of 170", "at most half", "0 bytes")


def test_a_class_with_one_image_is_refused(two_classes, write):
    write(two_classes, "c/1.png", 700)
    with pytest.raises(DataError) as error:
        load_dataset(two_classes, SPEC)
    one_line(error, "'c' 1", f"at least {MIN_IMAGES}")


def test_empty_folders_and_single_classes_are_refused(tmp_path, two_classes):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        load_dataset(tmp_path / "empty", SPEC)
    one_line(error, "no image file")
    with pytest.raises(DataError) as error:
        load_dataset(tmp_path / "missing", SPEC)
    one_line(error, "does not exist")
    shutil.rmtree(two_classes / "b")
    with pytest.raises(DataError) as error:
        load_dataset(two_classes, SPEC)
    one_line(error, "one class", "folder above")


def test_a_folder_for_each_image_is_a_mistake_that_is_named(tmp_path, write):
    for k in range(20):
        write(tmp_path, f"{k}/image.png", k)
    with pytest.raises(DataError) as error:
        load_dataset(tmp_path, SPEC)
    one_line(error, "20 class folders for 20 images")


@pytest.mark.parametrize(
    ("shape", "size_wh"), [((42, 21), (32, 48)), ((480, 640), (96, 72)), ((8, 8), (32, 32))]
)
def test_the_input_size_follows_the_images(tmp_path, write, shape, size_wh):
    for k in range(6):
        write(tmp_path, f"{'ab'[k % 2]}/{k}.png", np.full((*shape, 3), 40 * k, np.uint8))
    assert suggest_size(tmp_path) == size_wh


def test_12_bit_pictures_in_16_bit_files_are_said_to_be_nearly_black(two_classes):
    assert not load_dataset(two_classes, SPEC).notes
    for path in sorted((two_classes / "a").glob("*.png")):
        deep = read_image(path).astype(np.uint16) << 4
        cv2.imwrite(str(path), deep)
    (note,) = load_dataset(two_classes, SPEC).notes
    assert "40 of 80 images are nearly black" in note
    assert "multiply the values by 64 or 16" in note
    for path in sorted((two_classes / "a").glob("*.png")):
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED) * 16)
    assert not load_dataset(two_classes, SPEC).notes
