"""Read the bytes of an image file before OpenCV decodes them.

Decoders differ between builds: OpenCV 4.11 ignores the orientation of a WebP that 5.0 heeds, 5.0
shows another frame of an animated PNG, 4.11 wheels can't read a GIF, and all of them fill what a
truncated file lacks with grey and say nothing. Lab and device must see the same pixels, so these
few things are settled here for every build.
"""

from __future__ import annotations

from edgecnn.errors import ImageError

__all__ = ["check_image", "is_webp", "still_png", "webp_orientation"]

_PNG = b"\x89PNG\r\n\x1a\n"
_MAGICS = (
    *(b"\xff\xd8\xff", _PNG, b"BM", b"II*\0", b"MM\0*"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
)
# JPEG markers that carry no length: TEM, RST0-7 and SOI itself.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_ANIMATION_CHUNKS = frozenset({b"acTL", b"fcTL", b"fdAT"})
_ORIENTATION_TAG = 0x0112


def check_image(data: bytes, name: str) -> None:
    """Refuse an image that some devices decode otherwise or not at all.

    Raises:
        ImageError: Empty, truncated, or of a format that some OpenCV builds don't read.
    """
    if not data:
        raise ImageError(f"{name} is empty (0 bytes), expected an image")
    if data.startswith((b"GIF87a", b"GIF89a")):
        raise ImageError(f"{name} is a GIF, which OpenCV on devices can't read; convert it to PNG")
    if not (data.startswith(_MAGICS) or is_webp(data)):
        raise ImageError(
            f"{name} is not an image; expected JPEG, PNG, WebP, BMP, TIFF, PNM or JPEG 2000"
        )
    if _is_truncated(data):
        raise ImageError(f"{name} is truncated: the end of the image is missing; copy it again")


def is_webp(data: bytes) -> bool:
    """Whether these are a WebP file's bytes."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def still_png(data: bytes) -> bytes:
    """An animated PNG without its animation, so that its default image is what is decoded.

    Anything else is given back as it is.
    """
    if not data.startswith(_PNG) or b"acTL" not in data:
        return data
    kept = [data[:8]]
    for kind, start, end in _png_chunks(data):
        if kind not in _ANIMATION_CHUNKS:
            kept.append(data[start:end])
    return b"".join(kept)


def webp_orientation(data: bytes) -> int:
    """The EXIF orientation of a WebP file: 1 to 8; 1 when it says nothing."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return _exif_orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
        at += 8 + size + size % 2
    return 1


def _exif_orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory of an EXIF block (a TIFF header and its entries)."""
    order: dict[bytes, str] = {b"II*\0": "little", b"MM\0*": "big"}
    if tiff[:4] not in order:
        return 1
    big = order[tiff[:4]] == "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], "big" if big else "little")

    directory = number(4, 4)
    for k in range(number(directory, 2)):
        entry = directory + 2 + 12 * k
        if number(entry, 2) == _ORIENTATION_TAG:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else 1
        if entry > len(tiff):
            break
    return 1


def _is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; the other decoders refuse such files by themselves."""
    if data.startswith(_PNG):
        return b"IEND" not in (kind for kind, _, _ in _png_chunks(data))
    return data.startswith(b"\xff\xd8") and _jpeg_is_truncated(data)


def _png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """(kind, start, end) of each whole chunk, up to and with the first IEND."""
    chunks = []
    at = 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        chunks.append((data[at + 4 : at + 8], at, end))
        if chunks[-1][0] == b"IEND":
            break
        at = end
    return chunks


def _jpeg_is_truncated(data: bytes) -> bool:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            # Start of scan: in the coded data that follows FF D9 can only be the end.
            return data.find(b"\xff\xd9", at) < 0
        if marker == 0xFF or marker in _BARE_MARKERS:
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return True
