"""The calibration set of an adapted network: lab and field together, so that both stay in range.

It is part of the new MODEL folder, as `edgecnn calibrate` writes such a folder, at the size of
the network's input.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgecnn.adapt.data import FieldSet
from edgecnn.camera.scenes import evenly
from edgecnn.files.folders import file_sha256
from edgecnn.files.manifest import csv_text

__all__ = ["CALIBRATION_FOLDER", "calibration_files"]

CALIBRATION_FOLDER = "calibration"
_OF_EACH = 150


def calibration_files(val_tensors: np.ndarray, images: FieldSet) -> dict[str, bytes]:
    """Up to 150 validation and 150 field images as PNG files, and their manifest.

    Args:
        val_tensors: uint8 (n, height, width, 3) RGB.
    """
    files: dict[str, bytes] = {}
    rows = []
    for origin, tensors in (("lab", val_tensors), ("field", images.tensors)):
        for k in evenly(len(tensors), _OF_EACH):
            data = cv2.imencode(".png", tensors[k][..., ::-1])[1].tobytes()
            name = f"images/{origin}_{k:04d}.png"
            files[f"{CALIBRATION_FOLDER}/{name}"] = data
            source = "validation image" if origin == "lab" else images.files[k].source
            rows.append([name, file_sha256(data), source])
    manifest = csv_text(["file", "sha256", "source"], rows)
    return files | {f"{CALIBRATION_FOLDER}/manifest.csv": manifest.encode()}
