"""A training that is interrupted keeps its best weights, and goes on."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from some_images import some_of

from edgecnn.cli.main import app
from edgecnn.errors import ModelError, OutputError
from edgecnn.model.read import load_model
from edgecnn.train.kept_training import KeptTraining
from edgecnn.train.task import Task
from edgecnn.train.train import TrainOptions, train

OPTIONS = {
    "width": 16,
    "height": 16,
    "epochs": 4,
    "seed": 3,
    "label_check": False,
    "network": "two_layers:build",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory, digits_folder):
    """30 digits of each of two classes."""
    return some_of(digits_folder, tmp_path_factory.mktemp("resume") / "lab", 30, "01")


def interrupted(lab: Path, model: Path, **options: object) -> str:
    """Train until the third epoch ends; returns what is said."""

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("epoch") and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        train(lab, model, TrainOptions(**OPTIONS, **options), progress=stop)
    return str(stopped.value)


@pytest.fixture(scope="module")
def partial(tmp_path_factory, lab):
    """The state of a training after two epochs, and what was said."""
    folder = tmp_path_factory.mktemp("partial")
    said = interrupted(lab, folder / "model")
    assert [path.name for path in folder.iterdir()] == ["model.partial"]
    return folder / "model.partial", said


def about(place: Path) -> dict[str, object]:
    with np.load(place) as arrays:
        return json.loads(str(arrays["about"]))


def test_it_says_what_is_kept_and_how_to_go_on(partial, lab):
    place, said = partial
    assert f"up to epoch 2 is kept in {place}" in said
    # What is printed is what was typed, and goes on.
    _, command, *words = shlex.split(said.split("`")[1])
    typed = typer.main.get_command(app).commands[command].make_context(command, words).params
    found = {name: typed[name] for name in (*OPTIONS, "lab", "output", "resume")}
    given = {"lab": lab, "output": place.with_suffix(""), "resume": True}
    assert {k: str(v) for k, v in found.items()} == {
        k: str(v) for k, v in {**OPTIONS, **given}.items()
    }
    assert about(place)["epoch"] == 2


def test_it_goes_on_where_it_ended_counts_the_time_before_and_leaves_no_state(
    partial, lab, tmp_path
):
    with np.load(partial[0]) as arrays:
        parts = dict(arrays)
    state = json.loads(str(parts["about"])) | {"seconds": [1000.0, 2000.0]}
    with (tmp_path / "model.partial").open("wb") as file:
        np.savez(file, **(parts | {"about": np.array(json.dumps(state))}))
    epochs: list[str] = []
    options = TrainOptions(**OPTIONS, resume=True)
    result = train(lab, tmp_path / "model", options, say=epochs.append)
    assert result.epochs == 4
    assert 2000 < result.seconds < 3000
    assert [line[:12] for line in epochs if line.startswith("epoch")] == [
        "epoch 3 of 4",
        "epoch 4 of 4",
    ]
    rows = list(csv.DictReader((tmp_path / "model" / "history.csv").read_text().splitlines()))
    kept = about(partial[0])["history"]
    assert [float(row["val_loss"]) for row in rows[:2]] == kept["val_loss"]
    assert len({row["learning_rate"] for row in rows}) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_it_ends_with_the_best_weights_so_far(partial, lab, tmp_path, monkeypatch):
    """Also where the label check, which reads fewer images for fewer epochs, says otherwise."""

    def settle(task: Task) -> Task:
        return replace(task, options=replace(task.options, without=("invert",)))

    monkeypatch.setattr("edgecnn.train.train.settle_augmentation", settle)
    shutil.copy(partial[0], tmp_path)
    ended = TrainOptions(**{**OPTIONS, "epochs": 1}, resume=True)
    result = train(lab, tmp_path / "model", ended)
    assert result.epochs == 2
    weights = load_model(tmp_path / "model")[0].get_weights()
    with np.load(partial[0]) as arrays:
        for k, ours in enumerate(weights):
            assert np.array_equal(ours, arrays[f"best_{k}"])
        assert f"best_{len(weights)}" not in arrays


@pytest.mark.parametrize("change", [{"seed": 4}, {"weight_decay": 0.05}])
def test_other_options_are_another_training(partial, lab, tmp_path, change):
    shutil.copy(partial[0], tmp_path)
    with pytest.raises(ModelError, match="other images or other options"):
        train(lab, tmp_path / "model", TrainOptions(**{**OPTIONS, **change}, resume=True))
    assert (tmp_path / "model.partial").exists()


def test_an_input_of_another_size_is_named(partial, lab, tmp_path):
    shutil.copy(partial[0], tmp_path)
    other = TrainOptions(**{**OPTIONS, "width": 24, "height": 20}, resume=True)
    with pytest.raises(
        ModelError, match=r"16x16 px, .* 24x20; add --width 16 --height 16, without"
    ):
        train(lab, tmp_path / "model", other)


def test_other_images_are_another_training(partial, lab, tmp_path):
    shutil.copy(partial[0], tmp_path)
    more = Path(shutil.copytree(lab, tmp_path / "lab"))
    (more / "0" / "new.png").write_bytes(next((lab / "1").iterdir()).read_bytes())
    with pytest.raises(ModelError, match="other images or other options"):
        train(more, tmp_path / "model", TrainOptions(**OPTIONS, resume=True))


@pytest.mark.parametrize("change", ["labels", "names"])
def test_images_with_other_labels_or_names_are_another_training(partial, lab, tmp_path, change):
    """Else the split would be another: seen images would be among those that measure."""
    shutil.copy(partial[0], tmp_path)
    moved = Path(shutil.copytree(lab, tmp_path / "lab"))
    if change == "labels":
        for label, other in ("01", "10"):
            shutil.move(sorted((moved / label).iterdir())[0], moved / other / f"from_{label}.png")
    else:
        images = sorted((moved / "0").iterdir())
        for k, path in enumerate(images):
            path.rename(path.with_name(f"renamed_{len(images) - k:02d}.png"))
    with pytest.raises(ModelError, match="other images or other options"):
        train(moved, tmp_path / "model", TrainOptions(**OPTIONS, resume=True))


def test_nothing_and_a_torn_file_can_not_be_gone_on_with(partial, lab, tmp_path):
    resume = TrainOptions(**OPTIONS, resume=True)
    left = tmp_path / ".model.partial.a_killed"
    left.touch()
    os.utime(left, (0, 0))
    with pytest.raises(ModelError, match=r"model\.partial does not exist"):
        train(lab, tmp_path / "model", resume)
    assert not left.exists()
    (tmp_path / "model.partial").write_bytes(partial[0].read_bytes()[:2000])
    with pytest.raises(ModelError, match="can't be read"):
        train(lab, tmp_path / "model", resume)


def test_weights_of_a_network_whose_code_was_changed_are_refused(partial, lab, tmp_path):
    with np.load(partial[0]) as arrays:
        parts = {name: one[..., :1] if name == "weights_0" else one for name, one in arrays.items()}
    with (tmp_path / "model.partial").open("wb") as file:
        np.savez(file, **parts)
    with pytest.raises(ModelError, match="another network: its code, or edgecnn, was"):
        train(lab, tmp_path / "model", TrainOptions(**OPTIONS, resume=True))


def test_a_folder_in_the_place_of_the_state_is_left_alone(tmp_path):
    place = tmp_path / "model.partial"
    place.mkdir()
    KeptTraining(place, "", False, (16, 16)).discard()
    assert place.is_dir()


def test_averaged_weights_go_on_too(lab, tmp_path):
    interrupted(lab, tmp_path / "model", ema=0.9)
    options = TrainOptions(**OPTIONS, ema=0.9, resume=True)
    kept = about(tmp_path / "model.partial")["history"]
    result = train(lab, tmp_path / "model", options)
    assert result.epochs == 4
    rows = list(csv.DictReader((tmp_path / "model" / "history.csv").read_text().splitlines()))
    assert [float(row["val_loss"]) for row in rows[:2]] == kept["val_loss"]
    # Averages in the place of the weights, or the other way round, would throw it back.
    assert float(rows[2]["loss"]) < float(rows[0]["loss"])
    with pytest.raises(ModelError, match="a new MODEL, which replaces the one there"):
        train(lab, tmp_path / "model", options)


def test_a_disk_without_room_for_the_network_is_noticed_before_it_is_trained(
    lab, tmp_path, monkeypatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1500))
    steps: list[str] = []
    with pytest.raises(OutputError, match=r"No space left for .*model\.partial: about"):
        train(
            *(lab, tmp_path / "model", TrainOptions(**OPTIONS)),
            progress=lambda step, *_: steps.append(step),
        )
    assert not [step for step in steps if step.startswith("epoch")]


@pytest.mark.parametrize("what", ["the place", "the images"])
def test_a_model_that_can_not_be_written_loses_no_training(tmp_path, lab, what):
    images, model = shutil.copytree(lab, tmp_path / "lab"), tmp_path / "model"

    def spoil(step: str, done: int, total: int) -> None:
        if step.startswith("epoch") and done == total:
            if what == "the place":
                model.write_text("another file")
            else:
                images.rename(tmp_path / "elsewhere")

    with pytest.raises(OutputError, match=r"kept in .*model\.partial; .*--resume"):
        train(images, model, TrainOptions(**OPTIONS), progress=spoil)
    if what == "the place":
        model.unlink()
    else:
        (tmp_path / "elsewhere").rename(images)
    result = train(images, model, TrainOptions(**OPTIONS, resume=True))
    assert result.epochs == OPTIONS["epochs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "model"]
