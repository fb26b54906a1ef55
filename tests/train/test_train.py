"""Training runs on real digits: what they write, and what they leave behind when they fail."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from some_images import some_of

from edgecnn.bundle.preprocess import read_image, to_tensor
from edgecnn.errors import DataError, ModelError, OutputError
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import load_lab_model, load_model
from edgecnn.train.fitting.schedule import Schedule
from edgecnn.train.task import _check_seconds, read_task
from edgecnn.train.train import TrainOptions, train

QUICK = TrainOptions(width=16, height=16, epochs=2, network_width=0.5, seed=3, label_check=False)
# How a run goes and ends is the same for every network.
QUICKER = {**QUICK.to_json(), "network": "two_layers:build", "network_width": 1.0}


def history(model: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((model / "history.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def few(tmp_path_factory, digits_folder):
    """40 digits of each of three classes."""
    return some_of(digits_folder, tmp_path_factory.mktemp("few") / "lab", 40, "013")


@pytest.fixture(scope="module")
def quick(tmp_path_factory, few):
    """A quick run and its MODEL folder."""
    output = tmp_path_factory.mktemp("quick") / "model"
    return train(few, output, QUICK), output


def test_a_few_seconds_teach_the_digits(digits_model):
    _, card = load_model(digits_model)
    assert card.lab.tally.accuracy > 0.9
    assert card.lab.tally.total > 200


def test_the_model_folder_holds_what_export_needs(quick, few):
    result, output = quick
    assert sorted(p.name for p in output.iterdir()) == [
        "augmented.png",
        "card.json",
        "confusion.png",
        "golden",
        "history.csv",
        "lab_test.npz",
        "model.keras",
        "replay.npz",
        "training.png",
    ]
    model, card = load_model(output)
    test = np.load(output / "lab_test.npz")
    for tensor, label, file, digest in zip(
        *(test[k] for k in ("tensors", "labels", "files", "sha256")), strict=True
    ):
        assert (tensor == to_tensor(read_image(few / str(file)), card.input)).all()
        assert hashlib.sha256((few / str(file)).read_bytes()).hexdigest() == digest
        assert card.labels[label] == str(file).split("/")[0]
    assert np.allclose(keras_scores(model, test["tensors"]), test["keras_scores"], atol=1e-5)
    right = int((test["keras_scores"].argmax(axis=1) == test["labels"]).sum())
    assert (right, len(test["labels"])) == (card.lab.tally.correct, card.lab.tally.total)
    assert result.lab == card.lab.tally
    digests = {hashlib.sha256(p.read_bytes()).hexdigest() for p in (output / "golden").iterdir()}
    assert len(digests) == 4
    assert digests <= set(test["sha256"].tolist())


def test_the_lab_figure_is_the_one_that_export_and_evaluate_count(few, tmp_path):
    """They number things by the frames of a film as they were taken: 2.png before 10.png."""
    shutil.copytree(few, tmp_path / "lab" / "train")
    for label, height in (("0", 8), ("1", 16)):
        place = tmp_path / "lab" / "test" / label
        place.mkdir(parents=True)
        for k in range(30):
            frame = np.zeros((48, 48, 3), np.uint8)
            frame[height : height + 20, k // 2 + 4 : k // 2 + 20] = 200
            cv2.imwrite(str(place / f"{k}.png"), frame)
    result = train(tmp_path / "lab", tmp_path / "model", TrainOptions(**QUICKER))
    assert load_lab_model(tmp_path / "model").card.lab.tally == result.lab


def test_pictures_and_history_can_be_read(quick):
    result, output = quick
    for name in ("training.png", "confusion.png"):
        assert min(cv2.imread(str(output / name)).shape[:2]) > 300
    rows = history(output)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        assert 0 <= float(row["val_accuracy"]) <= 1
        assert float(row["learning_rate"]) > 0
    assert result.epochs == 2


def test_the_result_says_images_and_groups_of_each_split(quick):
    result, output = quick
    data = json.loads(json.dumps(result.to_json()))
    assert data["lab"]["total"] == data["splits"]["test"]["images"]
    assert sum(split["images"] for split in data["splits"].values()) == 120
    assert all(0 < s["groups"] <= s["images"] for s in data["splits"].values())
    assert data["model"] == str(output)
    text = result.to_text()
    for split in data["splits"].values():
        assert str(split["images"]) in text
        assert str(split["groups"]) in text
    card = json.loads((output / "card.json").read_text())
    assert card["training"]["splits"] == data["splits"]
    assert card["training"]["options"]["seed"] == 3
    assert sum(card["prior"]) == pytest.approx(1)
    assert str(output.parent) not in (output / "card.json").read_text()


def test_the_seed_decides_the_model(quick, few, tmp_path):
    _, output = quick
    train(few, tmp_path / "same", QUICK)
    one, same = (load_model(p)[0].get_weights() for p in (output, tmp_path / "same"))
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(one, same, strict=True))


@pytest.mark.parametrize(
    "change",
    [
        {
            "network": "two_layers:build",
            "network_width": 1.0,
            "imbalance": "class_weights",
            "augment": "none",
            "label_smoothing": 0.1,
            "resize": "letterbox",
            "interpolation": "linear",
            "pad": (9, 8, 7),
            "batch_size": 500,
        },
        {"imbalance": "balanced_sampling", "augment": "light", "l1": 1e-5, "l2": 1e-4},
    ],
)
def test_every_option_trains(few, tmp_path, change):
    options = TrainOptions(**{**QUICK.to_json(), "epochs": 1, **change})
    result = train(few, tmp_path / "model", options)
    card = load_model(tmp_path / "model")[1]
    assert result.epochs == 1
    if "pad" in change:
        assert (card.input.resize, card.input.pad) == ("letterbox", (9, 8, 7))


@pytest.mark.clock
def test_the_time_budget_ends_a_run(few, tmp_path, monkeypatch):
    """On a clock of the test's own, by which a step takes a hundredth of the budget or less."""
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr("edgecnn.train.fitting.schedule.monotonic", lambda: next(ticks))
    for module in ("learn", "reports"):  # all that is no training takes no time
        monkeypatch.setattr(f"edgecnn.train.{module}.monotonic", lambda: 0.0)
    options = TrainOptions(**{**QUICKER, "epochs": 5000, "patience": 5000, "seconds": 103})
    result = train(few, tmp_path / "model", options)
    assert result.stopped_by == "time budget"
    assert 5 < result.epochs < 100
    rates = [float(row["learning_rate"]) for row in history(tmp_path / "model")]
    assert rates[-1] < 1e-3  # the schedule ended with the budget, not with the epochs
    assert result.train.accuracy > 0.4  # and it learned before


