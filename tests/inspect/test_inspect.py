"""`edgecnn inspect`: planted faults are found, sound data is not accused, the page is whole."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest

from edgecnn.cli.main import app
from edgecnn.errors import DataError, OutputError
from edgecnn.inspect.inspect import InspectOptions, inspect
from edgecnn.train.options import Imbalance

PLANTED = 20
LEAKY = 40


@dataclass(frozen=True)
class Planted:
    """Digits by six devices in train, val and test, with faults; names are relative to `root`."""

    root: Path
    manifest: Path
    copies: set[str]
    swapped: dict[str, str]  # file: its right class
    broken: dict[str, str]  # file: kind


def _device_image(digit: np.ndarray, device: int, rng: np.random.Generator) -> np.ndarray:
    """A digit as one of six devices shows it: uint8, shape (44, 36, 3)."""
    tint = np.array([0.55 + 0.08 * device, 0.8, 1.0 - 0.07 * device])
    grey = cv2.resize(digit * 12, (36, 44), interpolation=cv2.INTER_CUBIC)[..., None]
    return (grey * tint + 25 + rng.normal(0, 1 + device, (44, 36, 3))).clip(0, 255).astype("u1")


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Planted:
    from sklearn.datasets import load_digits

    root = tmp_path_factory.mktemp("planted") / "data"
    rng = np.random.default_rng(5)
    digits = load_digits()
    devices: dict[str, str] = {}

    def write(name: str, image: np.ndarray, device: str) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        devices[name] = device

    parts = rng.permutation(["train"] * 7 + ["val"] + ["test"] * 2).tolist()
    names = []
    for k, digit in enumerate(digits.images[:1400]):
        device = int(rng.integers(6))
        names.append(f"{parts[k % 10]}/{digits.target[k]}/{k:04d}.png")
        write(names[-1], _device_image(digit, device, rng), f"camera{device}")
    train = [name for name in names if name.startswith("train")]
    chosen = rng.choice(train, 2 * PLANTED, replace=False).tolist()

    copies = set()
    for k, name in enumerate(chosen[:PLANTED]):
        copy = name.replace("train/", "test/", 1)
        if k % 2:  # the same picture, darker, as a JPEG
            copy = copy.replace(".png", ".jpg")
            write(copy, (cv2.imread(str(root / name)) * 0.7).astype(np.uint8), devices[name])
        else:
            copy = copy.replace(".png", "_copy.png")
            (root / copy).write_bytes((root / name).read_bytes())
            devices[copy] = devices[name]
        copies.add(copy)

    swapped = {}
    for name in chosen[PLANTED:]:
        right = name.split("/")[1]
        wrong = f"train/{(int(right) + int(rng.integers(1, 10))) % 10}/{Path(name).name}"
        shutil.move(root / name, root / wrong)
        devices[wrong] = devices.pop(name)
        swapped[wrong] = right

    card = digits.images[1400 + int((digits.target[1400:] == 9).argmax())]
    for k in range(LEAKY):  # one card in front of one camera, a few pixels about
        image = _device_image(card, 5, rng)
        image = np.roll(image // 2, k % 2, axis=1)
        write(f"train/9/leaky{k:02d}.png", image, "leaky")

    whole = (root / names[0]).read_bytes()
    jpeg = cv2.imencode(".jpg", cv2.imread(str(root / names[1])))[1].tobytes()
    broken = {
        "train/1/empty.png": (b"", "empty"),
        "train/2/cut.png": (whole[: len(whole) // 2], "truncated"),
        "train/3/cut.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "val/4/text.jpg": (b"this is no picture", "not-an-image"),
        "test/5/pixels.png": (whole[:60] + bytes(40) + whole[100:], "damaged"),
    }
    for name, (data, _) in broken.items():
        (root / name).write_bytes(data)
    manifest = root.parent / "manifest.csv"
    with open(manifest, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "device"])
        rows.writerows((f"data/{name}", device) for name, device in devices.items())
    return Planted(root, manifest, copies, swapped, {n: kind for n, (_, kind) in broken.items()})


def run(capfd: pytest.CaptureFixture[str], *args: object) -> tuple[int, str]:
    """The command in this process: (status, stdout)."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        app(["inspect", *map(str, args)])
    return int(ended.value.code or 0), capfd.readouterr().out


