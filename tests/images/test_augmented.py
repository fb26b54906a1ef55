"""Copies that were augmented on disk share a group, and other pictures don't."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.bundle.spec import InputSpec
from edgecnn.images.augmented import find_copied, source_name, square
from edgecnn.images.dataset import load_dataset
from edgecnn.images.split import split_dataset

SPEC = InputSpec(width=16, height=16)


def photo(seed: int) -> np.ndarray:
    """A bright disc somewhere on a noisy ground: simple shapes, alike but for place and noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(90, 12, (96, 96, 3)).clip(0, 255).astype(np.uint8)
    x, y, r = (int(v) for v in rng.integers((36, 36, 16), (60, 60, 24)))
    cv2.circle(image, (x, y), r, (230, 60, 60), -1)
    return image


def changed(image: np.ndarray, kind: str) -> np.ndarray:
    if kind == "mirrored":
        return np.ascontiguousarray(image[:, ::-1])
    if kind in ("lighter", "darker"):
        return (image * (1.15 if kind == "lighter" else 0.75)).clip(0, 255).astype(np.uint8)
    if kind in ("upside down", "by a quarter"):
        return np.ascontiguousarray(image[::-1] if kind == "upside down" else np.rot90(image))
    angle = {"turned": 12.0, "turned and mirrored": -9.0}[kind]
    h, w = image.shape[:2]
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), angle, 1)
    out = cv2.warpAffine(image, turn, (w, h), borderMode=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(out[:, ::-1]) if "mirrored" in kind else out


KINDS = ("mirrored", "lighter", "darker", "turned", "turned and mirrored")
QUARTERS = ("upside down", "by a quarter")


def found(folder: Path, images: list[np.ndarray], suffix: str = ".jpg") -> set[tuple[int, int]]:
    paths = []
    for k, image in enumerate(images):
        paths.append(folder / f"{k:03d}{suffix}")
        paths[-1].write_bytes(cv2.imencode(suffix, image)[1].tobytes())
    squares = np.stack([square(image) for image in images])
    same = np.zeros(len(images), int)
    links = find_copied(paths, same, squares, np.arange(len(images))).links
    return {(min(a, b), max(a, b)) for a, b in links.tolist()}


@pytest.mark.parametrize("kind", [*KINDS, *QUARTERS])
def test_a_changed_copy_is_found_by_its_texture(tmp_path, kind):
    images = [photo(k) for k in range(16)]
    copies = [changed(image, kind) for image in images[:6]]
    assert found(tmp_path, images + copies) == {(k, 16 + k) for k in range(6)}


def test_other_pictures_of_the_same_simple_shapes_are_no_copies(tmp_path):
    assert not found(tmp_path, [photo(k) for k in range(40)])


def test_small_smooth_digits_are_no_copies_of_one_another(tmp_path, digits_folder):
    digits = [cv2.imread(str(path)) for path in sorted((digits_folder / "1").glob("*"))[:60]]
    assert not found(tmp_path, digits, ".png")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("img_7_jpg.rf.9f0c2b7a41.jpg", ("img_7_jpg", True)),
        ("img_7_png.rf.aB3dE6fGh9Jk.png", ("img_7_png", True)),
        ("0a1f___RS_HL 12_flipTB.JPG", ("0a1f___RS_HL 12", True)),
        ("leaf_90deg.JPG", ("leaf", True)),
        ("leaf_new30degFlipLR.JPG", ("leaf", True)),
        ("leaf_hflip.png", ("leaf", True)),
        ("leaf_hflip_rot15.png", ("leaf", False)),
        ("leaf-rotated-30.png", ("leaf", False)),
        ("leaf_aug_12.png", ("leaf", False)),
        ("aug_0_1234.jpeg", ("aug_0", False)),
        ("aug_3_leaf.png", ("leaf", True)),
        ("leaf_bright.png", ("leaf", True)),
        ("cat_original_7.jpg_0f8fad5b-d9cb-469f-a165-70867728950e.jpg", ("7", True)),
        ("cat_0_8123.jpeg", ("cat_0", False)),
        ("IMG_2041.jpg", None),
        ("frame12.png", None),
        ("darkroom.png", None),
        ("flip.png", None),
        ("20240131.png", None),
    ],
)
def test_the_name_of_a_copy_names_its_source(name, source):
    assert source_name(name) == source