def test_patience_ends_a_run_with_its_best_weights(few, tmp_path):
    options = TrainOptions(**{**QUICKER, "epochs": 30, "patience": 1, "augment": "none"})
    result = train(few, tmp_path / "model", options)
    losses = [float(row["val_loss"]) for row in history(tmp_path / "model")]
    assert result.best_epoch == int(np.argmin(losses)) + 1
    if result.stopped_by == "patience":
        assert result.epochs == result.best_epoch + 1


def test_a_network_of_ones_own_is_trained(few, tmp_path, monkeypatch):
    (tmp_path / "mine_for_train.py").write_text(
        "import keras\n"
        "def build(input_shape, num_classes):\n"
        "    x = keras.Input(input_shape)\n"
        "    y = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(x))\n"
        "    return keras.Model(x, keras.layers.Dense(num_classes)(y), name='mine')\n"
    )
    monkeypatch.chdir(tmp_path)
    options = TrainOptions(**{**QUICKER, "network": "mine_for_train:build"})
    train(few, tmp_path / "model", options)
    model, _ = load_model(tmp_path / "model")
    assert model.name == "mine"
    assert np.allclose(keras_scores(model, np.zeros((1, 16, 16, 3), "u1")).sum(), 1, atol=1e-5)


def test_an_interrupted_run_leaves_nothing(few, tmp_path):
    def interrupt(what: str, done: int, total: int) -> None:
        if what.startswith("epoch") and done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(few, tmp_path / "model", TrainOptions(**QUICKER), progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_network_leaves_an_older_model_as_it_was(quick, few, tmp_path):
    output = Path(shutil.copytree(quick[1], tmp_path / "model"))
    before = (output / "model.keras").read_bytes()
    with pytest.raises(ModelError):
        train(few, output, TrainOptions(**{**QUICKER, "network": "nothing:here"}))
    assert (output / "model.keras").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_learning_rate_that_explodes_is_named(few, tmp_path, monkeypatch):
    (tmp_path / "explodes.py").write_text(
        "import keras\n"
        "from keras import layers\n"
        "def build(input_shape, num_classes):\n"
        "    x = keras.Input(input_shape)\n"
        "    dense = layers.Dense(num_classes, 'exponential', kernel_initializer='zeros')\n"
        "    return keras.Model(x, dense(layers.Flatten()(x)))\n"
    )
    monkeypatch.chdir(tmp_path)
    change = {"network": "explodes:build", "learning_rate": 1.0}
    with pytest.raises(ModelError, match="NaN"):
        train(few, tmp_path / "model", TrainOptions(**{**QUICKER, **change}))
    assert not (tmp_path / "model").exists()


def test_places_that_are_taken_are_refused_before_the_work(few, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("mine")
    for name in ("file", "folder", "file/model"):
        with pytest.raises(OutputError) as error:
            train(few, tmp_path / name, QUICK)
        assert "\n" not in str(error.value)
    assert (tmp_path / "folder" / "notes.txt").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_place_is_refused(few, tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="can't write"):
            train(few, tmp_path / "model", QUICK)
    finally:
        tmp_path.chmod(0o755)


def test_unusable_data_leaves_nothing(tmp_path):
    (tmp_path / "lab" / "a").mkdir(parents=True)
    with pytest.raises(DataError):
        train(tmp_path / "lab", tmp_path / "model", QUICK)
    assert [p.name for p in tmp_path.iterdir()] == ["lab"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda p: (p / "model.keras").unlink(), "has no model.keras"),
        (lambda p: (p / "card.json").unlink(), "has no card.json"),
        (lambda p: (p / "model.keras").write_bytes(b"PK not a zip"), "can't be loaded"),
        (
            lambda p: (p / "card.json").write_text(
                (p / "card.json").read_text().replace('"width": 16', '"width": 24')
            ),
            "card.json says",
        ),
    ],
)
def test_damaged_model_folders_are_refused(quick, tmp_path, break_it, message):
    folder = tmp_path / "model"
    shutil.copytree(quick[1], folder)
    break_it(folder)
    with pytest.raises(ModelError, match=message) as error:
        load_model(folder)
    assert "\n" not in str(error.value)


