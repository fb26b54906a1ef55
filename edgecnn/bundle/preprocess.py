"""Camera frame -> input tensor: the only copy, used by training, calibration, export and device.

    encoded bytes --decode--> frame_bgr --to_tensor--> uint8 RGB (height, width, 3)

The model normalizes inside its graph, so these steps are the whole contract. Each gives the same
integers on x86-64 and arm64 and under OpenCV 4.11 and 5.0 (tests/test_preprocess.py,
test_device_installs.py and test_pi.py prove it), except `interpolation = "area"` and "cubic":
they differ by a few grey levels between x86-64 and arm64, because x86 builds take Intel's IPP
or other float instructions. The default is therefore "halving": average 2x2 pixels while the
frame is at least twice too large on both sides, then cv2.INTER_LINEAR. It keeps what "area" is
wanted for (noise is averaged, nothing aliases), is as cheap as linear, and is the same everywhere.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecnn.bundle.encoded import check_image, is_webp, still_png, webp_orientation
from edgecnn.bundle.heif import decode_heif, heif_kind
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ImageError

__all__ = [
    "center_crop",
    "decode",
    "read_bytes",
    "read_image",
    "readable_image",
    "tensor_sha256",
    "to_bgr",
    "to_tensor",
]

_FLAGS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "halving": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "cubic": cv2.INTER_CUBIC,
}


def read_image(path: Path) -> np.ndarray:
    """Read and decode an image file: see `decode`.

    Raises:
        ImageError: The file can't be read, is empty, truncated or no image.
    """
    return decode(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: The file can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"can't read {path}: {error.strerror}") from error


def readable_image(path: Path) -> np.ndarray | None:
    """Read an image as `read_image` does; None where it can't be read, for pages of pictures."""
    try:
        return read_image(path)
    except ImageError:
        return None


def decode(data: bytes, name: str = "image") -> np.ndarray:
    """Decode an encoded image to a BGR frame, upright by its EXIF orientation.

    16-bit samples keep their high byte, grey is repeated, alpha is dropped, CMYK is converted;
    of an animation the picture counts that a program without animation shows. GIF is refused:
    OpenCV before 4.12 can't read it. HEIC and AVIF need the extra `heif`.

    Returns:
        uint8, shape (height, width, 3), in B, G, R order.

    Raises:
        ImageError: Empty, truncated, too large or no image.
    """
    if heif_kind(data):
        return decode_heif(data, name)
    check_image(data, name)
    flags = cv2.IMREAD_COLOR | (cv2.IMREAD_IGNORE_ORIENTATION if is_webp(data) else 0)
    try:
        frame = cv2.imdecode(np.frombuffer(still_png(data), np.uint8), flags)
    except cv2.error as error:
        why = "it has too many pixels" if "CV_IO_MAX_IMAGE" in error.err else error.err
        raise ImageError(f"{name} can't be decoded: {why}; make it smaller") from error
    if frame is None:
        raise ImageError(
            f"{name} is damaged, or of a kind that OpenCV can't decode; save it as an 8-bit image"
        )
    return _upright(frame, webp_orientation(data)) if is_webp(data) else np.asarray(frame)


def to_bgr(frame: np.ndarray, name: str = "frame") -> np.ndarray:
    """Make a captured frame BGR: grey, grey+channel, BGRA and 16-bit frames are converted.

    Args:
        frame: uint8 or uint16, shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).

    Returns:
        uint8, shape (h, w, 3); the frame itself when it is that already.

    Raises:
        ImageError: Another dtype or shape.
    """
    if frame.dtype == np.uint16:
        frame = (frame >> 8).astype(np.uint8)
    if frame.dtype != np.uint8 or frame.ndim not in (2, 3) or 0 in frame.shape:
        raise ImageError(
            f"{name} is {frame.dtype} of shape {frame.shape}, expected uint8 (height, width, 3)"
        )
    if frame.ndim == 2:
        frame = frame[..., None]
    channels = frame.shape[2]
    if channels == 3:
        return frame
    if channels == 1:
        return np.repeat(frame, 3, axis=2)
    if channels == 4:
        return np.ascontiguousarray(frame[..., :3])
    raise ImageError(f"{name} has {channels} channels, expected 1, 3 or 4")