def test_one_command_finds_every_planted_fault(planted, digits_field, tmp_path, capfd):
    page = tmp_path / "inspect.html"
    status, out = run(
        capfd, planted.root, "--manifest", planted.manifest, "--group", "device",
        "--field", digits_field, "-o", page, "--json",
    )  # fmt: skip
    found = json.loads(out)
    assert status == 0

    broken = [
        f for f in found["findings"] if f["topic"] == "files" and "can't be read" in f["what"]
    ]
    kinds = {e["files"][0]: e["text"] for e in broken[0]["examples"]}
    assert kinds == planted.broken
    assert found["broken"] == 5

    copies = {c["file"] for c in found["copies"]["across_splits"] if c["kind"].startswith("same")}
    assert copies == planted.copies

    suspects = found["labels"]["suspects"]
    right = [s for s in suspects if planted.swapped.get(s["file"]) == s["suggested"]]
    assert len(right) >= 15
    assert len(suspects) <= 2 * PLANTED
    assert abs(found["labels"]["expected_wrong"] - PLANTED) <= 8

    leaks = [f for f in found["findings"] if f["topic"] == "groups"]
    assert [f["severity"] for f in leaks] == ["problem"]
    assert "group leaky (40 images)" in leaks[0]["what"]
    assert "its images show only" in leaks[0]["what"]
    assert "100 % of it is class 9" in leaks[0]["what"]

    assert "as bright" in found["field"]["words"]
    html = page.read_text()
    for name in planted.copies:
        assert name in html
    assert not re.search(r"(src|href|srcset)=\"(?!data:)", html)
    assert "://" not in html


def test_strict_is_status_1_for_problems_only(two_classes, capfd):
    assert run(capfd, two_classes, "--strict")[0] == 0
    (two_classes / "a" / "bad.png").write_bytes(b"")
    assert run(capfd, two_classes)[0] == 0
    status, out = run(capfd, two_classes, "--strict")
    assert status == 1
    assert "problem: 1 file can't be read: 1 empty" in out


def test_sound_data_is_not_accused(digits_folder):
    found = inspect(digits_folder)
    assert found.count("problem") == 0
    assert not [f for f in found.findings if f.topic in ("files", "groups")]
    assert found.labels.expected < 5
    assert found.balance.option == "none"
    assert not found.copies.across_splits


def test_labels_mixed_up_between_two_classes_are_not_called_right(tmp_path, digits_folder):
    for label in "012":
        (tmp_path / label).mkdir()
        for path in sorted((digits_folder / label).iterdir())[:40]:
            shutil.copy(path, tmp_path / label)
    for path in sorted((tmp_path / "1").iterdir())[:4]:
        path.rename(tmp_path / "2" / f"mixed_{path.name}")
    found = inspect(tmp_path)
    mixed = [suspect for suspect in found.labels.suspects if "mixed" in suspect.file]
    assert 2 * len(mixed) >= len(found.labels.suspects)
    assert found.labels.expected < 3
    what = next(f.what for f in found.findings if f.topic == "labels")
    assert "classes that look alike may be mixed up" in what


def test_a_rare_class_is_named_with_an_option_that_train_has(tmp_path, write):
    for k in range(130):
        write(tmp_path, f"{'rare' if k % 13 == 0 else 'usual'}/{k}.png", k)
    found = inspect(tmp_path)
    assert found.balance.ratio == 12
    assert found.balance.option in get_args(Imbalance)
    finding = next(f for f in found.findings if f.topic == "balance")
    assert finding.severity == "warning"
    assert found.balance.option in finding.mend


