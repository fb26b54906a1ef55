"""Read the header of an image file, without its pixels."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgecnn.bundle.encoded import check_image
from edgecnn.bundle.heif import heif_kind
from edgecnn.errors import ImageError

__all__ = ["Header", "broken_kind", "read_header"]

_SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ""},
    "MPO": {".jpg", ".jpeg", ".jpe"},  # a phone's JPEG with a second picture behind it
    "PNG": {".png", ""},
    "WEBP": {".webp"},
    "BMP": {".bmp", ".dib"},
    "TIFF": {".tif", ".tiff"},
    "PPM": {".pgm", ".ppm", ".pnm"},
    "JPEG2000": {".jp2"},
}
_BITS_PER_SAMPLE, _ORIENTATION = 258, 0x0112
# The errors that Pillow's plugins raise for a wrong header.
_BAD_HEADER = (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error, EOFError)


@dataclass(frozen=True)
class Header:
    """The format of a file, and what programs handle differently.

    compression  mean of a JPEG's luminance table: 1 is the finest; 0 for other formats
    oddities  those of wrong-suffix, 16-bit, grey, alpha, cmyk, exif-rotated, animated that apply
    """

    format: str
    oddities: tuple[str, ...]
    compression: float = 0.0


def read_header(data: bytes, suffix: str) -> Header | None:
    """Read the header of an encoded image; None when Pillow can't."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # A very large picture, or EXIF that is cut off: neither is decoded here.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            orientation = image.getexif().get(_ORIENTATION, 1)
            frames = getattr(image, "n_frames", 1)
    except (*_BAD_HEADER, Image.DecompressionBombError):
        return None
    name, mode, suffix = str(image.format), image.mode, suffix.lower()
    found = {
        "wrong-suffix": suffix not in _SUFFIXES.get(name, {suffix}),
        "16-bit": _bits(image, data) > 8,
        "grey": mode in ("1", "L", "LA", "I", "F") or mode.startswith("I;"),
        "alpha": mode in ("RGBA", "LA", "PA") or "transparency" in image.info,
        "cmyk": mode == "CMYK",
        "exif-rotated": orientation in range(2, 9),
        "animated": frames > 1 and name != "MPO",
    }
    tables = getattr(image, "quantization", None) or {0: [0]}
    compression = float(np.mean(next(iter(tables.values()))))
    return Header(name, tuple(odd for odd, applies in found.items() if applies), compression)


def broken_kind(data: bytes) -> str:
    """Say why a file can't be decoded: empty, truncated, not-an-image, heic, avif, unsupported or
    damaged."""
    if not data:
        return "empty"
    if data.startswith(b"GIF8"):
        return "unsupported"
    if kind := heif_kind(data):
        return kind.lower()
    try:
        check_image(data, "image")
    except ImageError:
        started = data.startswith((b"\xff\xd8\xff", b"\x89PNG"))
        return "truncated" if started else "not-an-image"
    return "damaged"


def _bits(image: Any, data: bytes) -> int:
    """Bits of a sample: Pillow's mode hides those of colour PNG and TIFF."""
    if image.format == "PNG":
        return data[24] if len(data) > 24 else 8
    if image.format == "TIFF":
        bits = image.tag_v2.get(_BITS_PER_SAMPLE, 8)
        return int(max(bits) if isinstance(bits, tuple) else bits)
    return 16 if image.mode.startswith("I") else 8
