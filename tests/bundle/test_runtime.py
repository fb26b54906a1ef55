"""What a runtime accepts, and the integers that go in and come out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.runtime.io_tensors import check_info, dequantize, input_table
from edgecnn.bundle.runtime.load import load_runtime, top1
from edgecnn.bundle.runtime.module import TFLITE_RUNTIMES, load_tflite_module, open_delegate
from edgecnn.bundle.spec import TensorInfo
from edgecnn.errors import ArtifactError, MissingRuntimeError

IMAGE = (1, 8, 8, 3)


@pytest.fixture(scope="module")
def convert() -> Callable[..., bytes]:
    """A .tflite of a function of float32 tensors of the given shapes."""
    import tensorflow as tf

    def convert(function, *shapes, samples=None, **options) -> bytes:
        module = tf.Module()
        module.serve = tf.function(
            function, input_signature=[tf.TensorSpec(s, tf.float32) for s in shapes]
        )
        concrete = [module.serve.get_concrete_function()]
        converter = tf.lite.TFLiteConverter.from_concrete_functions(concrete, module)
        if samples is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([sample] for sample in samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        for name, value in options.items():
            setattr(converter, name, getattr(tf, value))
        return converter.convert()

    return convert


def mean_softmax(image):
    """A classifier of three classes: the image's mean colour through a softmax."""
    import tensorflow as tf

    return tf.nn.softmax(tf.reduce_mean(image, (1, 2)) / 64)


def test_a_foreign_float_classifier_runs_on_raw_pixels(convert):
    model = load_runtime(convert(mean_softmax, IMAGE), "mine.tflite")
    assert model.shape == IMAGE[1:]
    tensor = np.full(IMAGE[1:], [64, 0, 128], np.uint8)
    odds = np.exp([1, 0, 2])
    assert model.invoke(tensor) == pytest.approx(odds / odds.sum(), abs=1e-6)


@pytest.mark.parametrize(
    ("shapes", "outputs"),
    [
        ([(1, 8, 8, 1)], 1),
        ([(2, 8, 8, 3)], 1),
        ([(1, 192)], 1),
        ([IMAGE, IMAGE], 1),
        ([IMAGE], 2),
        ([IMAGE], 0),
    ],
    ids=["grey", "batch of two", "flat", "two inputs", "two outputs", "an image comes out"],
)
def test_a_model_of_another_shape_is_named_with_its_shapes(convert, shapes, outputs):
    import tensorflow as tf

    def function(*images):
        if outputs == 0:
            return images[0] * 2
        flat = sum(tf.reshape(image, (image.shape[0], -1))[:, :4] for image in images)
        return [flat, flat * 2][:outputs]

    with pytest.raises(ArtifactError, match=r"foreign\.tflite has inputs .* expected one image"):
        load_runtime(convert(function, *shapes), "foreign.tflite")


@pytest.mark.parametrize("side", ["inference_input_type", "inference_output_type"])
def test_a_model_with_integers_on_one_side_only_is_refused(convert, side):
    images = [np.full(IMAGE, 16 * k, np.float32) for k in range(16)]
    data = convert(mean_softmax, IMAGE, samples=images, **{side: "uint8"})
    with pytest.raises(ArtifactError, match="expected float32 on both sides or integers on both"):
        load_runtime(data, "hybrid.tflite")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"not a model", "m.tflite"),
        (b"", "m.tflite"),
        (b"\x1c\0\0\0TFL3" + bytes(64), "m.tflite"),
        (b"not a model", "m.onnx"),
        (b"\x08\x07" + bytes(64), "m.onnx"),
        (b"", "m.onnx"),
        (b"anything", "m.pt"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(data, name):
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")) as caught:
        load_runtime(data, name)
    assert "\n" not in str(caught.value)


def test_an_onnx_of_another_shape_is_refused():
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["out"])], "g", [image], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(ArtifactError, match="expected one image"):
        load_runtime(model.SerializeToString(), "nchw.onnx")


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from(["uint8", "int8", "int16"]),
    st.floats(1 / 256, 4),
    st.integers(-128, 127),
)
def test_input_is_quantized_to_the_nearest_step_and_saturates(dtype, scale, zero_point):
    limits = np.iinfo(dtype)
    info = TensorInfo(dtype, float(np.float32(scale)), zero_point)
    table = input_table(info)
    assert table.dtype == dtype
    assert (np.diff(table.astype(int)) >= 0).all()
    back = (table.astype(np.float64) - zero_point) * info.scale
    inside = (table > limits.min) & (table < limits.max)
    assert np.abs(back - np.arange(256))[inside].max(initial=0) <= info.scale / 2 + 1e-4


