"""Layer by layer: the integer file's tensors against the float file's, in Keras terms."""

from __future__ import annotations

from types import SimpleNamespace

import helpers_faults as faults
import keras
import numpy as np
import pytest

from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ArtifactError
from edgecnn.export.convert.onnx_maker import OnnxMaker
from edgecnn.export.convert.recipe import Recipe
from edgecnn.export.convert.tflite_convert import convert_tflite
from edgecnn.export.convert.tflite_maker import TfliteMaker
from edgecnn.export.readback.layer_names import layer_names
from edgecnn.export.readback.layers import compare_layers, plot_layers
from edgecnn.model.tflite_network import freeze

SPEC = InputSpec(width=faults.SIDE, height=faults.SIDE)
MAKERS = {
    "tflite": TfliteMaker("layers", faults.LABELS, SPEC),
    "onnx": OnnxMaker(faults.LABELS, SPEC),
}
KERNELS = ["stem", "deep_0", "point_0", "deep_1", "point_1", "scores"]


@pytest.fixture(scope="module")
def subject(deep_subject):
    return deep_subject


def report(maker, subject, images):
    recipe = Recipe(maker.full_integer, subject.network, images)
    return maker.layers(recipe, maker.make(recipe), subject.test.tensors)


@pytest.mark.parametrize("name", MAKERS)
def test_a_healthy_file_is_near_float_in_each_layer_and_named_as_in_keras(subject, name):
    found = report(MAKERS[name], subject, subject.field)
    weighted = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "Conv", "Gemm", "MatMul")
    names = [layer.layer for layer in found.layers if layer.operation in weighted]
    assert list(dict.fromkeys(names)) == KERNELS
    assert min(layer.snr_db for layer in found.layers) > 20
    assert min(layer.cosine for layer in found.layers) > 0.99
    assert found.clipped.clipped < 0.01
    assert len({layer.layer for layer in found.worst()}) == 3
    assert plot_layers([found]).startswith(b"\x89PNG")
    assert found.worst()[0].layer in found.to_text().splitlines()[0]


@pytest.mark.parametrize("name", MAKERS)
def test_the_layer_that_loses_the_signal_is_named(subject, name):
    broken = subject.altered(faults.scaled_layer)  # the stem's channels; deep_0 reads them
    found = report(MAKERS[name], broken, broken.field)
    assert {layer.layer for layer in found.worst(2)} & {"stem", "deep_0"}
    healthy = report(MAKERS[name], subject, subject.field)
    assert found.layers[-1].snr_db < healthy.layers[-1].snr_db - 10


@pytest.mark.parametrize("name", MAKERS)
def test_a_narrow_calibration_set_shows_as_clipped_values(subject, name):
    wide = report(MAKERS[name], subject, subject.field)
    narrow = report(MAKERS[name], subject, faults.an_eighth(subject.field))
    assert narrow.clipped.clipped > 5 * max(0.001, wide.clipped.clipped)


def test_a_file_against_itself_has_no_noise(subject):
    data = convert_tflite(freeze(subject.network, SPEC.shape), "tflite-float32", subject.field)
    found = compare_layers(data, data, "model_float32.tflite", subject.field[:3])
    assert {layer.snr_db for layer in found.layers} == {100.0}
    assert all(layer.cosine == pytest.approx(1) for layer in found.layers)
    assert not any(layer.clipped for layer in found.layers)
    assert found.num_images == 3


def test_files_of_two_networks_or_no_images_are_refused_in_one_line(subject):
    data = convert_tflite(freeze(subject.network, SPEC.shape), "tflite-float32", subject.field)
    with pytest.raises(ArtifactError, match="no images"):
        compare_layers(data, data, "model_float32.tflite", subject.field[:0])
    with pytest.raises(ArtifactError, match="can't be loaded"):
        compare_layers(data, data[: len(data) // 2], "model_float32.tflite", subject.field)
    with pytest.raises(ArtifactError, match="onnx is neither TFLite nor ONNX"):
        compare_layers(b"no model", b"no model", "model_float32.onnx", subject.field)


def test_images_are_spread_over_all_that_are_given(subject):
    data = convert_tflite(freeze(subject.network, SPEC.shape), "tflite-float32", subject.field)
    images = np.concatenate([np.zeros_like(subject.field), subject.field])
    found = compare_layers(data, data, "model_float32.tflite", images)
    assert 16 < found.num_images <= 32


def test_scopes_that_tensorflow_numbered_go_to_their_layers():
    tensors = {
        "1": "net_1/relu_1/Relu;net_1/conv_1/Conv",
        "2": "net_1/relu_1_2/Relu;net_1/conv_1_2/Conv",
        "3": "net_1/sum_1/add",
        "4": "Identity",
    }
    plain = [keras.layers.ReLU(name=name) for name in ("net", "relu", "relu_1", "sum")]
    convolutions = [keras.layers.Conv2D(1, 1, name=name) for name in ("conv", "conv_1")]
    found = layer_names(tensors, SimpleNamespace(layers=[*plain, *convolutions]))
    assert found == {"1": "conv", "2": "conv_1", "3": "sum", "4": "4"}