def test_too_small_a_class_is_a_problem_not_an_error(tmp_path, write):
    for k in range(24):
        write(tmp_path, f"{'few' if k < 4 else 'many'}/{k}.png", k)
    found = inspect(tmp_path)
    assert [f.topic for f in found.findings if f.severity == "problem"] == ["balance"]
    assert found.labels.why_not


@pytest.mark.parametrize("usable", [0, 4])
def test_a_training_that_would_be_refused_is_not_advised(tmp_path, write, usable):
    for k in range(14):
        write(tmp_path, f"many/{k}.png", k)
    for k in range(4):
        write(tmp_path, f"odd/{k}.png", 100 + k)
        if k >= usable:
            (tmp_path / "odd" / f"{k}.png").write_bytes(b"x")
    found = inspect(tmp_path)
    text = found.to_text()
    assert not re.search("edgecnn train (LAB|/)", text)
    assert found.balance.ratio == (14 / usable if usable else None)
    said = "largest over smallest class: none, as class odd has no usable image"
    assert (said in text) == (usable == 0)
    with_field = inspect(tmp_path, InspectOptions(field=tmp_path / "many")).to_text()
    assert "edgecnn calibrate" in with_field


def test_a_picture_under_two_classes_is_a_problem(two_classes, write):
    shutil.copy(two_classes / "a" / "000.png", two_classes / "b" / "same.png")
    found = inspect(two_classes)
    assert [(c.file, c.other, c.kind) for c in found.copies.across_classes] == [
        ("a/000.png", "b/same.png", "same file")
    ]
    assert found.count("problem") == 1


def test_a_class_photographed_by_another_camera_is_a_shortcut(two_classes, write, scene):
    assert not inspect(two_classes).groups.findings
    for path in (two_classes / "a").iterdir():
        warm = cv2.imread(str(path)) * np.array([0.6, 0.9, 1.0])
        cv2.imwrite(str(path), warm.astype(np.uint8))
    write(two_classes, "c/0.png", 99)  # too few to be tried
    found = inspect(two_classes)
    (finding,) = found.groups.findings
    assert finding.severity == "warning"
    assert "(chance: 50 % for the 2 of 3 classes that were tried)" in finding.what
    assert found.groups.class_from_marks > 0.9


def test_one_class_of_many_photographed_by_another_camera_is_named(tmp_path, write, scene):
    for k in range(150):
        warm = np.array([0.6, 0.9, 1.0]) if k % 5 == 2 else np.ones(3)
        write(tmp_path, f"{'abcde'[k % 5]}/{k:03d}.png", (scene(k) * warm).astype(np.uint8))
    (finding,) = inspect(tmp_path).groups.findings
    assert "tell class c from the others" in finding.what


def test_the_field_is_described_in_factors(two_classes, tmp_path, scene):
    field = tmp_path / "field"
    field.mkdir()
    rng = np.random.default_rng(1)
    for k in range(60):
        dim = scene(1000 + k) * 0.5 + rng.normal(0, 6, (48, 40, 3))
        large = cv2.resize(dim.clip(0, 255).astype(np.uint8), (80, 96))
        cv2.imwrite(str(field / f"{k}.png"), large)
    (field / "notes.txt").write_text("of the field")
    inspection = inspect(two_classes, InspectOptions(field=field))
    found = inspection.field
    assert inspection.notes == (f"{field}: 1 file that is no picture is passed over: 1 .txt",)
    traits = {trait.name: trait for trait in found.traits}
    assert traits["brightness"].words == "0.5x as bright"
    assert traits["resolution"].words == "4x the pixels"
    assert traits["noise"].difference > 2
    assert "0.5x as bright" in found.words
    assert abs(traits["width over height"].difference) < 0.1