def test_quantizing_rounds_half_to_even_and_never_truncates():
    table = input_table(TensorInfo("int8", 2.0, -10))
    assert table[:8].tolist() == [-10, -10, -9, -8, -8, -8, -7, -6]
    assert table[255] == 118  # 127.5 rounds to 128


def test_pixels_of_a_float_model_stay_raw():
    assert np.array_equal(input_table(TensorInfo("float32")), np.arange(256))


def test_scores_are_real_numbers_of_the_output_scale():
    info = TensorInfo("int8", 0.5, -4)
    assert dequantize(np.int8([-128, -4, 127]), info).tolist() == [-62.0, 0.0, 65.5]


def test_an_integer_tensor_without_scale_is_refused():
    with pytest.raises(ArtifactError, match="without a quantization scale"):
        check_info(TensorInfo("int8"), "m.tflite")


def test_ties_go_to_the_lower_index():
    assert top1(np.float32([0.1, 0.45, 0.45])) == 1


@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("name", TFLITE_RUNTIMES)
def test_every_installed_runtime_gives_the_golden_scores(digits_bundle, name):
    from edgecnn.bundle.classifier import Classifier

    try:
        classifier = Classifier(digits_bundle, "model_full_integer_quant.tflite", runtime=name)
    except MissingRuntimeError:
        pytest.skip(f"{name} is not installed")
    assert all(result.ok for result in classifier.replay_golden())


def test_scores_do_not_depend_on_what_was_classified_before(digits_bundle):
    bundle = Bundle.open(digits_bundle)
    for artifact in bundle.card.artifacts:
        model = load_runtime(bundle.read(artifact.file), artifact.file)
        first, second = np.zeros(model.shape, np.uint8), np.full(model.shape, 200, np.uint8)
        before = model.invoke(first)
        model.invoke(second)
        assert np.array_equal(model.invoke(first), before), artifact.file
        assert before.sum() == pytest.approx(1, abs=0.05), artifact.file


def test_an_absent_runtime_is_named_with_the_mend():
    with pytest.raises(MissingRuntimeError, match=r"no TFLite runtime.*pip install"):
        load_tflite_module("no_such_runtime.interpreter")


def test_an_absent_edge_tpu_library_says_how_to_go_on():
    with pytest.raises(MissingRuntimeError, match=r"not installed.*--device cpu"):
        open_delegate("libnosuchdelegate.so.1")


def build_delegate(tmp_path, source: str):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    (tmp_path / "delegate.c").write_text(source)
    library = tmp_path / "libdelegate.so"
    command = ["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "delegate.c"]
    subprocess.run(command, check=True)
    return str(library)


def test_a_library_that_is_no_delegate_is_called_so(tmp_path):
    library = build_delegate(tmp_path, "int nothing;")
    with pytest.raises(MissingRuntimeError, match="is no TFLite delegate library"):
        open_delegate(library)


def test_a_delegate_without_a_device_passes_on_its_reason(tmp_path):
    source = """
    typedef void report_error(const char *);
    void *tflite_plugin_create_delegate(char **k, char **v, unsigned long n, report_error *report) {
        report("no device on this bus"); return 0; }
    void tflite_plugin_destroy_delegate(void *d) {}
    """
    library = build_delegate(tmp_path, source)
    with pytest.raises(MissingRuntimeError, match=r"no usable Edge TPU \(no device on this bus\)"):
        open_delegate(library)
