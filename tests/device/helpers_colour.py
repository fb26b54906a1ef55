"""Bundles of one operation that name the strongest colour of a picture, and such pictures."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
from one_op import T, const, one_op

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Artifact, Card, GoldenFrame, LabResult
from edgecnn.bundle.folder import write_bundle
from edgecnn.bundle.preprocess import decode, tensor_sha256, to_tensor
from edgecnn.bundle.runtime.load import load_runtime
from edgecnn.bundle.spec import InputSpec, TensorInfo

PLAIN = "model_full_integer_quant.tflite"
LABELS = ("red", "green", "blue")
SPEC = InputSpec(width=12, height=10)
LARGER = InputSpec(width=14, height=12)
SCORES = T((1, 3), "uint8", scale=1.0)
GOLDEN = 6


def picture(seed: int) -> np.ndarray:
    """Noise with one colour in front, and a spot of another on every fourth; uint8, B, G, R."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 120, (40, 60, 3))
    frame[..., 2 - seed % 3] += 100
    if seed % 4 == 0:
        frame[8:16, 8:16, 2 - (seed + 1) % 3] = 255
    return frame.astype(np.uint8)


def encoded(seed: int) -> bytes:
    return cv2.imencode(".png", picture(seed))[1].tobytes()


def strongest(spec: InputSpec = SPEC, operation: str = "MEAN") -> bytes:
    """A network that takes the mean (or REDUCE_MAX) of each colour over all pixels."""
    image = T((1, *spec.shape), "uint8", scale=1.0)
    return one_op(operation, [image, const([1, 2])], [SCORES], {"keepDims": False})


def two_bundles(root: Path) -> dict[str, Path]:
    """Two bundles of the same labels; their inputs and some of their answers differ."""
    most = {PLAIN: ("full_integer", strongest(LARGER, "REDUCE_MAX"))}
    return {
        "mean": colour_bundle(root / "mean.edgecnn"),
        "most": colour_bundle(root / "most.edgecnn", most, spec=LARGER),
    }


def colour_bundle(
    path: Path,
    files: Mapping[str, tuple[str, bytes]] | None = None,
    *,
    spec: InputSpec = SPEC,
    labels: tuple[str, ...] = LABELS,
) -> Path:
    """A bundle with golden frames; `files` are kinds and data by name, PLAIN among them."""
    files = files or {PLAIN: ("full_integer", strongest(spec))}
    info, tally = TensorInfo("uint8", 1.0, 0), Tally(9, 9)
    artifacts = tuple(
        Artifact(file, kind, sha256(data).hexdigest(), len(data), info, info, tally, 1.0, 0.0)
        for file, (kind, data) in files.items()
    )
    third, lab = (1 / 3,) * 3, LabResult.of(tally, np.eye(3, dtype=int) * 3)
    card = Card("colour", labels, spec, lab, third, "0.1.0", artifacts)
    runtime = load_runtime(files[PLAIN][1], PLAIN)
    golden, images = [], {}
    for k in range(100, 100 + GOLDEN):
        images[f"{k}.png"] = encoded(k)
        tensor = to_tensor(decode(images[f"{k}.png"]), spec)
        scores = tuple(map(float, runtime.invoke(tensor)))
        golden.append(GoldenFrame(f"{k}.png", tensor_sha256(tensor), dict.fromkeys(files, scores)))
    write_bundle(path, card, {n: data for n, (_, data) in files.items()}, golden, images, [])
    return path
