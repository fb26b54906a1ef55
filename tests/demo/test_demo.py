"""The demo end to end, with little of everything, and what it does to a folder that is not its."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest
from samples import sample

from edgecnn import installed
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.folder import Bundle
from edgecnn.demo.demo import DemoOptions, DemoResult, find_calibration, run_demo
from edgecnn.errors import MissingRuntimeError, ModelError, OutputError
from edgecnn.session.read import open_session, read_frames
from edgecnn.train.options import TrainOptions
from edgecnn.train.result import TrainResult

SMALL = DemoOptions(
    lab_per_class=30,
    frames=60,
    epochs=2,
    formats=("tflite-float32", "tflite-full-integer"),
)
PARTS = (
    "lab",
    "model",
    "digits.edgecnn",
    "field.mp4",
    "truth.csv",
    "session",
    "audit.json",
    "report.html",
)


def interrupted(output: Path) -> None:
    """A demo that is interrupted in its second step."""

    def interrupt(*_, **__) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("edgecnn.train.train"), "train", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_demo(output, SMALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, DemoResult, list[str]]:
    """A demo into the folder of one that was interrupted, whose name has a space."""
    output = tmp_path_factory.mktemp("a demo") / "out put"
    interrupted(output)
    (output / "notes.txt").write_text("mine")
    (output / "session").mkdir()
    (output / "session" / "stale.txt").write_text("of the first run")
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        little = partial(TrainOptions, network="two_layers:build", label_check=False)
        patch.setattr("edgecnn.train.train.TrainOptions", little)
        return output, run_demo(output, SMALL, say=said.append), said


def test_demo_writes_every_part_and_replaces_those_of_an_earlier_run(finished):
    output, _, _ = finished
    found = {path.name for path in output.iterdir()} - {"adapted", "adapted_50"}
    assert found == {*PARTS, "first_half", "picked", "demo.json", "notes.txt"}
    assert not (output / "session" / "stale.txt").exists()
    assert len(list((output / "lab").rglob("*.png"))) == 300
    assert "<html" in (output / "report.html").read_text(encoding="utf-8").lower()


def test_a_new_run_first_removes_what_a_finished_one_left_and_nothing_else(finished, tmp_path):
    again = Path(shutil.copytree(finished[0], tmp_path / "again"))
    (again / "lab" / "0" / "stale.png").write_bytes(b"")
    interrupted(again)
    assert {path.name for path in again.iterdir()} == {"lab", "demo.json", "notes.txt"}
    assert len(list((again / "lab").rglob("*.png"))) == 300
    assert json.loads((again / "demo.json").read_text()) == {"unfinished": True}


def test_audit_adds_up_to_the_gap_between_the_lab_and_the_filmed_digits(finished):
    output, _, _ = finished
    audit = json.loads((output / "audit.json").read_text())
    assert audit["live"]["total"] == 60
    lab, live = Tally.from_json(audit["lab"]), Tally.from_json(audit["live"])
    assert lab.accuracy is not None
    assert live.accuracy is not None
    assert audit["gap_points"] == pytest.approx(100 * (lab.accuracy - live.accuracy))
    steps = sum(step["points"] for step in audit["ledger"])
    assert steps + audit["residual_points"] == pytest.approx(audit["gap_points"], abs=0.1)
    assert any("device path" in step["cause"] for step in audit["ledger"])


def test_live_accuracy_is_what_counting_the_log_by_hand_gives(finished):
    output, result, _ = finished
    with open(output / "truth.csv", newline="") as file:
        truth = {int(row["frame"]): row["label"] for row in csv.DictReader(file)}
    labels = Bundle.open(output / "digits.edgecnn").card.labels
    events = map(json.loads, (output / "session" / "events.jsonl").read_text().splitlines())
    frames = [event for event in events if event["event"] == "frame"]
    assert [event["frame"] for event in frames] == list(range(60))
    correct = sum(labels[event["k"][0][0]] == truth[event["frame"]] for event in frames)
    assert correct == result.report.live.tally.correct


def test_bundle_was_calibrated_on_the_committed_images(finished):
    output, _, _ = finished
    card = Bundle.open(output / "digits.edgecnn").card
    assert card.name == "digits"
    assert card.calibration is not None
    assert card.calibration["count"] == 120
    assert (find_calibration() / "manifest.csv").is_file()


def test_summary_tells_both_accuracies_the_gap_the_files_and_commands_that_exist(finished):
    output, result, said = finished
    text = result.to_text()
    for tally in (result.report.lab.float_tally, result.report.live.tally):
        assert tally.text() in text
    assert f"gap    {result.report.gap_points:.1f} points" in text
    for part in PARTS:
        assert part in text
    assert f"'{output}/session'" in text, "a path with a space can be pasted into a shell"
    assert sum(line[:2] == f"{k}/" for k in range(1, 8) for line in said) == 7
    assert result.to_json()["live"]["total"] == 60


def test_the_end_says_what_the_film_s_second_half_gains_or_that_nothing_was_accepted(finished):
    output, result, _ = finished
    closing = result.closing
    assert closing.before.total == 30
    assert closing.to_text() in result.to_text()
    for name, tally in (("adapted", closing.adapted), ("adapted_50", closing.labelled)):
        assert (tally is None) == (not (output / name).exists())
        assert tally is None or tally.total == 30
    part = read_frames(open_session(output / "first_half"))
    assert part.images
    assert part.frame.tolist() == list(range(30))
    assert set(part.images.values()) < set(
        read_frames(open_session(output / "session")).images.values()
    )
    with open(output / "truth.csv", newline="") as file:
        truth = {int(row["frame"]): row["label"] for row in csv.DictReader(file)}
    with open(output / "picked" / "manifest.csv", newline="") as file:
        for row in csv.DictReader(file):
            frame = int(Path(row["source"]).stem)
            assert (output / "picked" / "images" / truth[frame] / Path(row["file"]).name).is_file()


def test_summary_s_commands_are_commands_of_edgecnn(finished):
    from typer.main import get_command

    from edgecnn.cli.main import app

    known = set(get_command(app).commands)
    shown = [
        line
        for line in finished[1].to_text().splitlines()
        if "edgecnn " in line and line.startswith("    ")
    ]
    commands = [words for words in map(shlex.split, shown) if words[0].endswith("edgecnn")]
    assert len(commands) == 6
    assert {words[1] for words in commands} <= known


def test_folder_of_somebody_s_own_is_refused_and_left_alone(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"not a folder of this command.*choose another -o"):
        run_demo(tmp_path, SMALL)
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "thesis.txt"]


def test_missing_demo_package_is_named_before_anything_is_written(tmp_path, monkeypatch):
    missing = {"mlxtend", "tensorflow"}
    monkeypatch.setattr(installed, "find_spec", lambda name: None if name in missing else name)
    said = r"the demo needs tensorflow, mlxtend, .*pip install '\.\[demo\]'"
    with pytest.raises(MissingRuntimeError, match=said):
        run_demo(tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("epochs", "stopped_by"), [(1, "time budget"), (2, "epochs"), (1, "plateau")]
)
def test_a_training_that_a_busy_machine_cut_short_is_said(
    tmp_path, monkeypatch, epochs, stopped_by
):
    """8.8 % in the lab were shown so, as if they were what the demo has to show."""
    result = replace(sample(TrainResult), epochs=epochs, stopped_by=stopped_by)
    monkeypatch.setattr(import_module("edgecnn.train.train"), "train", lambda *_, **__: result)
    said: list[str] = []
    with pytest.raises(ModelError):  # nothing was trained, so nothing can be exported
        run_demo(tmp_path / "demo", SMALL, say=said.append)
    found = [line for line in said if "1 of 2 epochs" in line and "slow or busy" in line]
    assert len(found) == (stopped_by == "time budget")


def test_the_summary_says_it_too_and_names_only_files_that_are_there(finished):
    output, result, _ = finished
    assert "ended after" not in result.to_text()
    assert "ended after 1" in replace(result, ended_early="Training ended after 1.").to_text()
    for name in ("adapted", "adapted_50"):
        assert (f"\n  {name}/ " in result.to_text()) == (output / name).exists()
