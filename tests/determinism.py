"""The same files and frames on every machine: run in each environment, digests compared.

    python tests/determinism.py FOLDER > digests.json

Needs numpy, cv2 and edgecnn only. No test lives here. The lab's side writes `encoded_images()`
into FOLDER once, since encoders (unlike decoders) may differ between builds.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np

from edgecnn.bundle.preprocess import decode, tensor_sha256, to_tensor
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import ImageError

EXACT = ("nearest", "linear", "halving")
SIZES = ((1, 1), (2, 3), (17, 31), (64, 64), (65, 127), (240, 320), (479, 641), (600, 30))
TARGETS = ((24, 32), (64, 64), (96, 64), (17, 13))


def _orientation_block(orientation: int) -> bytes:
    """An EXIF block with nothing but an orientation: odd ones little endian, even ones big."""
    order = "little" if orientation % 2 else "big"
    words = [(42, 2), (8, 4), (1, 2), (0x0112, 2), (3, 2), (1, 4), (orientation, 2), (0, 2), (0, 4)]
    mark = b"II" if orientation % 2 else b"MM"
    return mark + b"".join(value.to_bytes(size, order) for value, size in words)


ORIENTATION_EXIF = {k: _orientation_block(k) for k in range(1, 9)}


def picture() -> np.ndarray:
    """A BGR picture without any symmetry."""
    y, x = np.mgrid[:45, :61]
    image = np.stack([x * 4, y * 5, (3 * x + 2 * y) % 256], -1).astype(np.uint8)
    image[5:15, 8:30] = [40, 20, 250]
    return image


def encoded_images() -> dict[str, bytes]:
    """Files of all kinds that people have, by a name that says what each is."""
    bgr = picture()
    high = bgr.astype(np.uint16) * 256 + 255 - bgr[..., ::-1]
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    bgra = np.dstack([bgr, grey])
    files = {
        "rgb.jpg": _encode(".jpg", bgr),
        "progressive.jpg": _encode(".jpg", bgr, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "grey.jpg": _encode(".jpg", grey),
        "rgb.png": _encode(".png", bgr),
        "rgba.png": _encode(".png", bgra),
        "grey.png": _encode(".png", grey),
        "rgb16.png": _encode(".png", high),
        "grey16.png": _encode(".png", high[..., 0]),
        "rgba16.png": _encode(".png", np.dstack([high, high[..., 0]])),
        "bit.png": _encode(".png", (grey > 90).astype(np.uint8) * 255, cv2.IMWRITE_PNG_BILEVEL, 1),
        "palette.png": _palette_png(),
        "rgb16.tif": _encode(".tif", high),
        "rgba.tif": _encode(".tif", bgra),
        "grey.tif": _encode(".tif", grey),
        "rgb.bmp": _encode(".bmp", bgr),
        "grey.bmp": _encode(".bmp", grey),
        "grey16.pgm": _encode(".pgm", high[..., 0]),
        "rgb.ppm": _encode(".ppm", bgr),
        "lossy.webp": _encode(".webp", bgr, cv2.IMWRITE_WEBP_QUALITY, 80),
        "alpha.webp": _encode(".webp", bgra, cv2.IMWRITE_WEBP_QUALITY, 101),
        "cmyk.jpg": base64.b64decode(CMYK_JPEG),
    }
    files["animated.png"] = _animated_png(files["rgb.png"])
    files["still.gif"] = b"GIF89a" + bytes(40)
    for k, block in ORIENTATION_EXIF.items():
        files[f"exif_jpeg_{k}.jpg"] = _jpeg_with_exif(files["rgb.jpg"], block)
        files[f"exif_png_{k}.png"] = _png_with(files["rgb.png"], _chunk(b"eXIf", block))
        files[f"exif_webp_{k}.webp"] = _webp_with_exif(bgr, block)
    return files


def digests(folder: Path) -> dict[str, str]:
    """Digest (or refusal) of each decoded file of a folder, and of tensors of many sizes."""
    found = {}
    frames = {f"noise{h}x{w}": _noise(h, w) for h, w in SIZES}
    for path in sorted(folder.iterdir()):
        try:
            frames[path.name] = decode(path.read_bytes(), path.name)
            found[path.name] = tensor_sha256(frames[path.name])
        except ImageError as error:
            found[path.name] = str(error)
    for name, frame in frames.items():
        for width, height in TARGETS:
            for interpolation in EXACT:
                for resize in ("stretch", "letterbox", "center_crop"):
                    spec = InputSpec(width, height, resize, interpolation, (7, 8, 9))
                    key = f"{name} {width}x{height} {interpolation} {resize}"
                    found[key] = tensor_sha256(to_tensor(frame, spec))[:16]
    return found


def _noise(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(h * 1000 + w).integers(0, 256, (h, w, 3), dtype=np.uint8)


def _encode(suffix: str, image: np.ndarray, *parameters: int) -> bytes:
    done, data = cv2.imencode(suffix, image, list(parameters))
    assert done, suffix
    return data.tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + checksum


def _png_with(png: bytes, chunks: bytes) -> bytes:
    """`chunks` put after the header."""
    return png[:33] + chunks + png[33:]


def _palette_png() -> bytes:
    """16 colours at 4 bits a pixel, one of them transparent."""
    rows = b"".join(b"\0" + bytes((x * 17 + y) % 256 for x in range(8)) for y in range(9))
    header = (16).to_bytes(4, "big") + (9).to_bytes(4, "big") + bytes([4, 3, 0, 0, 0])
    palette = bytes((k * 37) % 256 for k in range(48))
    parts = [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", bytes([255, 0, 128])),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def _animated_png(png: bytes) -> bytes:
    """The picture as default image that is no frame, then two frames of one colour."""
    frames = []
    for k in range(2):
        control = [(2 * k, 4), (61, 4), (45, 4), (0, 4), (0, 4), (1, 2), (10, 2), (0, 1), (0, 1)]
        frames.append(_chunk(b"fcTL", b"".join(v.to_bytes(n, "big") for v, n in control)))
        rows = zlib.compress((b"\0" + bytes([90 * k, 50, 7]) * 61) * 45)
        frames.append(_chunk(b"fdAT", (2 * k + 1).to_bytes(4, "big") + rows))
    start = _chunk(b"acTL", (2).to_bytes(4, "big") + (0).to_bytes(4, "big"))
    end = len(png) - 12
    return _png_with(png[:end] + b"".join(frames) + png[end:], start)


def _jpeg_with_exif(jpeg: bytes, block: bytes) -> bytes:
    content = b"Exif\0\0" + block
    return jpeg[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + jpeg[2:]


def _webp_with_exif(bgr: np.ndarray, block: bytes) -> bytes:
    """A lossless WebP in the extended form: VP8X (flag 8 = EXIF), the picture, EXIF."""
    h, w = bgr.shape[:2]
    image = _encode(".webp", bgr, cv2.IMWRITE_WEBP_QUALITY, 101)
    at = image.index(b"VP8L")
    picture = image[at : at + 8 + int.from_bytes(image[at + 4 : at + 8], "little") + 1 & ~1]
    size = (w - 1).to_bytes(3, "little") + (h - 1).to_bytes(3, "little")
    body = b"WEBPVP8X\x0a\0\0\0\x08\0\0\0" + size + picture
    body += b"EXIF" + len(block).to_bytes(4, "little") + block
    return b"RIFF" + len(body).to_bytes(4, "little") + body


# 8x8 pixels in CMYK, which OpenCV reads but does not write.
CMYK_JPEG = (
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwANCQoLCggNCwoLDg4NDxMgFRMSEhMnHB4XIC4pMTAuKS0sMzpKPjM2RjcsLUBX"
    "QUZMTlJTUjI+WmFaUGBKUVJP/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABcAAAMBAAAAAAAAAAAAAAAAAAAFBgf/xAAm"
    "EAABAQYEBwAAAAAAAAAAAAARAQADBAUSExQVIjECBgdRgaTi/9oADgRDAE0AWQBLAAA/ABOrBQ5H7fwyiR8p5vKHEfjr"
    "N2rRaqA4lTcp2ael0JjoF3E10VnSCAqpv4bTm//Z"
)


if __name__ == "__main__":
    json.dump(digests(Path(sys.argv[1])), sys.stdout)