@pytest.mark.meters
@pytest.mark.long
def test_the_meters_reach_97_percent(meters, tmp_path):
    result = train(meters / "lab", tmp_path / "model")
    assert result.lab.accuracy >= 0.97
    assert result.verdict is not None
    assert not result.verdict.overfits


def test_a_model_folder_among_the_images_is_refused(few, tmp_path):
    lab = shutil.copytree(few, tmp_path / "lab")
    for place in (lab, lab / "model", lab / "0" / "model"):
        with pytest.raises(OutputError, match=r"whose images are read: .* choose another -o"):
            train(lab, place, TrainOptions(**QUICKER))
    for given in ({"field": lab}, {"also": (lab,)}):
        with pytest.raises(OutputError, match="whose images are read"):
            train(few, lab / "model", TrainOptions(**{**QUICKER, **given}))
    assert not list(lab.rglob("model*"))


def test_a_class_that_is_not_rare_is_refused_before_the_training(few, tmp_path):
    def no_step(what: str, done: int, total: int) -> None:
        assert not what.startswith("epoch")

    for name in ("banana", "rarest", "0"):
        options = TrainOptions(**{**QUICKER, "synthesize": name})
        with pytest.raises(ModelError, match=f"--synthesize is '{name}'"):
            train(few, tmp_path / "m", options, progress=no_step)


@pytest.mark.parametrize("change", ["more", "fewer", "other"])
def test_images_that_change_while_the_side_is_chosen_are_no_training(few, tmp_path, change):
    """The split names rows: in another list of files they would be other images."""
    lab = shutil.copytree(few, tmp_path / "lab")
    task = read_task(lab, TrainOptions(**QUICKER), None, None)
    assert task.at_side(24).shape == (24, 24, 3)
    first, second = sorted((lab / "0").glob("*.png"))[:2]
    if change == "more":
        (lab / "a new class").mkdir()
        for path in (lab / "0").iterdir():
            cv2.imwrite(str(lab / "a new class" / path.name), cv2.imread(str(path))[::-1, ::-1])
    elif change == "fewer":
        first.unlink()
    else:
        first.write_bytes(second.read_bytes())
    with pytest.raises(DataError, match=r"changed while it was read: \d+ images before, \d+ now"):
        task.at_side(24)


def test_the_first_step_counts_in_the_time_given():
    """It compiles the graph, which can take a third of a short run."""
    schedule = Schedule(TrainOptions(epochs=100, seconds=20.0), 10)
    schedule.clock_start -= 15  # as if the first step had taken so long
    schedule.on_train_batch_end(0)
    schedule.clock_start -= 4
    assert 0.7 < schedule._time_used() < 1
    schedule.clock_start -= 2
    assert schedule._time_used() > 1


def test_a_short_training_is_no_reason_to_check_no_label():
    probe = TrainOptions(network="efficientnet-lite0", width=96, height=96, fine_tune=False)
    assert _check_seconds(probe, 200) == 3.0
    assert _check_seconds(replace(probe, seconds=10.0), 200) == 1.0
    assert _check_seconds(replace(probe, fine_tune=True, epochs=20), 2000) > 3.0


def test_a_training_says_nothing_of_its_own_on_standard_error(few, tmp_path):
    """In a process of its own: TensorFlow complains once, when it looks for a graphics card."""
    words = ["train", few, "-o", tmp_path / "m", "--width", 16, "--height", 16, "--epochs", 1]
    words += ["--network", "two_layers:build", "--no-label-check", "--quiet"]
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "edgecnn", *map(str, words)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stderr == ""
