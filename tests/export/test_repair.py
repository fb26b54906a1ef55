"""Planted faults are found without labels, and repaired or refused with the reason."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import cv2
import helpers_faults as faults
import numpy as np
import pytest

from edgecnn.bundle.artifacts import FULL_INTEGER, INT16, MIXED, ONNX_FULL_INTEGER
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import CalibrationError
from edgecnn.export.calibration.images import load_calibration
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.recipe import Recipe
from edgecnn.export.export import ExportOptions, export
from edgecnn.export.readback.kinds import read_kind
from edgecnn.export.repair.equalize import correct_biases, equalize, rounded_kernel
from edgecnn.export.repair.fold import WEIGHTED, fold
from edgecnn.export.repair.ladder import repair
from edgecnn.export.repair.pixels import fix_pixels
from edgecnn.export.repair.workshop import make_workshop
from edgecnn.model.predict import keras_scores
from edgecnn.render.table import table

DEFAULTS = ExportOptions()
SPEC = InputSpec(width=faults.SIDE, height=faults.SIDE)
REFUSED = "refused without --repair"
# name: (network, change of the network, change of the images, refused as it is, per channel)
FAULTS = {
    "flat grey": ("plain", None, faults.flat_grey, True, True),
    "8 dim images": ("plain", None, faults.eight_dim, True, True),
    "night only": ("plain", None, faults.night, False, True),
    "scaled to [0, 1]": ("plain", None, faults.zero_to_one, True, True),
    "divided by 8": ("plain", None, faults.an_eighth, False, True),
    "red and blue swapped": ("plain", None, faults.swapped, False, True),
    "a layer times 1000": ("deep", faults.scaled_layer, None, False, True),
    "depthwise per tensor": ("deep", faults.uneven_channels, None, False, False),
}


@pytest.fixture(scope="module")
def subjects(once, deep_subject):
    plain = faults.trained(once, "plain", faults.plain_network, 6)
    return {"plain": plain, "deep": deep_subject}


@pytest.fixture(scope="module")
def branched(once):
    subject = faults.trained(once, "branched", faults.branched_network, 4)
    return subject.altered(faults.scaled_layer)


def climb(subject, images, target=FULL_INTEGER, refusal=None, per_channel=True, options=DEFAULTS):
    lab = subject.lab
    shop, makers = make_workshop(lab, images, options, refusal), Makers(lab.card)
    return repair(shop, makers.of(target), Recipe(target, lab.network, shop.images, per_channel))


def planted(subjects, name):
    kind, change, images, refused, per_channel = FAULTS[name]
    subject = subjects[kind].altered(change) if change else subjects[kind]
    field = images(subject.field) if images else subject.field
    return subject, field, REFUSED if refused else None, per_channel


@pytest.fixture(scope="module")
def repaired(subjects):
    """Each fault once in TFLite; `pytest -s` shows the table."""
    found = {}
    for name in FAULTS:
        subject, field, refusal, per_channel = planted(subjects, name)
        found[name] = climb(subject, field, FULL_INTEGER, refusal, per_channel)
    rows = [
        (
            name,
            f"{100 * r.steps[0].verdict.agreement:.1f} %",
            f"{r.steps[0].verdict.drop_points:+.2f}",
            next((s.step for s in reversed(r.steps) if s.kept), ""),
            f"{100 * r.verdict.agreement:.1f} %",
            f"{r.verdict.drop_points:+.2f}",
            "repaired" if r.ok else "refused",
        )
        for name, r in found.items()
    ]
    headers = ("fault", "agrees", "drop", "repaired by", "agrees", "drop", "")
    print("\n" + table(headers, rows))
    return found


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_without_labels_and_repaired(repaired, name):
    found = repaired[name]
    assert found.evidence
    assert found.ok, found.to_text()
    assert found.verdict.drop_points <= 0.5
    assert read_kind(found.data) == "full_integer"


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault[3]])
def test_a_set_that_counts_as_refused_above_is_refused_by_its_pixels(subjects, name, tmp_path):
    subject, images, _, _ = planted(subjects, name)
    for k, tensor in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{k:03d}.png"), tensor[..., ::-1])
    with pytest.raises(CalibrationError, match=r"flat|usable"):
        load_calibration(tmp_path, SPEC, faults.LABELS, lambda t: keras_scores(subject.network, t))


def test_a_healthy_file_is_left_as_it_is(subjects):
    for subject in subjects.values():
        found = climb(subject, subject.field)
        assert found.healthy, found.to_text()
        assert found.warnings() == []


def test_no_label_takes_part_in_the_finding(subjects, repaired):
    subject, field, refusal, _ = planted(subjects, "night only")
    blind = replace(subject.test, labels=np.zeros_like(subject.test.labels))
    found = climb(replace(subject, test=blind), field, refusal=refusal)
    assert found.evidence == repaired["night only"].evidence


@pytest.mark.parametrize("name", ["night only", "a layer times 1000", "depthwise per tensor"])
def test_the_same_ladder_repairs_onnx(subjects, name):
    subject, field, refusal, per_channel = planted(subjects, name)
    found = climb(subject, field, ONNX_FULL_INTEGER, refusal, per_channel)
    assert found.evidence
    assert found.ok, found.to_text()
    assert read_kind(found.data) == "full_integer"


def test_what_no_step_repairs_is_refused_and_no_step_makes_it_worse(branched):
    options = ExportOptions(repair=True, integer_only=True)
    found = climb(branched, branched.field, options=options)
    assert not found.ok
    assert "branch_" in found.warnings()[0]
    assert "expected 97 %" in found.warnings()[0]
    assert read_kind(found.data) == "full_integer"
    kept = [step.verdict for step in found.steps if step.kept]
    assert all(b.agreement >= a.agreement for a, b in pairwise(kept))
    assert found.verdict == kept[-1]
    left_out = {step.step: step.what for step in found.steps if step.verdict is None}
    assert "Edge TPU" in left_out["float layers"]
    assert "Edge TPU" in left_out["16-bit activations"]


def test_layers_left_in_float_and_16_bits_go_into_files_that_say_so(branched):
    found = climb(branched, branched.field)
    before, after = found.steps[0].verdict, found.verdict
    assert after.agreement > before.agreement + 0.5
    expected = {
        MIXED.file: "hybrid/float32+int8",
        INT16.file: "int16_activations",
    }
    assert read_kind(found.data) == expected[found.file]
    mixed = [step for step in found.steps if step.step == "float layers" and step.kept]
    assert "branch_" in mixed[0].what


@pytest.mark.parametrize("kind", ["plain", "deep"])
def test_folding_and_equalizing_keep_the_float_function(subjects, kind):
    subject = subjects[kind]
    network = fold(subject.network)
    assert not any("norm" in w.path for w in network.weights)
    tensors = subject.test.tensors.astype(np.float32)
    assert np.abs(network.predict_on_batch(tensors) - subject.test.keras_scores).max() < 1e-4
    kernels = [w.numpy().copy() for w in network.weights]
    assert equalize(network, subject.field) >= 2
    assert any((a != b.numpy()).any() for a, b in zip(kernels, network.weights, strict=True))
    scores = network.predict_on_batch(tensors)
    assert np.abs(scores - subject.test.keras_scores).mean() < 2e-3


def test_corrected_biases_give_the_rounded_network_its_mean_outputs_back():
    """A large kernel makes the step of all others coarse: rounding shifts what they give."""
    import keras

    source = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 1)(source)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(source, keras.layers.Dense(3)(x))
    rng = np.random.default_rng(0)
    for layer in (network.layers[1], network.layers[-1]):
        kernel, bias = layer.get_weights()
        kernel = rng.normal(0, 1, kernel.shape).astype(np.float32)
        kernel.flat[0] = 60
        layer.set_weights([kernel, bias])
    images = rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    weights = network.get_weights()

    def means() -> np.ndarray:
        return np.asarray(network(images.astype(np.float32))).mean(axis=0)

    wanted = means()
    _round(network)
    shift = np.abs(means() - wanted)
    network.set_weights(weights)
    assert correct_biases(network, images, per_channel=False) == 2
    _round(network)
    assert np.abs(means() - wanted).max() < 0.01 * shift.max()


def test_biases_of_a_network_with_operations_of_its_own_are_corrected():
    """As in MobileNetV3, whose "multiply" a fresh Keras would give to the next one too."""
    import keras

    x = source = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(x)
    x = keras.ops.multiply(x, keras.ops.sigmoid(keras.ops.mean(x, axis=(1, 2), keepdims=True)))
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(source, keras.layers.Dense(3, name="scores")(x))
    keras.utils.clear_session()  # names are counted anew, as where a network was just loaded
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    assert correct_biases(network, images) == 2


def _round(network) -> None:
    for layer in network.layers:
        if type(layer).__name__ in WEIGHTED:
            layer.set_weights([rounded_kernel(layer, False), *layer.get_weights()[1:]])


def test_pixels_that_look_like_the_labs_are_left_alone(subjects):
    subject = subjects["plain"]

    def predict(tensors):
        return subject.network.predict_on_batch(tensors.astype(np.float32))

    assert fix_pixels(subject.field, subject.test.tensors, predict) is None
    dimmer = (subject.field * 0.7).astype(np.uint8)
    assert fix_pixels(dimmer, subject.test.tensors, predict) is None


def test_an_export_repairs_a_set_that_it_would_refuse_and_writes_what_it_did(
    tmp_path, small_model, small_field
):
    dim = tmp_path / "dim"
    dim.mkdir()
    for path in sorted(small_field.iterdir())[:8]:
        cv2.imwrite(str(dim / path.name), decode(path.read_bytes()) // 6)
    options = ExportOptions(formats=("tflite-float32", "tflite-full-integer"))
    with pytest.raises(CalibrationError, match="expected at least 10"):
        export(small_model, dim, tmp_path / "no.edgecnn", options)
    result = export(small_model, dim, tmp_path / "b.edgecnn", replace(options, repair=True))
    assert result.ok
    assert [a.file for a in result.artifacts] == [
        "model_float32.tflite",
        "model_full_integer_quant.tflite",
    ]
    assert result.drop(result.artifacts[1]) <= 0.5
    assert any("expected at least 10" in warning for warning in result.warnings)
    bundle = Bundle.open(result.bundle)
    written = json.loads(bundle.read("quantization.json"))
    assert written["repair"] == result.to_json()["repair"]
    assert written["repair"][0]["evidence"]
    layers = written["layers"]["model_full_integer_quant.tflite"]["layers"]
    assert min(layer["snr_db"] for layer in layers) > 10
    assert bundle.read("layers.png").startswith(b"\x89PNG")
