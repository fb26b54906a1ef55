"""Find copies that were augmented on disk: mirrored, turned a little, lighter or darker.

Tools write such copies before an upload, and a random split then puts one picture on both sides.
They are found in two ways.

By name        NAME.rf.HASH.jpg, NAME_90deg, NAME_flipLR, NAME_aug_3, Keras's NAME_0_1234.
By appearance  The largest centred square in 24x24 grey pixels is turned in steps of 5 degrees and
               by quarters, mirrored or not, and correlated with the others of its class inside a
               disc. Pairs that are alike are read again, aligned (Evangelidis and Psarakis 2008,
               doi:10.1109/TPAMI.2008.113), and their fine texture is compared by its sign: copies
               share noise and texture, other photographs of the same kind of thing don't.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from edgecnn.bundle.preprocess import readable_image

__all__ = ["SIDE", "Copied", "find_copied", "source_name", "square"]

SIDE = 24
# Quarter turns, and degrees after them: a full alignment finds no angle beyond a quarter.
_TURNS = (*((0, angle) for angle in range(-30, 31, 5)), (1, 0), (2, 0), (3, 0))
_LIMIT = 0.85  # correlation of pairs that are compared in detail
_NEAREST = 4  # such pairs of an image
_TRIED, _SHARE = 60, 0.03  # after so many comparisons with fewer hits than this, it ends
_FINE = 96  # pixels a side
# Agreement of the signs, and that in standard errors of pictures that have nothing in common.
_SAME, _SURE = 0.25, 5.5
_ALIKE = 0.8  # by name alone several files may be one picture; these must also look alike
_DIMENSIONS = 64
_MARGIN = 0.04  # of the correlation in fewer dimensions
_MOST = 2000  # images of a class: the time grows with the square
_FLAT = 2.0
_MIDDLE = (SIDE - 1) / 2
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE]
_DISC = np.hypot(_ROWS - _MIDDLE, _COLUMNS - _MIDDLE) <= _MIDDLE - 0.5

_WORD = (
    r"(?:new|rand(?:om)?)?[ _-]?(?:"
    r"\d{1,3}deg(?:ree)?s?(?:flip\w{0,2})?|flip(?:ped)?[_-]?(?:lr|tb|ud|h|v|hor\w*|ver\w*)?"
    r"|[hv]flip|mirror(?:ed)?|rot(?:ate|ated|ation)?[_-]?-?\d{0,3}|turned|bright(?:er|ness|ened)?"
    r"|dark(?:er|ened)?|contrast|nois[ey]|gauss(?:ian)?|blur(?:red)?|sharp(?:en(?:ed)?)?"
    r"|zoom(?:ed)?|shift(?:ed)?|shear(?:ed)?|crop(?:ped)?|scaled?|pixel\d*|aug(?:ment(?:ed)?)?"
    r"|hue|saturation|gamma|jitter(?:ed)?|elastic|cutout|warp(?:ed)?)"
)
_ENDS = re.compile(rf"(.+?)(?:[ _.-]+{_WORD}[ _-]?\d{{0,6}})+", re.IGNORECASE)
# What follows has a letter: aug_0_1234 is Keras's, with a prefix of the user's.
_STARTS = re.compile(rf"{_WORD}[ _-]\d{{1,6}}[ _-](.*[^\W\d_].*)", re.IGNORECASE)
# The same before a name that another file has: flip_img1, horizontal_flip_img1.
_BEFORE = re.compile(rf"(?:(?:horizontal|vertical)[ _-])?{_WORD}[ _-]+(.+)", re.IGNORECASE)
_UPLOAD = re.compile(r"(.+)\.rf\.[0-9A-Za-z]{6,}")
_AUGMENTOR = re.compile(r".*_original_(.+?)(?:\.\w+)?_[0-9a-f-]{32,36}")
_KERAS = re.compile(r"(.+_\d+)_\d{1,7}")


@dataclass(frozen=True, eq=False)
class Copied:
    """Links of augmented copies: int64, shape (n, 2), and the images that have a sister.

    by_name, by_look  numbers of images; those of the first are not counted again in the second
    counted  the links that are counted: those by look are of no near-duplicates
    """

    links: np.ndarray
    by_name: int
    by_look: int
    counted: np.ndarray

    def notes(self) -> list[str]:
        """One line on them, for the user."""
        if not (self.by_name or self.by_look):
            return []
        parts = [(self.by_name, "by name"), (self.by_look, "by appearance")]
        how = ", ".join(f"{count} {way}" for count, way in parts if count)
        return [
            f"{self.by_name + self.by_look} images are augmented copies of one another ({how}: "
            "turned, mirrored, lighter or darker); copies of one picture stay in one split"
        ]


def square(frame_bgr: np.ndarray) -> np.ndarray:
    """The largest centred square in 24x24 grey pixels: uint8, shape (576,).

    Args:
        frame_bgr: uint8, shape (h, w, 3).
    """
    return _centre(frame_bgr, SIDE).reshape(-1)


def _centre(frame_bgr: np.ndarray, size: int) -> np.ndarray:
    h, w = frame_bgr.shape[:2]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    middle = cv2.cvtColor(frame_bgr[top : top + side, left : left + side], cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA))


def source_name(name: str) -> tuple[str, bool] | None:
    """The picture that a file's name says it is a copy of; None: it says nothing.

    Returns:
        The name, and whether that is sure: what Keras writes looks like other numbered files, and
        a number after a word may be the picture's own.

    Example:
        >>> source_name("img1_jpg.rf.0a1b2c3d.jpg"), source_name("leaf (3)_flipLR.JPG")
        (('img1_jpg', True), ('leaf (3)', True))
        >>> source_name("cat_0_1234.jpeg"), source_name("IMG_2041.jpg")
        (('cat_0', False), None)
    """
    stem = PurePosixPath(name).stem
    for pattern in (_UPLOAD, _AUGMENTOR, _ENDS, _STARTS):
        found = pattern.fullmatch(stem)
        if found and found[1].strip(" _.-"):
            return found[1], pattern is not _ENDS or not stem[-1].isdigit()
    found = _KERAS.fullmatch(stem)
    return (found[1], False) if found else None


def find_copied(
    paths: Sequence[Path], classes: np.ndarray, squares: np.ndarray, known: np.ndarray
) -> Copied:
    """Find the images that are copies of one picture.

    Args:
        paths: Of the files.
        classes: int, shape (n,): copies are looked for within a class.
        squares: uint8, shape (n, 576): see `square`.
        known: int, shape (n,): equal for near-duplicates, which are not counted again.
    """
    named = _by_name([path.name for path in paths], classes, squares)
    looks = _by_look(paths, classes, squares)
    first = np.unique(named)
    apart = known[looks[:, 0]] != known[looks[:, 1]]
    new = np.setdiff1d(looks[apart], first)
    counted = np.concatenate([named, looks[apart]])
    return Copied(np.concatenate([named, looks]), len(first), len(new), counted)


def _by_name(names: Sequence[str], classes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    stems = {
        (int(k), PurePosixPath(n).stem): j
        for j, (n, k) in enumerate(zip(names, classes, strict=True))
    }
    groups: dict[tuple[int, str], list[int]] = defaultdict(list)
    sure: dict[tuple[int, str], bool] = {}
    for j, (name, kind) in enumerate(zip(names, classes, strict=True)):
        before = _BEFORE.fullmatch(PurePosixPath(name).stem)
        if before and (int(kind), before[1]) in stems:
            found: tuple[str, bool] | None = (before[1], True)
        else:
            found = source_name(name)
        if found is not None:
            key = (int(kind), found[0])
            groups[key].append(j)
            sure[key] = sure.get(key, True) and found[1]
    links = []
    for key, members in groups.items():
        whole = sorted({*members, *([stems[key]] if key in stems else [])})
        certain = (sure[key] or key in stems) and len(whole) <= 60
        if len(whole) > 1 and (certain or _look_alike(squares[whole])):
            links += [(whole[0], other) for other in whole[1:]]
    return np.array(links, np.int64).reshape(-1, 2)


def _look_alike(squares: np.ndarray) -> bool:
    """Whether most of some pictures look like the first, turned or mirrored."""
    views = _views(squares[:1])[0]
    return bool(np.median((views @ _vectors(squares[1:40]).T).max(axis=0)) >= _ALIKE)


def _by_look(paths: Sequence[Path], classes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    found = []
    for kind in np.unique(classes):
        rows = np.flatnonzero(classes == kind)
        if 2 <= len(rows) <= _MOST:
            pairs = _candidates(_views(squares[rows]), _vectors(squares[rows]))
            links = _verified([paths[k] for k in rows.tolist()], pairs)
            found.append(rows[links])
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def _candidates(views: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Pairs that are alike, the most alike first: int64, shape (m, 3).

    Args:
        views: float32, shape (n, v, d). vectors: float32, shape (n, d).

    Returns:
        The image that is turned, the other image, and the view.
    """
    basis = np.linalg.svd(vectors[:: max(1, len(vectors) // 400)], full_matrices=False)[2]
    basis = basis[:_DIMENSIONS].T
    small = vectors @ basis
    rows, scores = [], []
    for k, own in enumerate(views):
        rough = small @ (own @ basis).T
        likely = np.flatnonzero(rough.max(axis=1) >= _LIMIT - _MARGIN)
        likely = likely[likely != k]
        if not len(likely):
            continue
        exact = vectors[likely] @ own.T
        best = exact.argmax(axis=1)
        order = np.argsort(-exact.max(axis=1))[:_NEAREST]
        rows += [(k, int(likely[j]), int(best[j])) for j in order if exact[j].max() >= _LIMIT]
        scores += [float(exact[j].max()) for j in order if exact[j].max() >= _LIMIT]
    best_first = np.argsort(-np.array(scores), kind="stable")
    return np.array(rows, np.int64).reshape(-1, 3)[best_first]


def _verified(paths: Sequence[Path], pairs: np.ndarray) -> np.ndarray:
    """The pairs whose fine texture is the same, too: int64, shape (m, 2)."""
    links: list[tuple[int, int]] = []
    part = list(range(len(paths)))
    tried = 0
    fine = lru_cache(maxsize=256)(lambda k: _fine(paths[k]))
    for turned, other, view in pairs.tolist():
        if part[turned] == part[other]:
            continue
        tried += 1
        if tried > _TRIED and len(links) < _SHARE * tried:
            break  # pictures of simple shapes that are alike by chance
        one, two = fine(turned), fine(other)
        if one is not None and two is not None and _same_texture(one, two, view):
            links.append((turned, other))
            old, new = part[other], part[turned]
            part = [new if p == old else p for p in part]
    return np.array(links, np.int64).reshape(-1, 2)


def _fine(path: Path) -> np.ndarray | None:
    """The centred square of a file in grey, float32, at most 96 pixels a side."""
    frame = readable_image(path)
    if frame is None:
        return None
    return _centre(frame, min(_FINE, *frame.shape[:2])).astype(np.float32)


def _same_texture(turned: np.ndarray, other: np.ndarray, view: int) -> bool:
    """Whether two squares agree in the sign of their fine texture, once they are aligned."""
    side = min(len(turned), len(other))
    if side < SIDE:
        return False
    one, two = (cv2.resize(g, (side, side), interpolation=cv2.INTER_AREA) for g in (turned, other))
    if view >= len(_TURNS):
        one = one[:, ::-1]
    quarters, angle = _TURNS[view % len(_TURNS)]
    one = np.ascontiguousarray(np.rot90(one, quarters))
    middle, reflect = (side - 1) / 2, cv2.BORDER_REFLECT
    turn = cv2.getRotationMatrix2D((middle, middle), angle, 1)
    warp = cv2.invertAffineTransform(turn).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 25, 1e-3)
    whole = np.full((side, side), 255, np.uint8)
    try:
        _, best = cv2.findTransformECC(two, one, warp, cv2.MOTION_EUCLIDEAN, stop, whole, 3)
    except cv2.error:  # it finds no alignment
        return False
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = cv2.warpAffine(one, np.asarray(best), (side, side), flags=flags, borderMode=reflect)
    rows, columns = np.mgrid[:side, :side]
    inside = np.hypot(rows - middle, columns - middle) < 0.8 * middle
    signs = [np.where(inside, np.sign(_texture(g)), 0) for g in (aligned, two)]
    agreement = float((signs[0] * signs[1]).sum() / inside.sum())
    return agreement >= _SAME and agreement * np.sqrt(_grains(signs[1])) >= _SURE


def _grains(signs: np.ndarray) -> float:
    """How many independent grains a texture has, from how often its sign changes."""
    both = [(signs[1:], signs[:-1]), (signs[:, 1:], signs[:, :-1])]
    rates = [float((a * b < 0).sum() / max(1, (a * b != 0).sum())) for a, b in both]
    return float((signs != 0).sum()) * rates[0] * rates[1]


def _texture(grey: np.ndarray) -> np.ndarray:
    """Fine detail, 0 where there is less than half a grey level."""
    detail = cv2.GaussianBlur(grey, (0, 0), 0.7) - cv2.GaussianBlur(grey, (0, 0), 2.0)
    detail[np.abs(detail) < 0.25] = 0
    return np.asarray(detail)


def _views(squares: np.ndarray) -> np.ndarray:
    """Each picture turned by each angle, as it is and mirrored: float32, shape (n, 32, d)."""
    turns = [(q, cv2.getRotationMatrix2D((_MIDDLE, _MIDDLE), angle, 1)) for q, angle in _TURNS]
    size = (SIDE, SIDE)
    views = np.empty((len(squares), 2 * len(turns), SIDE * SIDE), np.uint8)
    for picture, out in zip(squares.reshape(-1, SIDE, SIDE), views, strict=True):
        sides = [[np.rot90(s, q).copy() for q in range(4)] for s in (picture, picture[:, ::-1])]
        turned = (
            cv2.warpAffine(quarters[q], turn, size, borderMode=cv2.BORDER_REFLECT)
            for quarters in sides
            for q, turn in turns
        )
        for k, view in enumerate(turned):
            out[k] = view.reshape(-1)
    return _vectors(views)


def _vectors(squares: np.ndarray) -> np.ndarray:
    """The pixels of the disc with zero mean and unit length; zero for flat pictures."""
    vectors = squares[..., _DISC.reshape(-1)].astype(np.float32)
    vectors -= vectors.mean(axis=-1, keepdims=True)
    spread = vectors.std(axis=-1, keepdims=True)
    vectors /= np.maximum(spread, 1e-6) * np.float32(np.sqrt(vectors.shape[-1]))
    vectors[spread[..., 0] < _FLAT] = 0
    return vectors
