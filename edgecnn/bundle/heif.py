"""HEIC and AVIF pictures of phones: named as what they are, and read with the extra `heif`."""

from __future__ import annotations

import io

import numpy as np

from edgecnn.errors import ImageError

__all__ = ["decode_heif", "heif_kind"]

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")


def heif_kind(data: bytes) -> str | None:
    """HEIC or AVIF by the first bytes; None: neither."""
    if data[4:8] != b"ftyp":
        return None
    # mif1 is the brand of both: the compatible brands behind it decide.
    length = int.from_bytes(data[:4], "big")
    brands = {data[k : k + 4] for k in (8, *range(16, min(length, 64), 4))}
    if brands & set(_AVIF):
        return "AVIF"
    return "HEIC" if brands & set(_HEIC) else None


def decode_heif(data: bytes, name: str) -> np.ndarray:
    """Decode to an upright BGR frame: uint8, shape (height, width, 3).

    Raises:
        ImageError: The extra is not installed, or the file is damaged.
    """
    kind = heif_kind(data)
    try:
        from PIL import Image, ImageOps, features

        if kind == "HEIC":
            import pi_heif

            pi_heif.register_heif_opener()
        elif not features.check("avif"):
            raise ImportError("this Pillow has no AVIF")
    except ImportError as error:
        raise ImageError(
            f"{name} is a {kind} picture, which needs pip install '.[heif]' in a clone (here: "
            f"{error}); or save it as JPEG"
        ) from error
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(f"{name} is a damaged {kind} picture ({error}); copy it again") from error
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])
