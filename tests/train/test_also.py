"""Labelled field images that join the training: what joins, what leaks, and the lab's figure."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgecnn.bundle.card import picture_key
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError
from edgecnn.files.folders import file_sha256
from edgecnn.images.dataset import load_dataset
from edgecnn.images.split import split_dataset
from edgecnn.train.also import join_training, read_also
from edgecnn.train.task import read_task
from edgecnn.train.train import TrainOptions, train

SPEC = InputSpec(width=16, height=16)
CLASSES = "013"
# A network of two layers: how a run goes is the same for every network.
SMALL = {"width": 16, "height": 16, "epochs": 1, "seed": 3, "label_check": False}
QUICK = TrainOptions(**SMALL, network="two_layers:build")


def copy_some(source: Path, target: Path, first: int, last: int) -> Path:
    for label in CLASSES:
        (target / label).mkdir(parents=True, exist_ok=True)
        for path in sorted((source / label).glob("*.png"))[first:last]:
            shutil.copy(path, target / label)
    return target


@pytest.fixture(scope="module")
def lab(tmp_path_factory, digits_folder) -> Path:
    """40 digits of each of three classes."""
    return copy_some(digits_folder, tmp_path_factory.mktemp("lab") / "lab", 0, 40)


@pytest.fixture
def harvested(tmp_path, digits_field) -> Path:
    """Eight field images a class as `harvest` leaves them, of two sessions; one was corrected."""
    root = tmp_path / "picked"
    images = copy_some(digits_field, root / "images", 0, 8)
    rows = ["file,sha256,source,time,read_as,confidence"]
    for k, path in enumerate(sorted(images.rglob("*.png"))):
        digest = file_sha256(path.read_bytes())
        name = f"images/1/{path.name}"  # what it was read as, wherever a person moved it since
        rows.append(f"{name},{digest},{('monday', 'tuesday')[k % 2]}/{path.name},,1,0.5")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    (root / "contact_sheet.png").write_bytes(b"")
    return root


def joined(lab: Path, *folders: Path):
    data = load_dataset(lab, SPEC)
    split = split_dataset(data, seed=3)
    images = read_also(folders, data, SPEC)
    return data, split, images, *join_training(data, images, split)


def test_field_images_join_training_alone(lab, harvested):
    data, split, images, new, also = joined(lab, harvested)
    assert also.joined == {"0": 8, "1": 8, "3": 8}
    assert also.sources == {"monday": 12, "tuesday": 12}
    assert also.left_out == {}
    for part in ("val", "test"):
        assert (getattr(new, part) == getattr(split, part)).all()
    assert (new.train[: len(split.train)] == split.train).all()
    everything = images.after(data)
    added = new.train[len(split.train) :]
    for row, tensor in zip(added, everything.tensors[added], strict=True):
        path = everything.files[row].path
        assert everything.labels[everything.classes[row]] == path.parent.name
        assert (tensor == images.tensors[row - len(data)]).all()
    assert also.pictures == tuple(picture_key(everything.sha256[row]) for row in added)
    assert len(new.groups.ids) == len(everything)
    # Groups of training images are in training only.
    for part in ("val", "test"):
        held = new.groups.ids[getattr(new, part)]
        assert not np.isin(new.groups.ids[new.train], held).any()


def test_what_looks_like_a_held_out_image_or_was_there_does_not_join(lab, harvested):
    data, split, *_ = joined(lab, harvested)
    images = harvested / "images"

    def add(row: int, name: str, more: bytes = b"") -> None:
        file = data.files[row]
        (images / file.label / name).write_bytes(file.path.read_bytes() + more)

    add(split.test[0], "copy.png")  # the same bytes
    add(split.test[1], "like.png", b"more")  # other bytes, the same picture
    add(split.val[0], "val.png", b"more")
    add(split.train[0], "known.png")
    first = sorted((images / "0").glob("*.png"))[0]
    shutil.copy(first, images / "0" / "again.png")
    other = sorted((images / "1").glob("*.png"))[0]
    shutil.copy(other, images / "3" / "contradiction.png")
    (images / "3" / "torn.png").write_bytes(b"\x89PNG")
    *_, new, also = joined(lab, harvested)
    assert also.left_out == {
        "unreadable": 1,
        "labelled in two ways": 2,
        "there twice": 3,
        "like a validation or test image": 2,
    }
    assert sum(also.joined.values()) == 23 == len(new.train) - len(split.train)
    assert "like a validation or test image 2" in also.to_text()


def test_a_near_duplicate_of_a_training_image_is_of_its_group(lab, harvested):
    data, split, *_ = joined(lab, harvested)
    row = split.train[0]
    file = data.files[row]
    target = harvested / "images" / file.label / "near.png"
    target.write_bytes(file.path.read_bytes() + b"more")
    *_, images, new, _ = joined(lab, harvested)
    place = [one.file.path for one in images.seen].index(target)
    assert new.groups.ids[len(data) + place] == split.groups.ids[row]


@pytest.mark.parametrize("where", ["picked", "picked/images"])
def test_a_class_that_the_lab_does_not_have_is_refused_by_name(lab, harvested, where):
    (harvested / "images" / "7").mkdir()
    shutil.copy(next((harvested / "images" / "0").glob("*.png")), harvested / "images" / "7")
    with pytest.raises(DataError, match="images of '7', which is no class of the lab") as error:
        joined(lab, harvested.parent / where)
    assert "\n" not in str(error.value)


def test_images_without_class_folders_are_refused_without_the_lab_s_manifest(lab, tmp_path):
    """`train --manifest` is about the lab: these images it can't label."""
    loose = tmp_path / "loose" / "1.png"
    loose.parent.mkdir()
    shutil.copy(next(lab.rglob("*.png")), loose)
    (loose.parent / "labels.csv").write_text("file,label\n1.png,0\n")
    with pytest.raises(DataError, match="make one folder for each class") as error:
        joined(lab, loose.parent)
    assert "--manifest" not in str(error.value)


