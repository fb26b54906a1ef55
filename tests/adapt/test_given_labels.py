"""Labels come from class folders or from a CSV file, and none of them is left out."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
from samples import sample

from edgecnn.adapt import data
from edgecnn.adapt.data import labels_of, read_field
from edgecnn.adapt.options import AdaptOptions
from edgecnn.bundle.card import Card, picture_key
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import DataError, OptionError


@pytest.fixture
def card() -> Card:
    return replace(sample(Card), labels=("a", "b"), input=InputSpec(width=16, height=16))


@pytest.fixture
def loose(two_classes, tmp_path):
    """The images of two_classes in one folder, with a CSV file in it."""
    folder = tmp_path / "loose"
    folder.mkdir()
    rows = ["image;class"]
    for path in sorted(two_classes.rglob("*.png")):
        shutil.copy(path, folder)
        rows.append(f"{path.stem};{path.parent.name}")
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder


def test_a_csv_file_gives_the_labels_that_class_folders_give(two_classes, loose, card):
    (loose / "gone.png").symlink_to("nowhere.png")
    with (loose / "labels.csv").open("a") as table:
        table.write("\ngone;a")
    by_csv = labels_of([loose], card, loose / "labels.csv")
    assert by_csv.classes == labels_of([two_classes], card).classes
    assert len(by_csv.classes) == 80
    with pytest.raises(DataError, match=r"--manifest .*labels.csv"):
        labels_of([loose], card)


def test_a_label_that_is_no_class_is_refused_whatever_names_it(loose, card):
    table = loose / "labels.csv"
    table.write_text(table.read_text().replace(";a", ";owl"))
    with pytest.raises(DataError, match="'owl', which is no class of the model"):
        labels_of([loose], card, table)


def test_a_csv_file_without_images_to_label_is_refused(loose):
    with pytest.raises(OptionError, match="--labels"):
        AdaptOptions(manifest=loose / "labels.csv")


def test_images_with_a_label_are_among_those_of_a_large_field(
    monkeypatch, two_classes, loose, card
):
    monkeypatch.setattr(data, "MOST_IMAGES", 50)
    for name in ("notes.txt", "more.txt"):
        (loose / name).write_text("of the field")
    few = two_classes / "a"
    shutil.rmtree(two_classes / "b")
    given = labels_of([two_classes], card)
    images = read_field([loose], card, given)
    assert len(images) + images.repeated == 50
    assert len(images.labelled) == len(list(few.iterdir())) == 40
    (line,) = images.passed_over
    assert line == f"{loose}: 3 other files are passed over: 2 .txt, 1 .csv"


def test_what_harvest_picked_is_taken_by_either_folder_and_untouched_it_is_said(two_classes, card):
    """Its images lie in the folders of what the network reads, until a person has moved some."""
    picked = two_classes.with_name("picked")
    picked.mkdir()
    two_classes.rename(picked / "images")
    files = sorted((picked / "images").rglob("*.png"))
    rows = [f"images/{p.parent.name}/{p.name},{p.stem},{p.parent.name}" for p in files]
    (picked / "manifest.csv").write_text("\n".join(["file,sha256,read_as", *rows]))
    shutil.copyfile(files[0], picked / "contact_sheet.png")
    given = labels_of([picked], card)
    assert given.classes == labels_of([picked / "images"], card).classes
    assert len(given.classes) == 80
    assert "that is no label before a person has looked" in " ".join(given.notes)
    same = [read_field([root], card, given) for root in (picked, picked / "images")]
    assert same[0].files == same[1].files == read_field([picked / "images"], card).files
    files[0].unlink()
    assert not labels_of([picked], card).notes


def test_field_images_that_are_lab_test_images_are_left_out(two_classes, card):
    images = read_field([two_classes], card)
    left = images.without(set(images.sha256[:3]))
    assert left.sha256 == images.sha256[3:]
    assert "3 field images are lab test images, left out" in left.passed_over[-1]
    one = images.without(images.sha256[:1])
    assert one.passed_over[-1].startswith("1 field image is a lab test image, left out: ")
    assert images.without({"other"}) is images
    with pytest.raises(DataError, match="all 80 field images are lab test images"):
        images.without(images.sha256)


def test_a_folder_of_the_lab_s_own_images_is_refused_as_field(two_classes, card):
    images = read_field([two_classes], card)
    with pytest.raises(DataError, match="16 of 80 field images are lab test images, so the"):
        images.without(set(images.sha256[::5]))


def test_images_of_the_training_are_known_by_their_files_or_by_what_the_network_saw(
    two_classes, card
):
    images = read_field([two_classes], card)
    keys = {picture_key(digest) for digest in images.sha256[:3]}
    left = images.untrained(keys, images.tensors[2:5])
    assert left.sha256 == images.sha256[5:]
    assert left.passed_over[-1] == (
        "5 field images are images of the training, left out; not all of its images are known"
    )
    one = images.untrained(keys & {picture_key(images.sha256[0])})
    assert one.passed_over[-1].startswith("1 field image is an image of the training, left out;")
    assert images.untrained({"other"}) is images
    with pytest.raises(DataError, match="all 80 field images are images of the training"):
        images.untrained((), images.tensors)


def test_an_image_with_two_labels_counts_without_one(two_classes, card, tmp_path):
    other = tmp_path / "other" / "b"
    other.mkdir(parents=True)
    files = sorted((two_classes / "a").iterdir())
    for file in files[:3]:
        shutil.copy(file, other)
    shutil.copy(next((two_classes / "b").iterdir()), other)  # the same label twice is one
    given = labels_of([two_classes, other.parent], card)
    assert len(given.classes) == 80 - 3
    assert given.notes[-1] == "3 images with two labels: taken for unlabelled"
    images = read_field([two_classes], card, given)
    assert len(images.labelled) == 80 - 3
    assert given.notes[-1] in images.passed_over
