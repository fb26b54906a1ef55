"""Rare classes: what each option weighs, and what it does for a class cut to a twentieth."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from edgecnn.errors import DataError, ModelError, OptionError
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import load_model
from edgecnn.train.assess import break_down
from edgecnn.train.fitting.batches import Examples
from edgecnn.train.fitting.fit_network import fit_network
from edgecnn.train.fitting.imbalance import (
    adjust_scores,
    class_weights,
    implied_prior,
    sampling_order,
    training_loss,
    validation_weights,
)
from edgecnn.train.train import TrainOptions, train

CLASSES = np.repeat([0, 1, 2], [900, 90, 9])
BALANCING = ("class_weights", "balanced_sampling", "balanced_softmax", "logit_adjustment")


def options(imbalance: str, **more: object) -> TrainOptions:
    return TrainOptions(imbalance=imbalance, **more)


def network(*end: keras.layers.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = image = keras.Input((4, 4, 3))
    for layer in (layers.Rescaling(1 / 255), layers.Flatten(), *end):
        x = layer(x)
    return keras.Model(image, x)


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)


def test_balanced_sampling_draws_classes_equally_often():
    order = sampling_order(CLASSES, 3, options("balanced_sampling")).take(3000)
    drawn = np.bincount([CLASSES[int(k)] for k in order])
    assert drawn / 3000 == pytest.approx(np.full(3, 1 / 3), abs=0.03)


def test_weights_keep_the_size_of_the_loss_and_favour_rare_classes():
    for imbalance in ("class_weights", "effective_number"):
        weights = class_weights(CLASSES, 3, options(imbalance))
        assert np.mean([weights[k] for k in CLASSES]) == pytest.approx(1)
        assert weights[0] < weights[1] < weights[2]


def test_the_effective_number_goes_from_no_weights_to_class_weights():
    full = class_weights(CLASSES, 3, options("class_weights"))
    none, some, nearly = (
        class_weights(CLASSES, 3, options("effective_number", imbalance_beta=beta))
        for beta in (0, 0.99, 0.999999)
    )
    assert list(none.values()) == pytest.approx([1, 1, 1])
    assert list(nearly.values()) == pytest.approx(list(full.values()), rel=1e-3)
    # Cui et al. 2019, equation 2: 900 images that are worth 100 times (1 - 0.99^900) = 99.99.
    assert some[1] / some[0] == pytest.approx((1 - 0.99**900) / (1 - 0.99**90))


def test_classes_without_images_weigh_nothing():
    for imbalance in ("class_weights", "effective_number"):
        assert class_weights(np.array([0, 0, 2]), 4, options(imbalance))[3] == 0


@pytest.mark.parametrize("imbalance", ["class_weights", "balanced_sampling", "effective_number"])
def test_a_network_that_names_the_commonest_class_only_has_the_higher_validation_loss(imbalance):
    val = np.repeat([0, 1, 2], [60, 5, 2])  # other shares than in training
    weights = validation_weights(CLASSES, val, 3, options(imbalance))
    assert weights[val].mean() == pytest.approx(1, rel=1e-5)
    common, fair = np.array([0.98, 0.01, 0.01]), np.full(3, 1 / 3)
    losses = [float((-np.log(one) * weights)[val].mean()) for one in (common, fair)]
    assert losses[0] > losses[1]


def test_what_balances_the_loss_itself_weighs_no_validation_image():
    for imbalance in ("none", "balanced_softmax", "logit_adjustment"):
        assert validation_weights(CLASSES, CLASSES, 3, options(imbalance)) is None


def test_the_epoch_is_chosen_by_the_loss_that_training_lowers():
    """Once by the share of the right answers, which a network has that knows one class only."""
    classes = np.repeat([0, 1], [38, 2])
    images = np.zeros((40, 4, 4, 3), np.uint8)
    model = network(layers.Dense(2, "softmax"))
    shares = np.array([0.95, 0.05])
    model.layers[-1].set_weights([np.zeros((48, 2)), np.log(shares)])
    chosen = options("class_weights", epochs=1, learning_rate=1e-6, augment="none")
    seen = Examples(images, classes)
    history = fit_network(model, seen, seen, chosen, keep_last=True).history
    assert history["val_loss"] == pytest.approx([-np.log(shares).mean()], rel=1e-2)


def test_balanced_softmax_adds_the_log_share_to_the_logits():
    logits = np.random.default_rng(0).normal(0, 3, (6, 3)).astype(np.float32)
    truth = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    loss = training_loss(CLASSES, 3, options("balanced_softmax"))(truth, keras.ops.softmax(logits))
    shifted = logits + np.log(np.bincount(CLASSES) / len(CLASSES))
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    assert float(loss) == pytest.approx(-(truth * log_softmax).sum(axis=1).mean(), rel=1e-4)


def test_balanced_softmax_with_tau_0_is_plain_cross_entropy():
    scores = keras.ops.softmax(np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32))
    truth = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    for smoothing in (0.0, 0.1):
        same = {"imbalance_tau": 0.0, "label_smoothing": smoothing}
        balanced = training_loss(CLASSES, 3, options("balanced_softmax", **same))
        plain = training_loss(CLASSES, 3, options("none", **same))
        assert float(balanced(truth, scores)) == pytest.approx(float(plain(truth, scores)))


def test_balanced_softmax_teaches_a_class_that_the_network_is_sure_against():
    import tensorflow as tf

    logits = tf.Variable([[40.0, 0.0, 0.0]])
    loss = training_loss(CLASSES, 3, options("balanced_softmax"))
    with tf.GradientTape() as tape:
        value = loss(np.float32([[0, 0, 1]]), tf.nn.softmax(logits))
    assert float(tape.gradient(value, logits)[0, 2]) == pytest.approx(-1, abs=1e-3)


@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_logit_adjustment_divides_scores_by_the_class_shares(tau):
    ends = [(layers.Dense(3, "softmax"),), (layers.Dense(3), layers.Softmax())]
    for end in ends:
        model = network(*end)
        plain = keras_scores(model, pictures())
        adjust_scores(model, CLASSES, options("logit_adjustment", imbalance_tau=tau))
        shares = np.bincount(CLASSES) / len(CLASSES)
        expected = plain / shares**tau
        expected /= expected.sum(axis=1, keepdims=True)
        assert keras_scores(model, pictures()) == pytest.approx(expected, abs=1e-5)


def test_scores_can_be_brought_back_to_the_training_shares_by_the_implied_prior():
    for tau in (0.3, 1.0):
        chosen = options("logit_adjustment", imbalance_tau=tau)
        model = network(layers.Dense(3, "softmax"))
        plain = keras_scores(model, pictures())
        adjust_scores(model, CLASSES, chosen)
        shares = np.bincount(CLASSES) / len(CLASSES)
        back = keras_scores(model, pictures()) * shares / implied_prior(CLASSES, 3, chosen)
        assert back / back.sum(axis=1, keepdims=True) == pytest.approx(plain, abs=1e-5)


def test_the_implied_prior_is_that_of_training_unless_the_classes_were_balanced():
    shares = np.bincount(CLASSES) / len(CLASSES)
    assert implied_prior(CLASSES, 3, options("none")) == pytest.approx(shares)
    for imbalance in BALANCING:
        assert implied_prior(CLASSES, 3, options(imbalance)) == pytest.approx(np.full(3, 1 / 3))
    between = implied_prior(CLASSES, 3, options("effective_number", imbalance_beta=0.99))
    assert shares[2] < between[2] < 1 / 3


@pytest.mark.parametrize(
    "end",
    [
        (layers.Dense(3, "softmax", use_bias=False),),
        (layers.Dense(3, "sigmoid"), layers.Softmax()),
        (layers.Reshape((4, 12)), layers.Conv1D(3, 4), layers.Flatten(), layers.Softmax()),
    ],
    ids=["no bias", "sigmoid first", "convolution"],
)
def test_a_network_that_takes_no_adjustment_is_refused_with_another_way(end):
    model = network(*end)
    with pytest.raises(ModelError, match="balanced_softmax") as error:
        adjust_scores(model, CLASSES, options("logit_adjustment"))
    assert "\n" not in str(error.value)
    adjust_scores(model, CLASSES, options("balanced_softmax"))


def test_accuracy_is_told_by_class_and_group_the_worst_first():
    classes = ["a"] * 20 + ["b"] * 20
    sites = ["x", "y"] * 19 + [None, None]
    correct = np.array([True] * 20 + [False] * 5 + [True] * 15)
    by_class, by_site = break_down(classes, {"site": sites}, correct, np.arange(40))
    assert list(by_class.tallies) == ["b", "a"]
    assert by_class.worst.name == "b"
    assert by_class.worst.points == pytest.approx(25)
    assert by_site.unknown == 2
    assert sum(t.total for t in by_site.tallies.values()) == 38
    assert "25.0 points" in by_class.to_text()
    assert "2 test images have no site" in by_site.to_text()
    assert by_class.to_json()["worst"]["gap_low"] > 0
    (alike,) = break_down(classes, {}, np.ones(40, bool), np.arange(40))
    assert "No class with 10 test images is behind the others." in alike.to_text()


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    import _bench_imbalance

    yield _bench_imbalance
    sys.modules.pop("_bench_imbalance")


def test_a_class_cut_to_a_twentieth_is_recognized_again(bench, digits_folder, tmp_path):
    """The table of `tools/bench imbalance`, in small."""
    for label in "12358":
        (tmp_path / label).symlink_to(digits_folder / label)
    quick = TrainOptions(
        width=16,
        height=16,
        epochs=6,
        network="two_layers:build",
        augment="none",
        batch_size=32,
        label_check=False,
    )
    methods = ("none", "class_weights", "balanced_sampling")
    rows = {r.method: r for r in bench.measure(tmp_path, ["3"], 0.05, quick, methods)}
    assert rows["none"].recall_gain == (0, 0, 0)
    for method in methods[1:]:
        mean, low, high = rows[method].recall_gain
        assert mean >= 10
        assert low <= mean <= high
        assert rows[method].overall_gain[0] > -1
        assert method in bench.as_table(list(rows.values()))


@pytest.fixture(scope="module")
def few_days(tmp_path_factory, digits_folder):
    """Two classes of 40 and 20 digits, and a manifest of their days."""
    root = tmp_path_factory.mktemp("days") / "lab"
    rows = ["path,device,day"]
    for label, count in (("0", 40), ("1", 20)):
        (root / label).mkdir(parents=True)
        for k, path in enumerate(sorted((digits_folder / label).glob("*.png"))[:count]):
            (root / label / path.name).write_bytes(path.read_bytes())
            rows.append(f"{label}/{path.name},camera {k % 10},{'mon' if k % 2 else 'tue'}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize("imbalance", ["balanced_softmax", "logit_adjustment"])
def test_the_card_says_what_the_scores_assume_and_who_fares_worst(few_days, tmp_path, imbalance):
    chosen = options(
        imbalance,
        width=16,
        height=16,
        epochs=1,
        network_width=0.25,
        augment="none",
        near_duplicate=1.0,
        label_check=False,
        manifest=few_days / "manifest.csv",
        by=("day",),
    )
    result = train(few_days, tmp_path / "model", chosen)
    model, card = load_model(tmp_path / "model")
    assert card.prior == pytest.approx((0.5, 0.5))
    counts = card.training["class_counts"]
    assert counts["0"] > 1.5 * counts["1"] > 0
    assert [layer.name for layer in model.layers][-1] == "scores"
    assert (model.loss if model.compiled else None) is None
    told = card.training["accuracy_by"]
    assert list(told) == ["class", "device", "day"]
    for column in told.values():
        tallies = column["tallies"].values()
        assert sum(t["total"] for t in tallies) == card.lab.tally.total
        assert sum(t["correct"] for t in tallies) == card.lab.tally.correct
        assert [t["accuracy"] for t in tallies] == sorted(t["accuracy"] for t in tallies)
    assert "day" in result.to_text()
    never = [label for label, one in told["class"]["tallies"].items() if not one["correct"]]
    missing = [one["label"] for one in card.training["not_learned"]]
    assert never == missing[: len(never)]
    assert result.to_text().startswith("Not learned") == bool(missing)


def test_columns_without_a_manifest_are_refused():
    with pytest.raises(OptionError, match="--manifest"):
        options("none", by=("day",))


def test_a_column_that_the_manifest_lacks_is_named_before_the_training(few_days, tmp_path):
    chosen = options("none", manifest=few_days / "manifest.csv", by=("site",))
    with pytest.raises(DataError, match="expected 'path' and 'site'"):
        train(few_days, tmp_path / "model", chosen)
    assert not (tmp_path / "model").exists()
