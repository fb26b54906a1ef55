"""A representative set: what is in it, what is kept out, and what it says about a narrow pool."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sessions import PAST_BUNDLE, answer_event, write_session

from edgecnn.calibrate.calibrate import CalibrateOptions, calibrate
from edgecnn.camera.fit import FitOptions
from edgecnn.camera.statistics import STATISTICS, WORDS
from edgecnn.errors import DataError, EdgecnnError, OptionError, OutputError
from edgecnn.files.folders import file_sha256, find_images

QUICK = CalibrateOptions(count=40, fit=False)


def scene(number: int) -> np.ndarray:
    coarse = np.random.default_rng(number).uniform(20, 235, (6, 5, 3)).astype(np.float32)
    return cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype("u1")


def write(root: Path, name: str, picture: np.ndarray) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(path.suffix, picture)[1].tofile(path)
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("calibrate") / "lab"
    for k in range(60):
        write(root, f"{'ab'[k % 2]}/{k:03d}.png", scene(1000 + k))
    return root


@pytest.fixture
def field(tmp_path) -> Path:
    root = tmp_path / "field"
    for k in range(120):
        write(root, f"{k:03d}.png", scene(k))
    return root


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_the_picked_files_and_says_where_each_is_from(tmp_path, field, lab):
    output = tmp_path / "calibration"
    result = calibrate(field, lab, output, QUICK)
    listed = rows(output)
    assert result.picked == len(listed) == 40
    assert list(listed[0]) == ["file", "sha256", "source", "time", "why"]
    for row in listed:
        data = (output / row["file"]).read_bytes()
        assert file_sha256(data) == row["sha256"]
        assert data == (tmp_path / row["source"]).read_bytes()
    sheet = cv2.imread(str(output / "contact_sheet.png"))
    assert sheet.shape[0] > 400
    assert json.loads((output / "camera.json").read_text())["verdict"] == "not_fitted"
    assert sorted(p.name for p in output.iterdir()) == [
        "camera.json",
        "contact_sheet.png",
        "images",
        "manifest.csv",
    ]
    # The sheet is no image of the field, whatever reads the folder again.
    assert find_images(output) == find_images(output / "images")


def test_the_set_covers_the_pool_better_than_the_first_images_do(tmp_path, lab):
    root = tmp_path / "field"
    for k in range(150):  # three lights, the first of them dark
        gain = (0.4, 0.7, 1.0)[k // 50]
        write(root, f"{k:03d}.png", (scene(k) * gain).astype("u1"))
    result = calibrate(root, lab, tmp_path / "out", QUICK)
    sources = [int(Path(row["source"]).stem) for row in rows(tmp_path / "out")]
    assert min(np.bincount(np.array(sources) // 50)) >= 5
    assert result.coverage.pool > 0.8
    assert result.coverage.ranges["brightness"] > 0.8


def test_statistics_are_named_in_words_and_the_next_lines_have_the_folders(
    tmp_path, field, lab, monkeypatch
):
    little = partial(FitOptions, cameras=40, refine=20, set_size=16)
    monkeypatch.setattr("edgecnn.calibrate.calibrate.FitOptions", little)
    text = calibrate(field, lab, tmp_path / "set").to_text()
    assert f"edgecnn train {lab} -o MODEL" in text
    assert not re.search(r"least covered.* 100 %", text)  # what is covered is not least covered
    assert not re.search("luma_p|band_|_share|blue_green", text)
    assert list(WORDS) == list(STATISTICS)


def test_too_few_images_for_an_export_are_said_and_no_export_is_advised(tmp_path, lab):
    for k in range(4):
        write(tmp_path / "field", f"{k}.png", scene(300 + k))
    result = calibrate(tmp_path / "field", lab, tmp_path / "set", QUICK)
    text = result.to_text()
    assert "Too few for an export: `edgecnn export` takes 10 or more\n" in text
    assert "edgecnn export MODEL" not in text
    chosen = replace(result, pool=12).to_text()  # with --count 4
    assert "takes 10 or more; --count allowed no more\n" in chosen
    assert "MORE_FIELD_IMAGES" in text
    assert "MORE_FIELD_IMAGES" not in chosen


def test_a_camera_that_always_sees_one_scene_is_not_only_told_to_film_longer(tmp_path, lab):
    """Such as one that watches a lamp: a longer film shows nothing else."""
    root, rng = tmp_path / "field", np.random.default_rng(0)
    for k in range(24):
        write(
            root,
            f"{k}.png",
            (scene(1) * 0.9 + rng.normal(0, 3, (48, 40, 3))).clip(0, 255).astype("u1"),
        )
    (few,) = (w for w in calibrate(root, lab, tmp_path / "set", QUICK).warnings if "few" in w)
    assert "give this FIELD itself to `edgecnn export MODEL --calibration`" in few
    for k in range(24):
        write(root, f"{k}.png", scene(300 + k))
    (few,) = (w for w in calibrate(root, lab, tmp_path / "set", QUICK).warnings if "few" in w)
    assert few.endswith("film longer")


def test_fewer_picks_never_cover_more(tmp_path, field, lab):
    shares = []
    for count in (1, 3, 10, 40):
        options = CalibrateOptions(count=count, fit=False)
        shares.append(calibrate(field, lab, tmp_path / "out", options).coverage.pool)
    assert shares == sorted(shares)
    assert shares[0] < 0.1 < shares[-1]


def test_copies_near_duplicates_flat_broken_and_lab_images_stay_out(tmp_path, field, lab):
    shutil.copy(field / "000.png", field / "copy.png")
    write(field, "near.png", np.clip(scene(1).astype(int) + 3, 0, 255).astype("u1"))
    write(field, "grey.png", np.full((48, 40, 3), 90, np.uint8))
    (field / "broken.png").write_bytes(b"no image")
    (field / "gone.png").symlink_to(field / "nowhere.png")
    shutil.copy(next(lab.rglob("*.png")), field / "from_lab.png")
    result = calibrate(field, lab, tmp_path / "out", CalibrateOptions(count=500, fit=False))
    assert result.left_out == {
        "copy": 1,
        "near-duplicate": 1,
        "flat": 1,
        "lab image": 1,
        "broken": 2,
    }
    assert result.picked == 120


def test_of_a_lab_that_is_looked_at_in_part_no_image_is_picked_either(
    monkeypatch, tmp_path, field, lab
):
    monkeypatch.setattr("edgecnn.calibrate.calibrate._MOST_LAB", 20)
    for path in sorted(lab.rglob("*.png")):
        shutil.copy(path, field / f"lab_{path.name}")
    result = calibrate(field, lab, tmp_path / "out", CalibrateOptions(count=500, fit=False))
    assert (result.left_out, result.picked) == ({"lab image": 60}, 120)


def test_evaluation_folders_share_nothing_with_the_set(tmp_path, field, lab):
    evaluation = tmp_path / "evaluation"
    for k in range(10):
        shutil.copy(field / f"{k:03d}.png", evaluation.mkdir(exist_ok=True) or evaluation)
    write(evaluation, "near.jpg", scene(50))
    options = CalibrateOptions(count=500, fit=False, exclude=(evaluation,))
    calibrate(field, lab, tmp_path / "out", options)
    taken = {Path(row["source"]).stem for row in rows(tmp_path / "out")}
    assert len(taken) == 109
    assert not taken & {*(f"{k:03d}" for k in range(10)), "050"}


def test_a_burst_gives_one_image(tmp_path, lab):
    root = tmp_path / "field"
    for k in range(60):  # a picture each second
        write(root, f"cam_20240131-1200{k:02d}.png", scene(k))
    result = calibrate(root, lab, tmp_path / "out", QUICK)
    times = sorted(row["time"] for row in rows(tmp_path / "out"))
    assert result.left_out["within a burst"] == 54
    assert times[0] == "2024-01-31T12:00:00+00:00"
    assert any("one hour" in warning for warning in result.warnings)
    assert any("within 1 minute;" in warning for warning in result.warnings)


def test_a_session_gives_its_frames_and_their_times(tmp_path, lab):
    session = tmp_path / "session"
    events = [answer_event(k, True, t=3_600_000 * k) for k in range(30)]
    write_session(session, PAST_BUNDLE, [*events, b'{"event": "fra'])
    for k in range(30):
        write(session / "frames", f"{k:08d}.jpg", scene(k))
    calibrate(session, lab, tmp_path / "out", CalibrateOptions(fit=False, spacing=0))
    found = {row["source"]: row["time"] for row in rows(tmp_path / "out")}
    assert found["session/00000005.jpg"] == "2024-05-01T15:00:00+00:00"
    assert len(found) == 30


def recorded(path: Path, about, count: int = 30, **info) -> Path:
    """A session whose frames were processed within seconds; `about` tells more of each."""
    events = [answer_event(k, True, pool="uniform", **about(k)) for k in range(count)]
    write_session(path, PAST_BUNDLE, events, **info)
    for k in range(count):
        write(path / "frames", f"{k:08d}.png", scene(k))
    return path


def test_a_session_of_images_has_no_time_and_is_no_burst(tmp_path, lab):
    session = recorded(tmp_path / "s", lambda k: {"name": f"{k}.png"}, source=str(tmp_path))
    near = np.clip(scene(6).astype(int) + 3, 0, 255).astype("u1")
    write(session / "frames", "00000007.png", near)  # what looks alike still counts once
    result = calibrate(session, lab, tmp_path / "out", CalibrateOptions(fit=False))
    assert result.left_out == {"near-duplicate": 1}
    assert {row["time"] for row in rows(tmp_path / "out")} == {""}
    assert not any("one hour" in warning for warning in result.warnings)


def test_a_session_of_images_has_the_times_in_their_names(tmp_path, lab):
    def name(k: int) -> dict[str, str]:  # two cameras at the same time, every 5 seconds
        return {"name": f"cam{k % 2}/20240131-12{k // 24:02d}{k // 2 * 5 % 60:02d}.png"}

    session = recorded(tmp_path / "s", name, source=str(tmp_path))
    result = calibrate(session, lab, tmp_path / "out", CalibrateOptions(fit=False))
    assert result.left_out == {"within a burst": 14}
    times = sorted(row["time"] for row in rows(tmp_path / "out"))
    assert times[:3] == ["2024-01-31T12:00:00+00:00"] * 2 + ["2024-01-31T12:00:10+00:00"]


def test_a_session_of_a_video_has_the_time_within_it(tmp_path, lab):
    film = {"source": str(tmp_path / "film.mp4")}
    session = recorded(tmp_path / "s", lambda k: {"s": 4.0 * k}, **film)
    result = calibrate(session, lab, tmp_path / "out", CalibrateOptions(fit=False))
    assert result.picked == 10  # every 12 s
    assert result.left_out == {"within a burst": 20}
    assert {row["time"] for row in rows(tmp_path / "out")} == {""}
    assert any("within 2 minutes" in warning for warning in result.warnings)
    assert any("film longer, or set a smaller --spacing" in w for w in result.warnings)


def test_videos_in_sessions_of_one_name_have_times_of_their_own(tmp_path, lab):
    for day, first in (("monday", 0), ("tuesday", 30)):
        root = tmp_path / day / "s"
        recorded(root, lambda k: {"s": 4.0 * k}, 3, source="/tmp/film.mp4")
        for k in range(3):
            write(root / "frames", f"{k:08d}.png", scene(first + k))
    both = [tmp_path / day / "s" for day in ("monday", "tuesday")]
    result = calibrate(both, lab, tmp_path / "out", CalibrateOptions(fit=False))
    assert result.picked == 2
    assert not any("one hour" in warning for warning in result.warnings)


def test_a_raw_video_without_a_time_is_no_burst(tmp_path, lab):
    session = recorded(tmp_path / "s", lambda _: {}, source=str(tmp_path / "film.h264"))
    assert calibrate(session, lab, tmp_path / "out", CalibrateOptions(fit=False)).picked == 30


def test_a_bundle_is_no_field(tmp_path, field, lab):
    for place in (PAST_BUNDLE, [field, PAST_BUNDLE]):
        with pytest.raises(DataError, match="is a bundle, expected a folder of images"):
            calibrate(place, lab, tmp_path / "out", QUICK)


def test_eight_images_and_a_night_are_named_as_narrow(tmp_path, lab):
    root = tmp_path / "night"
    for k in range(8):
        write(root, f"{k}.png", scene(k) // 8)
    result = calibrate(root, lab, tmp_path / "out")
    assert any(w.startswith("few images: 8 different ones of 8") for w in result.warnings)
    assert any(w.startswith("night only: 100 %") for w in result.warnings)
    assert "8 field images, expected at least 20" in result.to_json()["camera"]["meaning"]
    assert all("\n" not in warning for warning in result.warnings)
    assert "Narrow pool: night only" in result.to_text()


def test_flat_grey_leaves_nothing_to_pick(tmp_path, lab):
    for k in range(30):
        write(tmp_path / "grey", f"{k}.png", np.full((48, 40, 3), 100 + k, np.uint8))
    with pytest.raises(DataError, match=r"none of 30 field images can be picked \(30 flat\)"):
        calibrate(tmp_path / "grey", lab, tmp_path / "out", QUICK)
    assert not (tmp_path / "out").exists()


def test_the_model_balances_the_classes_and_names_a_pool_of_one(
    tmp_path, digits_model, digits_field, digits_folder
):
    result = calibrate(
        digits_field,
        digits_folder,
        tmp_path / "all",
        CalibrateOptions(model=digits_model, fit=False),
    )
    assert sum(result.classes.values()) == result.picked
    assert len(result.classes) == 10
    narrow = calibrate(
        digits_folder / "3",
        digits_field,
        tmp_path / "one",
        CalibrateOptions(model=digits_model, fit=False),
    )
    assert any(w.startswith("one class") and "'3'" in w for w in narrow.warnings)


def test_export_takes_the_folder_as_it_is(tmp_path, digits_model, digits_field, digits_folder):
    from edgecnn.export.calibration.images import load_calibration
    from edgecnn.model.predict import keras_scores
    from edgecnn.model.read import load_model

    output = tmp_path / "calibration"
    options = CalibrateOptions(model=digits_model, count=60, fit=False)
    picked = calibrate(digits_field, digits_folder, output, options).picked
    model, card = load_model(digits_model)
    loaded = load_calibration(
        output, card.input, card.labels, lambda tensors: keras_scores(model, tensors)
    )
    assert len(loaded.files) == picked
    assert not any("lab test" in warning for warning in loaded.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count is 0, expected a whole number from 1"),
        ({"spacing": -1.0}, "spacing is -1, expected a number from 0"),
        ({"model": Path("a"), "bundle": Path("b")}, "both --model and --bundle"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(OptionError, match=message):
        CalibrateOptions(**change)


def test_a_disk_without_room_is_noticed_before_the_work(monkeypatch, tmp_path, field, lab):
    size = sum(path.stat().st_size for path in field.iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=size / 5))
    steps: list[str] = []
    with pytest.raises(OutputError, match=r"No space left for .*out: about"):
        calibrate(field, lab, tmp_path / "out", QUICK, progress=lambda *step: steps.append(step[0]))
    assert not steps
    assert not (tmp_path / "out").exists()


def test_what_is_no_picture_is_counted(tmp_path, field, lab):
    for name in ("a.txt", "b.txt", "c.csv"):
        (field / name).write_text("of the field")
    result = calibrate(field, lab, tmp_path / "out", QUICK)
    assert result.passed_over == (f"{field}: 3 other files are passed over: 2 .txt, 1 .csv",)
    assert result.passed_over[0] in result.to_text()


def test_wrong_folders_end_in_one_line_and_leave_nothing(tmp_path, field, lab):
    for roots, labs, expected in (
        ([tmp_path / "no"], lab, "a SESSION or a folder of images"),
        ([field], tmp_path / "no", "a folder of images"),
    ):
        with pytest.raises(EdgecnnError, match=f"does not exist, expected {expected};") as error:
            calibrate(roots, labs, tmp_path / "out", QUICK)
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match=r"000\.png is a picture, expected its folder or a SESSION"):
        calibrate(field / "000.png", lab, tmp_path / "out", QUICK)
    with pytest.raises(OutputError, match="is not a folder of this command"):
        calibrate(field, lab, write(tmp_path, "photos/1.png", scene(1)).parent, QUICK)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["field/cal", "field", "lab/cal", "exclude/cal"])
def test_an_output_among_the_images_that_are_read_is_refused(tmp_path, field, place):
    for name in ("lab", "exclude"):
        write(tmp_path / name, "a/0.png", scene(1))
    before = sorted(tmp_path.rglob("*"))
    options = replace(QUICK, exclude=(tmp_path / "exclude",))
    with pytest.raises(OutputError, match="whose images are read"):
        calibrate(field, tmp_path / "lab", tmp_path / place, options)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_step_of_videos_without_a_video_is_refused(tmp_path, field, lab):
    with pytest.raises(OptionError, match=r"--video-step 7 .* leave it out"):
        calibrate(field, lab, tmp_path / "out", replace(QUICK, video_step=7))


def test_folders_that_are_given_for_one_another_are_asked_about(tmp_path, field, lab):
    """The lab is sorted into classes, and the field is not."""
    sorted_field = tmp_path / "sorted"
    names = sorted({path.parent.name for path in lab.rglob("*.png")})
    for k, path in enumerate(sorted(field.glob("*.png"))):
        target = sorted_field / names[k % len(names)] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    options = CalibrateOptions(count=10, fit=False)

    def said(images: Path, own: Path) -> str:
        return calibrate(images, own, tmp_path / "out", options).to_text()

    assert "--exclude" in said(sorted_field, lab)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in lab.rglob("*.png"):
        shutil.copy(path, flat / f"{path.parent.name}_{path.name}")
    assert "Exchanged?" in said(sorted_field, flat)
    assert not {"--exclude", "Exchanged?"} & set(said(field, lab).split())


def test_parts_that_look_alike_are_picked_beside_an_excluded_folder_of_such_parts(tmp_path, lab):
    rng = np.random.default_rng(4)
    for k in range(90):
        place = "evaluation" if k % 3 == 0 else "field"
        part = np.full((48, 40, 3), 80, np.uint8)
        cv2.circle(part, tuple(rng.integers(16, 25, 2).tolist()), 13, (180, 180, 180), -1)
        noise = rng.normal(0, 12, part.shape)
        write(tmp_path, f"{place}/{k:03d}.png", (part + noise).clip(0, 255).astype("u1"))
    excluded = replace(QUICK, exclude=(tmp_path / "evaluation",))
    result = calibrate(tmp_path / "field", lab, tmp_path / "out", excluded)
    assert result.picked > 20
    assert any("(not 0.97), because many images look alike" in one for one in result.passed_over)
    shutil.copy(tmp_path / "field" / "001.png", tmp_path / "evaluation")
    result = calibrate(tmp_path / "field", lab, tmp_path / "out", excluded)
    assert "001" not in {Path(row["source"]).stem for row in rows(tmp_path / "out")}