def test_the_lab_itself_as_field_is_no_difference(two_classes):
    found = inspect(two_classes, InspectOptions(field=two_classes)).field
    assert found.words.startswith("field images look like lab images")
    assert all(trait.difference == 0 for trait in found.traits)
    assert [f.severity for f in found.findings] == ["warning", "note"]
    assert "are lab images" in found.findings[0].what


def test_names_of_any_script_and_markup_stand_in_the_page_as_text(tmp_path, write):
    for k in range(40):
        write(tmp_path, f"data/{('<b>', 'größe')[k % 2]}/{k}.png", k)
    (tmp_path / "data" / "<b>" / "bad.png").write_bytes(b"")
    page = tmp_path / "page.html"
    inspect(tmp_path / "data", InspectOptions(report=page))
    html = page.read_text()
    assert "&lt;b&gt;/bad.png" in html
    assert "<b>/bad.png" not in html


def test_a_copy_saved_anew_is_the_same_picture_and_another_photograph_is_not(
    tmp_path, write, scene
):
    for k in range(40):
        write(tmp_path, f"train/{'ab'[k % 2]}/{k}.png", k)
        write(tmp_path, f"val/{'ab'[k % 2]}/other{k}.png", 100 + k)
    small = cv2.resize(scene(0), (30, 36), interpolation=cv2.INTER_AREA)
    dim = (scene(1) * 0.6).astype(np.uint8)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", scene(2), [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1)
    for k, picture in enumerate((small, dim, jpeg)):
        write(tmp_path, f"test/{'ab'[k % 2]}/{k}.png", picture)
    alike = cv2.addWeighted(scene(3), 0.86, scene(900), 0.14, 0)
    write(tmp_path, "test/b/alike.png", alike)
    kinds = {copy.file: copy.kind for copy in inspect(tmp_path).copies.across_splits}
    same = {f"test/{'ab'[k % 2]}/{k}.png": "same picture" for k in range(3)}
    assert kinds == {**same, "test/b/alike.png": "near-duplicate"}


def test_pictures_that_were_all_saved_twice_do_not_hide_those_in_two_splits(tmp_path, write, scene):
    for k in range(24):
        write(tmp_path, f"train/{'ab'[k % 2]}/{k}.png", scene(k))
        write(tmp_path, f"train/{'ab'[k % 2]}/{k}_dim.png", (scene(k) * 0.8).astype(np.uint8))
        write(tmp_path, f"test/{'ab'[k % 2]}/{k}.png", scene(k if k < 6 else 100 + k))
    for k in range(6):
        write(tmp_path, f"test/{'ab'[k % 2]}/{k}.png", (scene(k) * 0.6).astype(np.uint8))
    across = inspect(tmp_path).copies.across_splits
    assert [copy.kind for copy in across] == ["same picture"] * 6


def test_folders_below_the_classes_are_groups(tmp_path, write):
    for k in range(90):
        device = ("north", "south", "east")[k // 2 % 3]
        label = "a" if device == "east" else "ab"[k % 2]
        write(tmp_path, f"{label}/{device}/{k}.png", k)
    found = inspect(tmp_path).groups
    assert {g.name: g.images for g in found.groups} == {"north": 30, "south": 30, "east": 30}
    assert found.column == "folder"
    east = next(g for g in found.groups if g.name == "east")
    assert (east.top_class, east.top_share) == ("a", 1.0)


def test_hundreds_of_classes_are_checked_in_seconds():
    from types import SimpleNamespace

    from edgecnn.inspect.checks.labels import check_labels

    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(300), 12)
    noise = rng.normal(60, 20, (len(classes), 32, 32, 3))
    tensors = (rng.integers(0, 128, (300, 32, 32, 3))[classes] + noise).clip(0, 255).astype("u1")
    given = classes.copy()
    given[::200] = (given[::200] + 7) % 300
    data = SimpleNamespace(
        classes=given, labels=[str(k) for k in range(300)], tensors=tensors, name=str
    )
    found = check_labels(SimpleNamespace(data=data), np.arange(len(classes)))
    assert found.held_out.accuracy > 0.9
    suspects = {int(suspect.file) for suspect in found.suspects}
    assert len(suspects & set(range(0, len(classes), 200))) >= 15
    assert len(suspects) < 40


