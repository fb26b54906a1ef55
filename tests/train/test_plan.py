"""The plan: network, input, augmentation and length from the images, without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgecnn.errors import MissingRuntimeError, OptionError
from edgecnn.model.networks import efficientnet_lite
from edgecnn.train.options import TrainOptions
from edgecnn.train.plan import SIDES, make_plan, training_seconds
from edgecnn.train.reports import Clock, Reports


def write_images(root: Path, width: int, height: int, count: int = 24) -> Path:
    rng = np.random.default_rng(0)
    for k in range(count):
        path = root / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (height, width, 3), np.uint8))
    return root


@pytest.fixture
def weights(monkeypatch):
    """The pretrained weights are installed, wherever the test runs."""
    monkeypatch.setattr(efficientnet_lite, "package_weights", lambda: Path("weights.pth"))


@pytest.fixture
def photographs(tmp_path) -> Path:
    return write_images(tmp_path / "photographs", 320, 240)


def test_crops_get_the_built_in_network_with_the_recipe_made_for_them(tmp_path, weights):
    plan = make_plan(write_images(tmp_path / "lab", 36, 44), TrainOptions())
    options = plan.options
    assert (options.network, options.width, options.height) == ("built-in", 40, 48)
    assert (options.strength, options.most_epochs, options.highest_rate) == ("default", 70, 3e-3)
    assert options.augmentation.geometry.flip == 0
    assert plan.sides == ()
    assert "crops" in plan.to_text()
    assert "--network efficientnet-lite0" in plan.to_text()


def test_photographs_get_a_pretrained_network(photographs, weights):
    plan = make_plan(photographs, TrainOptions())
    assert plan.options.network == "efficientnet-lite0"
    assert plan.sides == SIDES
    assert (plan.options.strength, plan.options.augmentation.geometry.flip) == ("light", 0.5)
    text = plan.to_text()
    assert "photographs of about 320x240 px" in text
    for said in ("efficientnet-lite0", "160 or 224 px", "light, mirrored", "probe first", "epochs"):
        assert said in text


def test_without_their_weights_photographs_get_the_built_in_network(photographs, monkeypatch):
    def absent():
        raise MissingRuntimeError("not installed")

    monkeypatch.setattr(efficientnet_lite, "package_weights", absent)
    plan = make_plan(photographs, TrainOptions())
    assert plan.options.network == "built-in"
    assert ".[backbones]" in plan.to_text()
    with pytest.raises(OptionError, match="--no-fine-tune needs a pretrained network"):
        make_plan(photographs, TrainOptions(fine_tune=False))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epochs": 3}, "--epochs is of fine-tuning, which --no-fine-tune leaves out"),
        ({"learning_rate": 1e-3}, "--learning-rate is of fine-tuning"),
        ({"without": ("invert",)}, "--without invert leaves out .* not in --augment light"),
        ({"augment": "none", "without": ("noise",)}, "--without noise .* not in --augment none"),
    ],
)
def test_what_would_change_nothing_is_refused(photographs, weights, change, said):
    with pytest.raises(OptionError, match=said):
        make_plan(photographs, TrainOptions(fine_tune=False, **change))


def test_operations_that_are_there_may_be_left_out(photographs, weights):
    added = {"add_augmentation": ("augmix",), "without": ("posterization", "flip", "noise")}
    assert make_plan(photographs, TrainOptions(**added)).options.without == added["without"]
    with pytest.raises(OptionError, match="--without sharpness"):
        make_plan(photographs, TrainOptions(**{**added, "without": ("sharpness",)}))


def test_an_option_of_the_built_in_network_asks_for_it(photographs, weights):
    plan = make_plan(photographs, TrainOptions(network_width=0.5))
    assert plan.options.network == "built-in"
    assert "--network-width" in plan.to_text()


def test_images_are_not_enlarged_and_a_short_run_takes_a_small_input(tmp_path, weights):
    lab = write_images(tmp_path / "lab", 150, 130)
    named = TrainOptions(network="efficientnet-lite0")
    assert make_plan(lab, named).sides == (96, 128)
    large = write_images(tmp_path / "large", 256, 256, count=400)
    assert make_plan(large, TrainOptions()).sides == SIDES
    assert make_plan(large, TrainOptions(seconds=4)).sides == (96, 128)
    given = make_plan(large, TrainOptions(width=128, height=160))
    assert (given.options.width, given.options.height, given.sides) == (128, 160, ())


def test_a_larger_input_is_tried_where_a_small_one_was_asked_for(tmp_path, weights):
    lab = write_images(tmp_path / "lab", 200, 170, count=100)

    def larger(side: int, **more: float) -> int:
        return make_plan(lab, TrainOptions(width=side, height=side, **more)).larger

    assert [larger(side) for side in (64, 96, 160, 224)] == [0, 160, 0, 0]
    assert (larger(96, seconds=60), larger(96, seconds=1)) == (160, 128)
    tiny = make_plan(lab, TrainOptions(width=64, height=64))
    assert tiny.options.network == "built-in"
    assert "200x170 px" in tiny.why
    many = write_images(tmp_path / "many", 200, 170, count=1000)
    epochs = [make_plan(many, TrainOptions(width=w, height=w)).options.epochs for w in (96, 160)]
    assert epochs == [15, 10]  # a larger input is imitated, which takes longer


def test_without_a_probe_nothing_is_left_to_choose(photographs, weights):
    scratch = TrainOptions(network="efficientnet-lite0", weights="none")
    for plan in (
        make_plan(photographs, scratch),
        make_plan(photographs, TrainOptions(), alone=False),
    ):
        assert plan.sides == (224,)
        assert "224x224 px" in plan.to_text()
    assert make_plan(photographs, scratch).options.most_epochs == 70


def test_what_is_given_is_kept(photographs, weights):
    asked = TrainOptions(epochs=3, augment="default", mirror="off", learning_rate=0.01)
    options = make_plan(photographs, asked).options
    assert (options.most_epochs, options.strength, options.highest_rate) == (3, "default", 0.01)
    assert options.augmentation.geometry.flip == 0


def test_planning_loads_no_tensorflow(photographs):
    code = (
        "import sys, pathlib, edgecnn.train.plan as p\n"
        f"plan = p.make_plan(pathlib.Path({str(photographs)!r}), p.TrainOptions())\n"
        "plan.to_text()\n"
        "print('tensorflow' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_the_clock_leaves_time_for_what_comes_after(monkeypatch):
    monkeypatch.setattr("edgecnn.train.reports.monotonic", lambda: 130.0)
    assert Clock(None, 100.0).left() is None
    assert Clock(60.0, 100.0).left(reserve=10.0) == 20.0
    assert Clock(60.0, 100.0).left(reserve=50.0) == 1.0
    assert [Clock(s, 100.0).overrun() for s in (None, 60.0, 29.5)] == [None, None, None]
    assert "It took 30 s, more than --seconds 20: " in (Clock(20.0, 100.0).overrun() or "")


def test_an_epoch_is_a_line_where_nobody_draws_it():
    lines, steps = [], []
    what = "epoch: loss 0.310, validation 93.1 %, 12 s"
    Reports(None, lines.append).step(what, 1, 2)
    Reports(lambda *step: steps.append(step), lines.append).step(what, 1, 2)
    assert lines == ["epoch 1 of 2: loss 0.310, validation 93.1 %, 12 s"]
    assert steps == [(what, 1, 2)]


def test_a_training_takes_longer_with_more_images_pixels_and_epochs_and_no_longer_than_allowed():
    crops = TrainOptions(width=32, height=32)
    assert training_seconds(crops, 2000) == 2 * training_seconds(crops, 1000)
    assert training_seconds(TrainOptions(width=64, height=32), 1000) > training_seconds(crops, 1000)
    short = TrainOptions(width=32, height=32, epochs=2)
    assert training_seconds(short, 1000) < training_seconds(crops, 1000) / 10
    assert training_seconds(TrainOptions(width=32, height=32, seconds=5), 9000) == 5
    probe = TrainOptions(network="efficientnet-lite0", width=224, height=224, fine_tune=False)
    assert training_seconds(probe, 1000) == pytest.approx(12)


def test_a_limit_for_the_input_stays_with_sides_to_choose_from_and_goes_with_no_given_one(
    photographs, weights
):
    plan = make_plan(photographs, TrainOptions(max_ms=4.0))
    assert len(plan.sides) > 1
    assert plan.options.max_ms == 4.0
    with pytest.raises(OptionError, match="--max-ms chooses the input, but --width 96 gives it"):
        make_plan(photographs, TrainOptions(max_ms=4.0, width=96, height=96))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (TrainOptions(network="efficientnet-lite0", l1=1e-4), "--l1"),
        (TrainOptions(network="efficientnet-lite0", network_width=2.0), "--network-width"),
        (TrainOptions(network="mine:build", dropout=0.3), "--dropout"),
        (TrainOptions(network="built-in", max_ms=4.0), "--max-ms"),
        (TrainOptions(imbalance_tau=0.5), "--imbalance-tau"),
        (TrainOptions(imbalance="class_weights", imbalance_tau=0.5), "--imbalance-tau"),
        (TrainOptions(imbalance="balanced_softmax", imbalance_beta=0.9), "--imbalance-beta"),
        (TrainOptions(synthesis_steps=5), "--synthesis-steps"),
    ],
)
def test_an_option_that_the_training_would_not_use_is_refused(photographs, weights, options, named):
    with pytest.raises(OptionError, match=f"^{named} "):
        make_plan(photographs, options)