def to_tensor(frame_bgr: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Bring a BGR frame to the model's size and colour order.

    stretch      the whole frame, aspect ratio ignored.
    letterbox    the whole frame, scaled by min(width / w, height / h), each side rounded half
                 up and at least 1; centred (the odd pixel goes right and below) on `spec.pad`.
    center_crop  the largest centred window of the target's aspect ratio: one side whole, the
                 other rounded half up; the window starts at (side - window) // 2.

    Args:
        frame_bgr: uint8, shape (h, w, 3).

    Returns:
        uint8, shape (spec.height, spec.width, 3), in R, G, B order, C-contiguous.
    """
    frame = to_bgr(frame_bgr)
    size_wh = (spec.width, spec.height)
    if spec.resize == "center_crop":
        frame = center_crop(frame, spec)
    if spec.resize == "letterbox":
        size_wh = _letterbox_size(frame, spec)
    small = _resize(frame, size_wh, spec.interpolation)
    rgb = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
    if spec.resize == "letterbox":
        rgb = _pad(rgb, spec)
    return np.ascontiguousarray(rgb)


def tensor_sha256(tensor: np.ndarray) -> str:
    """Hex digest of an input tensor: what golden frames compare."""
    return hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest()


def _resize(frame: np.ndarray, size_wh: tuple[int, int], interpolation: str) -> np.ndarray:
    width, height = size_wh
    if interpolation == "halving":
        while frame.shape[1] >= 2 * width and frame.shape[0] >= 2 * height:
            half_wh = (frame.shape[1] // 2, frame.shape[0] // 2)
            # An odd last row or column is left out, so that each pixel is the mean of four.
            even = frame[: 2 * half_wh[1], : 2 * half_wh[0]]
            frame = np.asarray(cv2.resize(even, half_wh, interpolation=cv2.INTER_LINEAR))
    if (frame.shape[1], frame.shape[0]) == size_wh:
        return frame
    return np.asarray(cv2.resize(frame, size_wh, interpolation=_FLAGS[interpolation]))


def center_crop(frame: np.ndarray, spec: InputSpec) -> np.ndarray:
    """The largest centred window of the target's aspect ratio: a part of the same array."""
    h, w = frame.shape[:2]
    crop_w = min(w, _round_half_up(h * spec.width, spec.height))
    crop_h = min(h, _round_half_up(w * spec.height, spec.width))
    left, top = (w - crop_w) // 2, (h - crop_h) // 2
    return frame[top : top + crop_h, left : left + crop_w]


def _letterbox_size(frame: np.ndarray, spec: InputSpec) -> tuple[int, int]:
    h, w = frame.shape[:2]
    if w * spec.height >= h * spec.width:
        return (spec.width, min(spec.height, _round_half_up(h * spec.width, w)))
    return (min(spec.width, _round_half_up(w * spec.height, h)), spec.height)


def _pad(rgb: np.ndarray, spec: InputSpec) -> np.ndarray:
    pad: Any = spec.pad
    canvas = np.empty(spec.shape, np.uint8)
    canvas[:] = pad
    h, w = rgb.shape[:2]
    top, left = (spec.height - h) // 2, (spec.width - w) // 2
    canvas[top : top + h, left : left + w] = rgb
    return canvas


def _round_half_up(numerator: int, denominator: int) -> int:
    """round(numerator / denominator) in whole numbers, so that no float can differ; at least 1."""
    return max(1, (2 * numerator + denominator) // (2 * denominator))


def _upright(frame: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (1 to 8), as OpenCV does for JPEG and PNG."""
    if orientation >= 5:  # rows and columns are swapped
        frame = frame.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        frame = frame[::-1]
    if orientation in (2, 3, 6, 7):
        frame = frame[:, ::-1]
    return np.ascontiguousarray(frame)
