"""One step of `tools/bench export` in a process of its own: seconds by the clock and of
processor time, and peak memory, as JSON.

    python tools/_bench_export.py ours|plain STEP MODEL CALIBRATION

STEP is a format of `edgecnn export`, or "all": everything that makes a bundle. "plain" is what
one writes with the converters' own documentation at hand, with the same images and checks.
Imports, and of a single step loading the model and the images too, are not timed.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgecnn.device.benchmark.worker import peak_memory_mb
from edgecnn.export.options import FORMATS

TFLITE_FILES = {name: file for name, file in FORMATS.items() if file.endswith(".tflite")}
INTEGER = "onnx-full-integer"
CALIBRATED = ("tflite-full-integer", "tflite-int16", INTEGER)


def read_images(folder: Path, size_wh: tuple[int, int], most: int = 500) -> np.ndarray:
    """uint8 (n, height, width, 3) RGB, as a user would read them."""
    suffixes = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
    root = folder / "images" if (folder / "images").is_dir() else folder
    files = sorted(p for p in root.rglob("*") if p.suffix.lower() in suffixes)[:most]
    frames = [cv2.imread(str(path)) for path in files]
    return np.stack([cv2.resize(f, size_wh)[..., ::-1] for f in frames if f is not None])


def plain_tflite(network: object, step: str, images: np.ndarray) -> bytes:
    import tensorflow as tf

    # from_keras_model loses the variables of a Keras 3 model while it calibrates.
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    signature = [tf.TensorSpec((1, *network.input_shape[1:]), tf.float32)]
    function = tf.function(lambda x: network(x, training=False), input_signature=signature)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if step != "tflite-float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if step == "tflite-float16":
        converter.target_spec.supported_types = [tf.float16]
    if step in CALIBRATED:
        converter.representative_dataset = lambda: (
            [image[None].astype(np.float32)] for image in images
        )
    sets = tf.lite.OpsSet
    if step == "tflite-full-integer":
        converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    if step == "tflite-int16":
        name = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [getattr(sets, name)]
    return converter.convert()


def plain_onnx(network: object, path: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((1, *network.input_shape[1:]), tf.float32, name="image")]
    function = tf.function(lambda image: network(image, training=False), signature)
    tf2onnx.convert.from_function(function, signature, opset=17, output_path=str(path))


def plain_onnx_integer(source: Path, target: Path, images: np.ndarray) -> None:
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict | None:
            image = next(self.images, None)
            return None if image is None else {"image": image[None].astype(np.float32)}

    types = {"activation_type": q.QuantType.QUInt8, "weight_type": q.QuantType.QInt8}
    q.quantize_static(
        source, target, Reader(), quant_format=q.QuantFormat.QDQ, per_channel=True, **types
    )


def plain_check(data: bytes, file: str, tensors: np.ndarray) -> None:
    """The answers of one file on the lab test images."""
    if file.endswith(".onnx"):
        import onnxruntime

        session = onnxruntime.InferenceSession(data)
        for tensor in tensors:
            session.run(None, {"image": tensor[None].astype(np.float32)})
        return
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    for tensor in tensors:
        interpreter.set_tensor(source["index"], tensor[None].astype(source["dtype"]))
        interpreter.invoke()
        interpreter.get_tensor(target["index"])


def plain_all(model: Path, calibration: Path) -> None:
    import keras

    network = keras.saving.load_model(model / "model.keras", compile=False)
    images = read_images(calibration, network.input_shape[2:0:-1])
    tensors = np.load(model / "lab_test.npz")["tensors"]
    files = {f: plain_tflite(network, step, images) for step, f in TFLITE_FILES.items()}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "integer.onnx")
        plain_onnx(network, source)
        plain_onnx_integer(source, target, images)
        files |= {p.name: p.read_bytes() for p in (source, target)}
    for file, data in files.items():
        plain_check(data, file, tensors)


def our_all(model: Path, calibration: Path) -> None:
    from edgecnn.export.export import export

    with tempfile.TemporaryDirectory() as folder:
        export(model, calibration, Path(folder, "bench.edgecnn"))


def prepare(who: str, step: str, model: Path, calibration: Path, folder: Path) -> Callable:
    """Load what the step needs and return the step."""
    from edgecnn.export.convert import onnx_convert as onnx_format
    from edgecnn.export.convert import tflite_convert as tflite
    from edgecnn.export.packing import metadata
    from edgecnn.model.read import load_model
    from edgecnn.model.tflite_network import freeze

    if step == "all":
        return lambda: (our_all if who == "ours" else plain_all)(model, calibration)
    network, card = load_model(model)
    spec, labels = card.input, card.labels
    images = read_images(calibration, (spec.width, spec.height)) if step in CALIBRATED else None
    source, target = folder / "float.onnx", folder / "integer.onnx"
    if step == INTEGER:
        source.write_bytes(onnx_format.convert_onnx(network, spec))
    texts = onnx_format.onnx_texts(labels, spec)

    def ours() -> bytes:
        if step in TFLITE_FILES:
            data = tflite.convert_tflite(freeze(network, spec.shape), step, images)
            return metadata.embed_tflite_metadata(data, card.name, labels, spec)
        if step == INTEGER:
            data, *infos = onnx_format.quantize_onnx(source.read_bytes(), images)
            return onnx_format.embed_onnx_metadata(data, onnx_format.quantization_texts(*infos))
        return onnx_format.embed_onnx_metadata(onnx_format.convert_onnx(network, spec), texts)

    def plain() -> object:
        if step in TFLITE_FILES:
            return plain_tflite(network, step, images)
        if step == INTEGER:
            return plain_onnx_integer(source, target, images)
        return plain_onnx(network, source)

    return ours if who == "ours" else plain


def main() -> None:
    who, step, model, calibration = sys.argv[1:]
    # Imported before the clock starts: both sides need them, and they take seconds.
    import keras  # noqa: F401
    import onnxruntime  # noqa: F401
    import tf2onnx  # noqa: F401

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        run = prepare(who, step, Path(model), Path(calibration), Path(folder))
        before = peak_memory_mb()
        start, worked = time.perf_counter(), time.process_time()
        run()
        reply = {
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - worked,
            "before_mb": before,
            "peak_mb": peak_memory_mb(),
        }
    sys.stdout.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
