"""Classify images with a .tflite or .onnx file and nothing but what the file says about itself.

Imports nothing of edgecnn: this is what somebody who was only handed the file would write.

    python plain_classify.py model.tflite FOLDER   ->   {"NAME": "label", ...} on standard output
"""

import json
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np


def read_tflite(path):
    """(function from an input array to raw scores, input and output details, spec)."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter
    with zipfile.ZipFile(path) as archive:
        spec = json.loads(archive.read("input.json"))
        spec["labels"] = archive.read("labels.txt").decode().splitlines()
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(array):
        interpreter.set_tensor(source["index"], array)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return (
        run,
        (np.dtype(source["dtype"]), *source["quantization"]),
        target["quantization"],
        spec,
    )


def read_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    meta = session.get_modelmeta().custom_metadata_map
    spec = json.loads(meta["input"])
    spec["labels"] = json.loads(meta["labels"])
    source = session.get_inputs()[0]
    dtype = np.dtype({"tensor(float)": "float32"}.get(source.type, source.type[7:-1]))

    def quantization(side):
        return float(meta.get(f"{side}_scale", 0)), int(meta.get(f"{side}_zero_point", 0))

    return (
        lambda array: session.run(None, {source.name: array})[0],
        (dtype, *quantization("input")),
        quantization("output"),
        spec,
    )


def to_input(frame_bgr, spec):
    """As input.json's "preprocessing" says, for resize = stretch."""
    assert spec["resize"] == "stretch"
    assert spec["color"] == "RGB"
    width, height = spec["width"], spec["height"]
    image = frame_bgr
    if spec["interpolation"] == "halving":
        while image.shape[1] >= 2 * width and image.shape[0] >= 2 * height:
            w, h = image.shape[1] // 2, image.shape[0] // 2
            image = cv2.resize(image[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_LINEAR)
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def main(path, folder):
    read = read_onnx if path.suffix == ".onnx" else read_tflite
    run, (dtype, scale, zero_point), (out_scale, out_zero_point), spec = read(path)
    answers = {}
    for file in sorted(folder.iterdir()):
        array = to_input(cv2.imread(str(file), cv2.IMREAD_COLOR), spec).astype(np.float32)
        if dtype != np.float32:
            limits = np.iinfo(dtype)
            array = np.clip(np.round(array / scale) + zero_point, limits.min, limits.max)
        scores = run(array[None].astype(dtype))[0].astype(np.float32)
        if out_scale:
            scores = (scores - out_zero_point) * out_scale
        answers[file.name] = spec["labels"][int(scores.argmax())]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
