"""What stands inside the artifacts, for programs that were handed nothing else."""

import io
import json
import zipfile

import numpy as np
import onnx
import pytest
from tensorflow.lite.python import schema_py_generated as schema

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec
from edgecnn.export.export import FORMATS
from edgecnn.export.packing.metadata import embed_tflite_metadata, preprocessing_text

TFLITE = [f for f in FORMATS.values() if f.endswith(".tflite")]
ONNX = [f for f in FORMATS.values() if f.endswith(".onnx")]
LABELS = tuple(str(k) for k in range(10))


@pytest.mark.parametrize("file", TFLITE)
def test_a_tflite_file_is_also_a_zip_of_its_labels_and_input(file, small_result, small_spec):
    with zipfile.ZipFile(small_result.bundle / file) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt", "input.json"]
        assert all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist())
        assert archive.read("labels.txt").decode().splitlines() == list(LABELS)
        found = json.loads(archive.read("input.json"))
    assert InputSpec.from_json(found) == small_spec
    assert "R, G, B" in found["preprocessing"]


@pytest.mark.parametrize("file", TFLITE)
def test_every_buffer_of_the_flatbuffer_lies_at_a_multiple_of_16(file, small_result):
    data = (small_result.bundle / file).read_bytes()
    model = schema.Model.GetRootAs(data, 0)
    filled = 0
    for k in range(model.BuffersLength()):
        table = model.Buffers(k)._tab
        field = table.Offset(4)
        if field and table.VectorLen(field):
            filled += 1
            assert table.Vector(field) % 16 == 0
    assert filled > 8


@pytest.mark.parametrize("file", TFLITE)
def test_the_metadata_is_added_beside_the_converters_own(file, small_result):
    data = (small_result.bundle / file).read_bytes()
    assert data[4:8] == b"TFL3"
    model = schema.Model.GetRootAs(data, 0)
    entries = {model.Metadata(k).Name(): model.Metadata(k) for k in range(model.MetadataLength())}
    assert b"min_runtime_version" in entries
    metadata = model.Buffers(entries[b"TFLITE_METADATA"].Buffer()).DataAsNumpy().tobytes()
    assert metadata[4:8] == b"M001"
    assert b"labels.txt" in metadata


@pytest.mark.parametrize("file", ONNX)
def test_an_onnx_file_carries_labels_input_and_preprocessing(file, small_result, small_spec):
    model = onnx.load(small_result.bundle / file)
    onnx.checker.check_model(model, full_check=True)
    texts = {p.key: p.value for p in model.metadata_props}
    assert json.loads(texts["labels"]) == list(LABELS)
    assert InputSpec.from_json(json.loads(texts["input"])) == small_spec
    assert texts["preprocessing"] == preprocessing_text(small_spec)
    assert [v.name for v in (*model.graph.input, *model.graph.output)] == ["image", "scores"]


def test_labels_of_any_script_survive(small_result, small_spec):
    labels = ("größe", "数字 2", 'with "quotes"', *LABELS[3:])
    plain = schema.ModelT.InitFromPackedBuf(
        (small_result.bundle / "model_float32.tflite").read_bytes(), 0
    )
    plain.metadata = []
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(plain.Pack(builder), file_identifier=b"TFL3")
    data = embed_tflite_metadata(bytes(builder.Output()), "Zähler", labels, small_spec)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert tuple(archive.read("labels.txt").decode().splitlines()) == labels
    tensor = np.zeros(small_spec.shape, np.uint8)
    before = load_runtime((small_result.bundle / "model_float32.tflite").read_bytes(), "a.tflite")
    after = load_runtime(data, "b.tflite")
    assert np.array_equal(after.invoke(tensor), before.invoke(tensor))


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
@pytest.mark.parametrize("interpolation", ["halving", "nearest", "linear", "area", "cubic"])
def test_every_input_spec_is_told_in_words(resize, interpolation):
    text = preprocessing_text(
        InputSpec(width=20, height=24, resize=resize, interpolation=interpolation)
    )
    assert "{" not in text
    assert "20x24" in text
    assert "cv2.resize" in text


@pytest.mark.parametrize("file", [f for f in TFLITE if "int16" not in f])
def test_a_tflite_file_is_run_by_the_names_of_its_signature(file, small_result):
    """As LiteRT's signature runner, its CompiledModel and ai-edge-quantizer call it."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(small_result.bundle / file)).get_signature_runner("serving_default")
    ((name, about),) = run.get_input_details().items()
    assert (name, list(run.get_output_details())) == ("image", ["scores"])
    runtime = Classifier(small_result.bundle, file).runtime
    tensors = np.random.default_rng(0).integers(0, 256, (20, *about["shape"][1:]), np.uint8)
    found = [run(image=one[None].astype(about["dtype"]))["scores"][0].argmax() for one in tensors]
    assert found == [runtime.invoke(one).argmax() for one in tensors]
