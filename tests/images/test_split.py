"""Splits: nothing that belongs together lies on two sides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError
from edgecnn.images.dataset import load_dataset
from edgecnn.images.split import split_dataset
from edgecnn.images.split_groups import GroupOptions, captured_at, find_groups
from edgecnn.inspect.checks.shares import check_shares

SPEC = InputSpec(width=16, height=16)
PARTS = ("train", "val", "test")


def sides(data, split) -> dict[str, str]:
    """file -> the split that it lies in"""
    return {data.name(k): part for part in PARTS for k in getattr(split, part)}


def noisy(picture: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 5, picture.shape)
    return (picture * 0.9 + noise + 10).clip(0, 255).astype(np.uint8)


def test_a_split_uses_every_image_once_in_about_the_shares_asked_for(two_classes):
    data = load_dataset(two_classes, SPEC)
    split = split_dataset(data, val_share=0.1, test_share=0.3)
    everything = np.concatenate([split.train, split.val, split.test])
    assert sorted(everything) == list(range(80))
    assert [len(split.train), len(split.val), len(split.test)] == [48, 8, 24]
    for part in (split.train, split.val, split.test):
        assert np.bincount(data.classes[part]).tolist() == [len(part) / 2] * 2


def test_near_duplicates_lie_on_one_side(two_classes, write, scene):
    for k in range(80):
        for copy in range(2):
            write(two_classes, f"{'ab'[k % 2]}/{k:03d}_{copy}.jpg", noisy(scene(k), copy))
    data = load_dataset(two_classes, SPEC)
    split = split_dataset(data)
    found = sides(data, split)
    for k in range(80):
        assert len({side for name, side in found.items() if name[2:5] == f"{k:03d}"}) == 1
    assert split.counts()["train"]["images"] == 3 * split.counts()["train"]["groups"]
    assert sum(c["groups"] for c in split.counts().values()) == 80
    assert split.groups.largest == 3


def test_exact_copies_of_a_flat_picture_lie_on_one_side(two_classes, write):
    for k in range(8):
        write(two_classes, f"a/flat{k}.png", np.full((40, 40, 3), 90, np.uint8))
    data = load_dataset(two_classes, SPEC)
    split = split_dataset(data)
    assert len({side for name, side in sides(data, split).items() if "flat" in name}) == 1
    assert split.groups.duplicates == 8


def test_devices_of_a_manifest_lie_on_one_side(two_classes):
    names = sorted(p.relative_to(two_classes).as_posix() for p in two_classes.rglob("*.png"))
    rows = [f"{name},camera{int(name[2:5]) // 8}" for name in names]
    manifest = two_classes / "manifest.csv"
    manifest.write_text("\n".join(["path,camera", *rows]))
    data = load_dataset(two_classes, SPEC)
    split = split_dataset(data, options=GroupOptions(manifest=manifest, column="camera"))
    found = sides(data, split)
    for camera in range(10):
        assert len({s for name, s in found.items() if int(name[2:5]) // 8 == camera}) == 1
    assert split.groups.devices == 10
    assert set(found.values()) == set(PARTS)


def test_two_devices_are_too_few_to_be_kept_apart(two_classes):
    """A table names one or two devices: it is no reason not to train."""
    names = sorted(p.relative_to(two_classes).as_posix() for p in two_classes.rglob("*.png"))
    manifest = two_classes / "manifest.csv"

    def write(column: str) -> None:
        rows = [f"{name},phone{k % 2}" for k, name in enumerate(names)]
        manifest.write_text("\n".join([f"path,{column}", *rows]))

    data = load_dataset(two_classes, SPEC)
    write("device")
    split = split_dataset(data, options=GroupOptions(manifest=manifest))
    assert "2 values in the column device: too few to be kept apart" in " ".join(split.notes)
    assert split.groups.devices == 0
    write("phone")
    with pytest.raises(DataError, match="phone has 2 values: leave --group out"):
        split_dataset(data, options=GroupOptions(manifest=manifest, column="phone"))


def test_folders_below_the_classes_are_devices(tmp_path, write):
    for k in range(96):
        write(tmp_path, f"{'ab'[k % 2]}/meter{k // 2 % 6}/{k:03d}.png", k)
    data = load_dataset(tmp_path, SPEC)
    found = sides(data, split_dataset(data))
    for meter in range(6):
        assert len({s for name, s in found.items() if f"/meter{meter}/" in name}) == 1


def test_one_folder_below_the_classes_is_no_device(tmp_path, write):
    for k in range(80):
        write(tmp_path, f"{'ab'[k % 2]}/images/{k:03d}.png", k)
    split = split_dataset(load_dataset(tmp_path, SPEC))
    assert split.groups.count == 80
    assert "too few to be devices" in " ".join(split.notes)


def test_bursts_lie_on_one_side(tmp_path, write):
    for k in range(100):
        write(tmp_path, f"{'ab'[k % 2]}/cam_20240102-10{k // 10:02d}{k % 10:02d}.png", k)
    data = load_dataset(tmp_path, SPEC)
    groups = find_groups(data)
    assert groups.count == 20  # ten minutes of ten seconds, in each of two classes
    assert find_groups(data, GroupOptions(burst_seconds=0)).count == 100


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("2024-01-31T23:59:58.jpg", "2024-01-31T23:59:58"),
        ("IMG_20240131_235958_7.jpg", "2024-01-31T23:59:58"),
        ("20240131235958.png", "2024-01-31T23:59:58"),
        ("20241331235958.png", None),
        ("003103a46851a3af.jpg", None),
        ("1120240131235958.png", None),
    ],
)
def test_the_time_in_a_file_name(name, time):
    found = captured_at(name)
    assert (found and found.isoformat()[:19]) == time


def test_folders_of_the_user_are_honoured_and_their_leaks_left_out(tmp_path, write, scene):
    for k in range(90):
        part = "train" if k < 60 else "val" if k < 70 else "test"
        write(tmp_path, f"{part}/{'ab'[k % 2]}/{k:03d}.png", k)
    write(tmp_path, "train/a/leak of test.png", noisy(scene(80), 1))
    write(tmp_path, "val/b/leak of test.png", noisy(scene(81), 1))
    write(tmp_path, "train/a/leak of val.png", scene(62))
    data = load_dataset(tmp_path, SPEC)
    split = split_dataset(data)
    found = sides(data, split)
    assert all(name.startswith(side) for name, side in found.items())
    assert not [name for name in found if "leak" in name]
    assert (len(found), len(data)) == (90, 93)
    assert "2 of 62 train images are left out" in " ".join(split.notes)


def test_a_class_without_a_training_folder_is_named_with_the_splits_that_have_it(tmp_path, write):
    for k in range(60):
        write(tmp_path, f"{'train' if k < 40 else 'test'}/{'ab'[k % 2]}/{k:03d}.png", k)
    for k in range(60, 72):
        write(tmp_path, f"test/c/{k:03d}.png", k)
    with pytest.raises(DataError, match="class 'c' has images for test and none for train"):
        split_dataset(load_dataset(tmp_path, SPEC))


def test_a_missing_val_folder_comes_from_train(tmp_path, write):
    for k in range(100):
        write(tmp_path, f"{'train' if k < 80 else 'test'}/{'ab'[k % 2]}/{k:03d}.png", k)
    data = load_dataset(tmp_path, SPEC)
    found = sides(data, split_dataset(data))
    assert {name.split("/")[0] for name, side in found.items() if side == "val"} == {"train"}
    assert sum(side == "test" for side in found.values()) == 20
    assert sum(side == "val" for side in found.values()) == 8  # a tenth of train's folder


def test_the_seed_decides_the_split(two_classes):
    data = load_dataset(two_classes, SPEC)
    one, same, other = (split_dataset(data, seed=seed).test.tolist() for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_images_that_are_all_one_scene_cannot_be_split(tmp_path, write, scene):
    for k in range(60):
        write(tmp_path, f"{'ab'[k % 2]}/{k}.png", noisy(scene(1), k))
    data = load_dataset(tmp_path, SPEC)
    with pytest.raises(DataError, match="1 group of near-duplicates") as error:
        split_dataset(data)
    assert "\n" not in str(error.value)
    assert "take --near-duplicate 1 " in str(error.value)
    assert "burst" not in str(error.value).partition(";")[2]
    assert len(split_dataset(data, options=GroupOptions(threshold=1.0)).test)


def test_what_would_not_split_the_images_is_not_advised(tmp_path, write):
    for k in range(60):  # one picture a class
        write(tmp_path, f"copies/{'ab'[k % 2]}/{k}.png", k % 2)
        write(tmp_path, f"burst/{'ab'[k % 2]}/20240131-1000{k:02d}.png", k)
    with pytest.raises(DataError, match=r"add images of other scenes and devices$"):
        split_dataset(load_dataset(tmp_path / "copies", SPEC))
    burst = load_dataset(tmp_path / "burst", SPEC)
    with pytest.raises(DataError, match=r"devices, or take --burst-seconds 0$"):
        split_dataset(burst)
    assert len(split_dataset(burst, options=GroupOptions(burst_seconds=0)).test)


def test_a_class_of_one_scene_goes_to_train_and_says_so(two_classes, write, scene):
    for k in range(12):
        write(two_classes, f"c/{k}.png", noisy(scene(900), k))
    data = load_dataset(two_classes, SPEC)
    lines = check_shares(data, GroupOptions()).findings
    assert [line.what for line in lines if "test has no image of class c, whose" in line.what]
    split = split_dataset(data)
    assert {s for name, s in sides(data, split).items() if name.startswith("c/")} == {"train"}
    assert "no image of class c" in " ".join(split.notes)


def test_scenes_that_all_look_alike_are_told_apart_by_a_tighter_threshold(tmp_path, write, scene):
    ground = scene(5)
    for k in range(120):
        picture = cv2.addWeighted(ground, 0.9, scene(1000 + k), 0.1, 0)
        write(tmp_path, f"{'ab'[k % 2]}/{k:03d}.png", picture)
    groups = find_groups(load_dataset(tmp_path, SPEC))
    assert groups.threshold > 0.97
    assert "look alike" in " ".join(groups.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,size\na/000.png,9\n", "expected 'path' and 'device'"),
        ("path,device\nelsewhere/1.png,x\n", "of 0 of 80 images"),
        ("", "has the columns none, expected 'path' and 'device'"),
    ],
)
def test_manifests_that_do_not_fit_are_refused(two_classes, text, message):
    manifest = two_classes / "manifest.csv"
    manifest.write_text(text)
    with pytest.raises(DataError, match=message):
        find_groups(load_dataset(two_classes, SPEC), GroupOptions(manifest=manifest))


def test_a_missing_manifest_is_refused(two_classes):
    with pytest.raises(DataError, match="can't read the manifest"):
        find_groups(load_dataset(two_classes, SPEC), GroupOptions(manifest=two_classes / "no.csv"))


def test_classes_with_fewer_images_than_folds_are_split_too(tmp_path, write):
    for k in range(18):
        write(tmp_path / "lab", f"{'abc'[k % 3]}/{k}.png", k)
    data = load_dataset(tmp_path / "lab", SPEC, minimum=1)
    split = split_dataset(data)
    assert sorted(np.concatenate([split.train, split.val, split.test])) == list(range(18))
    assert min(len(split.train), len(split.val), len(split.test)) > 0
