"""`tools/bench clients`: do other programs read the files of a bundle as edgecnn does?

Each client runs in a process of its own, in the environment that has it, on the same pixels.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cv2
import numpy as np

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import readable_image, to_tensor
from edgecnn.files.folders import find_images

FLOAT, INTEGER = "model_float32.tflite", "model_full_integer_quant.tflite"
ONNX, ONNX_INTEGER = "model_float32.onnx", "model_full_integer_quant.onnx"
# (client, package, the environment of tools/test, files)
CLIENTS = (
    ("tflite_runtime", "tflite-runtime", "device-tflite-runtime", (FLOAT, INTEGER)),
    ("litert", "ai-edge-litert", "device-litert", (FLOAT, INTEGER)),
    ("litert_compiled", "ai-edge-litert", "device-litert", (FLOAT, INTEGER)),
    ("litert_signature", "ai-edge-litert", "device-litert", (FLOAT, INTEGER)),
    ("mediapipe", "mediapipe", "mediapipe", (FLOAT, INTEGER)),
    ("onnxruntime", "onnxruntime", "lab", (ONNX, ONNX_INTEGER)),
    ("onnxruntime_exact", "onnxruntime", "lab", (ONNX_INTEGER,)),
    ("openvino", "openvino", "lab", (ONNX, ONNX_INTEGER, FLOAT, INTEGER)),
    ("openvino_float", "openvino", "lab", (ONNX_INTEGER, INTEGER)),
    ("opencv", "opencv-python-headless", "lab", (ONNX, ONNX_INTEGER, FLOAT, INTEGER)),
    ("micro", "tflite-micro", "tflite-micro", (INTEGER,)),
    ("quantizer", "ai-edge-quantizer", "lab", (FLOAT,)),
)
_REASON = 160  # characters


def table(bundle: Path, images: Path, folder: Path, environments: Path, count: int) -> list[str]:
    """Rows of Markdown: a client and a file each.

    Args:
        folder: Takes the pixels.
        environments: Of tools/test: NAME/bin/python.
    """
    opened = Bundle.open(bundle)
    paths = find_images(images)
    chosen = [paths[k] for k in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))]
    frames = [frame for path in chosen if (frame := readable_image(path)) is not None]
    tensors = np.stack([to_tensor(frame, opened.card.input) for frame in frames])
    np.save(folder / "tensors.npy", tensors)
    for number, tensor in enumerate(tensors):
        cv2.imwrite(str(folder / f"{number}.png"), tensor[..., ::-1])
    lines = ["| client | file | same top 1 as edgecnn | ms an image |", "|---|---|---|---|"]
    for client, package, environment, files in CLIENTS:
        python = environments / environment / "bin" / "python"
        for file in files:
            cells = _cells(client, python, opened, file, folder, tensors)
            lines.append(
                f"| {client} ({_version(python, package)}) | {file} | {' | '.join(cells)} |"
            )
    return lines


def _cells(
    client: str, python: Path, bundle: Bundle, file: str, folder: Path, tensors: np.ndarray
) -> tuple[str, str]:
    if file not in bundle.files:
        return "not in the bundle", ""
    if not python.exists():
        return f"not tried: {python.parent.parent.name} was not made by tools/test", ""
    script = Path(__file__).with_name("_bench_client.py")
    done = subprocess.run(
        [python, script, client, bundle.path / file, folder], capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["?"])[-1]
        return f"refused: {last[:_REASON]}", ""
    found = json.loads(done.stdout.splitlines()[-1])
    ours = Classifier(bundle, file)
    expected = [int(np.argmax(ours.runtime.invoke(tensor))) for tensor in tensors]
    if client == "mediapipe":
        expected = [bundle.card.labels[k] for k in expected]
    same = sum(a == b for a, b in zip(found["best"], expected, strict=True))
    return f"{100 * same / len(tensors):.1f} % of {len(tensors)}", f"{found['ms']:.2f}"


def _version(python: Path, package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = (
        subprocess.run([python, "-c", code], capture_output=True, text=True)
        if python.exists()
        else None
    )
    return done.stdout.strip() if done and not done.returncode else "not installed"