@pytest.mark.parametrize("case", ["nothing", "one class", "all broken", "broken field", "manifest"])
def test_unusable_input_ends_in_one_line(case, tmp_path, write, two_classes):
    options = InspectOptions()
    root = tmp_path / "data"
    root.mkdir()
    if case == "one class":
        write(root, "a/1.png", 1)
    if case == "all broken":
        for name in "ab":
            (root / name).mkdir()
            (root / name / "1.png").write_bytes(b"")
    if case == "broken field":
        (root / "1.png").write_bytes(b"x")
        root, options = two_classes, InspectOptions(field=root)
    if case == "manifest":
        (root / "m.csv").write_text("path,site\n")
        root, options = two_classes, InspectOptions(manifest=root / "m.csv")
    with pytest.raises(DataError) as error:
        inspect(root, options)
    assert "\n" not in str(error.value)
    assert "expected" in str(error.value)


def test_a_field_that_is_not_there_is_refused_before_the_lab_is_read(two_classes, tmp_path):
    steps: list[str] = []
    with pytest.raises(DataError, match="nosuch does not exist"):
        inspect(
            two_classes,
            InspectOptions(field=tmp_path / "nosuch"),
            progress=lambda *step: steps.append(step[0]),
        )
    assert not steps


def test_a_folder_as_page_is_refused_before_the_work(two_classes, tmp_path):
    with pytest.raises(OutputError, match="folder"):
        inspect(two_classes, InspectOptions(report=tmp_path))


def test_a_page_among_the_images_is_refused_before_the_work(two_classes, tmp_path):
    for place in (two_classes, tmp_path):
        with pytest.raises(OutputError, match=r"images are read: .* choose another -o, beside it"):
            inspect(two_classes, InspectOptions(report=place / "x.html", field=tmp_path))


def test_swapped_labels_of_classes_of_one_shape_and_two_colours_are_found(tmp_path, write):
    """Both colours are equally bright, so that their shapes say nothing."""
    for k in range(160):
        rng = np.random.default_rng(k)
        picture = rng.normal(100, 8, (48, 48, 3))
        x, y = (int(v) for v in rng.integers(18, 30, 2))
        cv2.circle(picture, (x, y), 12, ((90, 150, 210), (90, 210, 150))[k % 2], -1)
        shown = k % 2 if k >= 8 else 1 - k % 2
        write(tmp_path, f"{'ab'[shown]}/{k:03d}.png", picture.clip(0, 255).astype(np.uint8))
    labels = inspect(tmp_path).labels
    assert labels.held_out.accuracy > 0.9
    listed = {suspect.file.split("/")[1] for suspect in labels.suspects}
    assert {f"{k:03d}.png" for k in range(8)} <= listed
    assert len(listed) < 16


@pytest.mark.meters
def test_swapped_labels_of_real_crops_are_found(meters, tmp_path):
    root = tmp_path / "lab"
    files = sorted(p.relative_to(meters / "lab") for p in (meters / "lab").rglob("*.*"))[::3]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).symlink_to(meters / "lab" / file)
    rng = np.random.default_rng(3)
    swapped = set()
    for k in rng.choice(len(files), PLANTED, replace=False):
        wrong = str((int(files[k].parts[0]) + int(rng.integers(1, 10))) % 10)
        shutil.move(root / files[k], root / wrong / files[k].name)
        swapped.add(f"{wrong}/{files[k].name}")
    found = inspect(root, InspectOptions(field=meters / "field" / "pp"))
    suspects = [suspect.file for suspect in found.labels.suspects]
    assert len(swapped & set(suspects)) >= 15
    assert len(suspects) < 90
    assert len(swapped & set(suspects[:20])) >= 12
