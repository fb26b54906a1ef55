"""`harvest` picks different images that nobody labelled yet."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sessions import record_folder, truth_event

from edgecnn.adapt.data import labels_of
from edgecnn.adapt.harvest import HarvestOptions, HarvestResult, harvest
from edgecnn.bundle.folder import Bundle
from edgecnn.errors import DataError, OptionError, OutputError
from edgecnn.files.folders import find_labelled
from edgecnn.files.picked import untouched
from edgecnn.session.events import NONE_LABEL
from edgecnn.session.read import Session, open_session

REPO = Path(__file__).resolve().parents[2]


def digests(folder: Path) -> set[str]:
    return {hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.png")}


def test_the_picked_images_lie_in_the_folder_of_what_they_read_as(digits_model, halves, tmp_path):
    options = HarvestOptions(count=20, model=digits_model)
    (halves[0] / "notes.txt").write_text("of the field")
    result = harvest(halves[0], tmp_path / "picked", options)
    (halves[0] / "notes.txt").unlink()
    assert result.picked == 20
    assert "1 file that is no picture is passed over: 1 .txt" in result.to_text()
    images, notes = tmp_path / "picked" / "images", []
    files = find_labelled(images, notes=notes)
    assert (len(files), notes) == (20, [])
    # Also those that the network reads in no image: a person may see them.
    assert len({f.label for f in files}) < 10
    assert sorted(f.name for f in images.iterdir()) == [str(k) for k in range(10)]
    assert digests(images) <= digests(halves[0])
    with open(tmp_path / "picked" / "manifest.csv", newline="") as text:
        rows = list(csv.DictReader(text))
    assert {row["file"] for row in rows} == {
        f"images/{f.path.relative_to(images).as_posix()}" for f in files
    }
    assert all(row["file"].split("/")[1] == row["read_as"] for row in rows)
    assert sum(result.classes.values()) == 20
    assert untouched(images)
    assert harvest(halves[0], tmp_path / "picked", options).picked == 20  # nobody has sorted them
    moved = next(images.rglob("*.png"))
    moved.rename(moved.parent / "seen.png")
    assert untouched(images) is None
    with pytest.raises(OutputError, match="a person has sorted"):
        harvest(halves[0], tmp_path / "picked", options)
    certain = [float(row["confidence"]) for row in rows]
    assert certain == sorted(certain)
    adapt, train = result.to_text().splitlines()[-2:]
    assert adapt == (
        f"  edgecnn adapt {digits_model} --field {halves[0]} --labels {images} -o MODEL2"
    )
    assert train == f"  edgecnn train LAB --also {tmp_path / 'picked'} -o MODEL2"


def test_the_time_of_processing_is_no_time_of_an_image(digits_bundle, halves, tmp_path):
    session = record_folder(tmp_path / "s", digits_bundle, halves[0], truth=False)
    harvest(session, tmp_path / "picked", HarvestOptions(count=20, bundle=digits_bundle))
    with open(tmp_path / "picked" / "manifest.csv", newline="") as text:
        assert {row["time"] for row in csv.DictReader(text)} == {""}


def test_the_labels_that_sessions_have_are_not_forgotten_in_what_is_advised(
    digits_bundle, halves, tmp_path
):
    session = record_folder(tmp_path / "s", digits_bundle, halves[0], truth=False)
    log = session / "events.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    first = next(json.loads(line) for line in lines if "pool" in line)
    log.write_text("".join([*lines, json.dumps(truth_event(first["frame"], "3")) + "\n"]))
    plain = record_folder(tmp_path / "t", digits_bundle, halves[1], truth=False)
    picked = tmp_path / "picked"
    result = harvest([session, plain], picked, HarvestOptions(count=20, bundle=digits_bundle))
    assert f" --labels {picked / 'images'} --labels {session} -o " in result.to_text()
    header = json.loads((plain / "session.json").read_text()) | {"name": "yard"}
    (plain / "session.json").write_text(json.dumps(header))
    again = harvest([session, plain], picked, HarvestOptions(count=20, bundle=digits_bundle))
    assert f" --labels {session} --per device -o MODELS\n" in again.to_text()
    assert "adapt to each camera" in again.to_text()


def test_what_labels_gave_is_what_the_results_say(tmp_path):
    text = HarvestResult(tmp_path, 20, 40, {}, {"a": 20}).to_text()
    text_of_results = (REPO / "docs" / "results" / "adapt.md").read_text()
    rows = text_of_results.split("\nLabels, over cached embeddings")[1].split("\n\n")[1]
    for method in (
        "| as trained",
        "| `adapt` without a label",
        "| 20 labels by `harvest`",
        "| 50 labels by `harvest`",
    ):
        row = next(line for line in rows.splitlines() if line.startswith(method))
        assert f"{re.findall(r'[0-9.]+', row.split('|')[2])[0]} %" in text
    assert "on thirteen meters" in text
    assert "on this device is not known" in text


def test_what_a_session_has_labels_of_and_what_looks_like_it_is_left_out(
    digits_model, digits_bundle, halves, tmp_path
):
    root = tmp_path / "sessions"  # as `run --log-root` leaves it
    session = record_folder(root / "monday", digits_bundle, halves[0], truth=False)
    kept = sorted((session / "frames").iterdir())
    labelled = [int(path.stem) for path in kept[::3]]
    with open(session / "events.jsonl", "a") as events:
        for frame in labelled:
            events.write(json.dumps(truth_event(frame, "3")) + "\n")
    bare = shutil.copytree(session, root / "bare", ignore=lambda *_: [path.name for path in kept])
    target = tmp_path / "picked"
    result = harvest(root, target, HarvestOptions(count=1000, model=digits_model))
    assert f"{root}: the sessions in it are read (2)" in result.to_text()
    assert f"{bare} has no kept pictures and is passed over" in result.to_text()
    known = {hashlib.sha256(path.read_bytes()).hexdigest() for path in kept[::3]}
    assert result.left_out["labelled already"] == len(labelled)
    assert not digests(target / "images") & known
    assert result.picked == result.candidates
    assert result.picked + sum(result.left_out.values()) == len(kept)


def test_a_picture_that_nobody_can_tell_or_of_no_class_is_not_asked_about_again(
    digits_model, digits_bundle, halves, tmp_path, monkeypatch
):
    opened = []

    def counted(path: Path) -> Session:
        opened.append(path)
        return open_session(path)

    monkeypatch.setattr("edgecnn.adapt.data.open_session", counted)
    session = record_folder(tmp_path / "session", digits_bundle, halves[0], truth=False)
    kept = sorted((session / "frames").iterdir())
    with open(session / "events.jsonl", "a") as events:
        for path, label in zip(kept[:6], [None, NONE_LABEL] * 3, strict=True):
            events.write(json.dumps(truth_event(int(path.stem), label)) + "\n")
        shutil.copy(kept[-1], kept[-2])  # of one picture two labels are none
        for path, label in zip(kept[-2:], "34", strict=True):
            events.write(json.dumps(truth_event(int(path.stem), label)) + "\n")
    result = harvest(session, tmp_path / "picked", HarvestOptions(count=1000, model=digits_model))
    assert result.left_out["judged, of no class"] == 6
    assert result.left_out["labelled already"] == 0
    twice = hashlib.sha256(kept[-1].read_bytes()).hexdigest()
    assert twice in digests(tmp_path / "picked" / "images")
    assert len(opened) == 2  # for its labels, and for its pictures
    judged = {hashlib.sha256(path.read_bytes()).hexdigest() for path in kept[:6]}
    assert not digests(tmp_path / "picked" / "images") & judged
    # The labels of a session whose model had them in another order.
    with open(session / "events.jsonl", "a") as events:
        events.write(json.dumps(truth_event(int(kept[6].stem), "3")) + "\n")
    card = Bundle.open(digits_bundle).card
    for one in (card, replace(card, labels=card.labels[::-1])):
        assert list(labels_of([session], one).classes.values()) == [one.labels.index("3")]


def test_a_session_without_an_unlabelled_picture_is_refused(
    digits_model, digits_bundle, halves, tmp_path
):
    session = record_folder(tmp_path / "session", digits_bundle, halves[0])
    with pytest.raises(DataError, match=r"as --field and as --labels, or record more"):
        harvest(session, tmp_path / "picked", HarvestOptions(model=digits_model))
    assert not (tmp_path / "picked").exists()


def test_a_data_set_with_a_manifest_of_its_own_is_not_replaced(digits_model, halves, tmp_path):
    (tmp_path / "manifest.csv").write_text("file,label\n1.png,a\n")
    with pytest.raises(OutputError, match="not a folder of this command"):
        harvest(halves[0], tmp_path, HarvestOptions(model=digits_model))
    assert (tmp_path / "manifest.csv").is_file()


def test_an_output_among_or_in_the_place_of_the_images_is_refused(digits_bundle, halves, tmp_path):
    options = HarvestOptions(count=5, bundle=digits_bundle)
    picked = tmp_path / "picked"
    harvest(halves[0], picked, options)
    for field, output in ((halves[0], halves[0] / "sub"), (picked, picked), (picked, picked / "x")):
        with pytest.raises(OutputError, match="whose images are read"):
            harvest(field, output, options)
    with pytest.raises(OutputError, match="so that what is read is not replaced"):
        harvest(picked / "images", picked, options)
    assert untouched(picked / "images")
    assert not (halves[0] / "sub").exists()


def test_a_network_must_be_named(digits_model, halves, tmp_path):
    with pytest.raises(OptionError, match="neither"):
        harvest(halves[0], tmp_path / "picked", HarvestOptions())
    both = HarvestOptions(model=digits_model, bundle=digits_model)
    with pytest.raises(OptionError, match="both"):
        harvest(halves[0], tmp_path / "picked", both)


@pytest.mark.parametrize("by_bundle", [False, True])
def test_nothing_of_the_lab_test_is_picked(
    by_bundle, digits_model, digits_bundle, digits_folder, halves, tmp_path
):
    network = {"bundle": digits_bundle} if by_bundle else {"model": digits_model}
    options = HarvestOptions(count=1000, **network)
    with pytest.raises(DataError, match="are lab test images, so the others are the lab's too"):
        harvest(digits_folder, tmp_path / "picked", options)
    tests = {row.sha256 for row in Bundle.open(digits_bundle).lab_test()}
    files = {hashlib.sha256(p.read_bytes()).hexdigest(): p for p in digits_folder.rglob("*.png")}
    field = shutil.copytree(halves[0], tmp_path / "field")
    for digest in sorted(tests)[:2]:
        shutil.copy(files[digest], field / f"{digest}.png")
    result = harvest([field, field], tmp_path / "picked", options)
    assert "2 field images are lab test images, left out" in result.to_text()
    assert not digests(tmp_path / "picked" / "images") & tests
    assert f" --field {field} --labels " in result.to_text()  # it was given twice