def linked(tmp_path: Path, *names: str) -> set[frozenset[str]]:
    """Which of some files that do not look alike are copies by their names, in groups of two."""
    images = [np.roll(photo(k), 17 * k, axis=k % 2) for k in range(len(names))]
    for name, image in zip(names, images, strict=True):
        (tmp_path / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
    squares = np.stack([square(image) for image in images])
    paths = [tmp_path / name for name in names]
    links = find_copied(paths, np.zeros(len(names), int), squares, np.arange(len(names))).links
    return {frozenset(names[k] for k in pair) for pair in links.tolist()}


def test_words_before_the_name_of_another_file_make_a_copy(tmp_path):
    names = ("3.png", "12.png", "horizontal_flip_3.png", "bright_12.png", "aug_4_1.png")
    assert linked(tmp_path, *names) == {
        frozenset(("3.png", "horizontal_flip_3.png")),
        frozenset(("12.png", "bright_12.png")),
    }


def test_numbers_after_a_word_are_not_taken_for_copies_of_one_picture(tmp_path):
    assert not linked(tmp_path, *(f"horizontal_flip_{k}.png" for k in range(8)))


def test_numbered_files_of_one_camera_are_no_copies_of_one_another(tmp_path):
    images = [photo(k) for k in range(12)]
    paths = []
    for k, image in enumerate(images):
        paths.append(tmp_path / f"cam_1_{100 + k}.png")
        cv2.imwrite(str(paths[-1]), image)
    squares = np.stack([square(np.roll(i, 7 * k, 0)) for k, i in enumerate(images)])
    assert not len(find_copied(paths, np.zeros(12, int), squares, np.arange(12)).links)


@pytest.mark.parametrize("named", [True, False])
def test_no_copy_of_a_test_image_is_trained_on(tmp_path, named):
    for k in range(48):
        for copy, kind in enumerate(KINDS[1:4]):
            name = (
                f"p{k}.rf.{k * 7919 + copy:08x}" if named else f"{(k * 37 + copy * 11) % 997:03d}"
            )
            path = tmp_path / "ab"[k % 2] / f"{name}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(cv2.imencode(".jpg", changed(photo(k), kind))[1].tobytes())
    origin = {}
    for k in range(48):
        for copy in range(3):
            name = (
                f"p{k}.rf.{k * 7919 + copy:08x}" if named else f"{(k * 37 + copy * 11) % 997:03d}"
            )
            origin[f"{'ab'[k % 2]}/{name}.jpg"] = k
    data = load_dataset(tmp_path, SPEC)
    split = split_dataset(data)
    test = {origin[data.name(k)] for k in split.test}
    others = {origin[data.name(k)] for k in (*split.train, *split.val)}
    assert not test & others
    assert "augmented copies of one another" in " ".join(split.notes)


def test_a_copy_of_a_test_image_in_the_train_folder_is_left_out(tmp_path, write):
    for k in range(60):
        part = "train" if k < 40 else "valid" if k < 48 else "test"
        write(tmp_path, f"{part}/{'ab'[k % 2]}/{k:03d}.png", photo(k))
    write(tmp_path, "train/a/other.png", changed(photo(50), "turned and mirrored"))
    data = load_dataset(tmp_path, SPEC)
    split = split_dataset(data)
    used = {data.name(int(k)) for part in (split.train, split.val, split.test) for k in part}
    assert "train/a/other.png" not in used
    assert len(used) == 60


def test_a_class_that_the_test_folder_lacks_is_named_with_the_right_reason(tmp_path, write):
    for k in range(60):
        label = "ab"[k % 2]
        write(tmp_path, f"train/{label}/{k:03d}.png", photo(k))
    for k in range(60, 80):
        write(tmp_path, f"test/a/{k:03d}.png", photo(k))
    notes = " ".join(split_dataset(load_dataset(tmp_path, SPEC)).notes)
    assert "test has no image of class b: its folder has none" in notes
