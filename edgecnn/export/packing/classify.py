"""Classify images with a .tflite file, and with nothing but what stands in that file.

    python classify.py model.tflite image...

needs Python 3.7 or newer, numpy, OpenCV and a TFLite runtime (ai-edge-litert, or tflite-runtime
2.5 or newer), not edgecnn. A file that is compiled for an Edge TPU needs libedgetpu too. `edgecnn
export` puts this program into every bundle: take of it what your own program needs. Printed are
the three best labels of each image with the model's own scores; card.json has the temperature.
"""

from __future__ import annotations  # types are only read: Python 3.7 does not know them all

import json
import sys
import zipfile
from typing import Any

import cv2
import numpy as np


def load(path: str) -> tuple[Any, Any, Any, Any]:
    """The interpreter, its input and output, and the description that is zipped into the file."""
    try:
        from ai_edge_litert.interpreter import Interpreter, load_delegate
    except ImportError:
        from tflite_runtime.interpreter import Interpreter, load_delegate
    with zipfile.ZipFile(path) as archive:
        spec = json.loads(archive.read("input.json"))
        spec["labels"] = archive.read("labels.txt").decode().rstrip("\n").split("\n")
    is_compiled = path.endswith("_edgetpu.tflite")
    delegates = [load_delegate("libedgetpu.so.1")] if is_compiled else []
    interpreter = Interpreter(model_path=path, experimental_delegates=delegates)
    interpreter.allocate_tensors()
    return (
        interpreter,
        interpreter.get_input_details()[0],
        interpreter.get_output_details()[0],
        spec,
    )


def scaled(side: int, numerator: int, denominator: int) -> int:
    """side * numerator / denominator, rounded half up."""
    return max(1, (2 * side * numerator + denominator) // (2 * denominator))


def prepare(image_bgr: Any, spec: Any) -> Any:
    """The image as the model takes it: uint8 (height, width, 3), R, G, B, raw 0 to 255."""
    width, height = size = spec["width"], spec["height"]
    h, w = image_bgr.shape[:2]
    if spec["resize"] == "center_crop":
        w, h = min(w, scaled(h, width, height)), min(h, scaled(w, height, width))
        top, left = (image_bgr.shape[0] - h) // 2, (image_bgr.shape[1] - w) // 2
        image_bgr = image_bgr[top : top + h, left : left + w]
    elif spec["resize"] == "letterbox":
        size = min(width, scaled(w, height, h)), min(height, scaled(h, width, w))
    while spec["interpolation"] == "halving" and w >= 2 * size[0] and h >= 2 * size[1]:
        w, h = w // 2, h // 2
        image_bgr = cv2.resize(image_bgr[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_LINEAR)
    how = {"halving": "LINEAR"}.get(spec["interpolation"], spec["interpolation"].upper())
    if (w, h) != size:
        image_bgr = cv2.resize(image_bgr, size, interpolation=getattr(cv2, f"INTER_{how}"))
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = spec["pad"] or 0
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    canvas[top : top + size[1], left : left + size[0]] = image_bgr[..., ::-1]
    return canvas


def classify(model: Any, image_bgr: Any) -> Any:
    """Scores in the order of the labels, about 0 to 1."""
    interpreter, source, target, spec = model
    values = prepare(image_bgr, spec).astype(np.float32)
    scale, zero_point = source["quantization"]
    if scale:
        limits = np.iinfo(source["dtype"])
        values = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max)
    interpreter.set_tensor(source["index"], values[None].astype(source["dtype"]))
    interpreter.invoke()
    scores = interpreter.get_tensor(target["index"])[0].astype(np.float32)
    scale, zero_point = target["quantization"]
    return (scores - zero_point) * np.float32(scale) if scale else scores


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python classify.py model.tflite image...")
    model = load(sys.argv[1])
    for name in sys.argv[2:]:
        image_bgr = cv2.imread(name, cv2.IMREAD_COLOR)  # upright by its EXIF orientation
        if image_bgr is None:
            sys.exit(f"{name} is no image that OpenCV can read")
        scores = classify(model, image_bgr)
        best = np.argsort(-scores, kind="stable")[:3]  # of equal scores the first counts
        labels = model[-1]["labels"]
        print(f"{name}: " + ", ".join(f"{labels[k]}: {scores[k]:.5f}" for k in best))