def test_a_folder_that_holds_the_lab_alone_is_refused(lab):
    with pytest.raises(DataError, match="none of 120 images can join the training") as error:
        joined(lab, lab)
    assert "there twice 120" in str(error.value)


def test_a_folder_of_one_class_joins_and_may_come_in_several(lab, harvested, tmp_path):
    one = tmp_path / "one"
    shutil.copytree(harvested / "images" / "1", one / "1")
    (tmp_path / "manifest.csv").write_bytes(b"\xff\x00 no table of harvest\n")
    *_, also = joined(lab, one)
    assert (also.joined, also.sources) == ({"1": 8}, {})
    *_, also = joined(lab, one, harvested)
    assert also.joined == {"0": 8, "1": 8, "3": 8}
    assert also.left_out == {"there twice": 8}


def test_a_task_keeps_its_field_images_at_another_side(lab, harvested):
    options = replace(QUICK, also=(harvested,))
    task = read_task(lab, options, None, None)
    other = task.at_side(24)
    assert other.data.sha256 == task.data.sha256
    assert other.tensors("train").shape == (len(task.split.train), 24, 24, 3)
    assert task.also.joined["0"] == 8


def test_the_lab_figure_is_of_the_same_images_with_them(lab, harvested, tmp_path):
    alone = train(lab, tmp_path / "alone", QUICK)
    more = train(lab, tmp_path / "more", replace(QUICK, also=(harvested,)))
    files = [np.load(tmp_path / name / "lab_test.npz")["files"] for name in ("alone", "more")]
    assert (files[0] == files[1]).all()
    assert alone.lab.total == more.lab.total
    assert more.splits["train"]["images"] == alone.splits["train"]["images"] + 24
    assert {k: n - alone.class_counts[k] for k, n in more.class_counts.items()} == {
        "0": 8,
        "1": 8,
        "3": 8,
    }
    text = more.to_text()
    assert "Field images in training: 24 (0 8, 1 8, 3 8)" in text
    assert "They came from: monday 12, tuesday 12." in text
    assert "devices that gave none is not identified" in text
    assert "pictures" not in more.to_json()["also"]
    training = json.loads((tmp_path / "more" / "card.json").read_text())["training"]
    files = (harvested / "images").rglob("*.png")
    digests = {picture_key(file_sha256(path.read_bytes())) for path in files}
    assert set(training["also"]["pictures"]) == digests
    assert training["options"]["also"] == ["picked"]
    assert alone.also is None
    assert json.loads((tmp_path / "alone" / "card.json").read_text())["training"]["also"] is None
