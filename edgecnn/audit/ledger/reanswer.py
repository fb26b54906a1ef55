"""Answer the kept frames again by the bundle's own path here, and name the device's fault.

This needs no label and no lab image. The pictures that a session kept are what the device
classified; what it logged for them must be what the bundle makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgecnn.audit.ledger.match import (
    FEWEST,
    Match,
    match_regions,
    moved_labels,
    score_distance,
)
from edgecnn.audit.ledger.paths import answer, other_paths
from edgecnn.bundle.artifacts import twin_of
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import decode, read_image, to_tensor
from edgecnn.errors import ImageError, MissingRuntimeError
from edgecnn.records import Progress
from edgecnn.session.answers import region_of
from edgecnn.session.read import Frames, Session
from edgecnn.words import number

__all__ = ["UNKNOWN_PATH", "Reanswered", "reanswer", "spread"]

UNKNOWN_PATH = "a path that is not known here"
# At most so many pictures, and so many by each other path.
_MOST, _MOST_TRIED = 400, 150
_EXACT = 1e-9
# Scores that are further apart in the mean are of another path: crops and blurs that nobody sees
# move those of digits by 0.03 to 0.08. JPEG moved those of noisy crops by up to 2.5 times of what
# it does when it compresses them once more.
_NEAR, _TIMES = 0.015, 3.0
_QUALITY, _GRID = 95, 3
_LABEL_ORDER = "the labels in another order"
# Answers by pictures of the frames before or after: up to so many frames away.
_FURTHEST, _LAG_AGREES = 60, 0.9


@dataclass(frozen=True)
class Reanswered:
    """How the kept frames of one session come out here.

    Args:
        session: Which one.
        rows: int64, shape (n,): their rows in `Frames`.
        index: int64, shape (n,): the bundle's answers to them here.
        agreed: On how many the device gave the same answer.
        file: The artifact that answered here.
        match: What fits the device's answers better.
        lag: A picture's answer is logged so many frames later; 0: with its own frame.
        num_tried: How many other paths were tried.
        unreadable: Kept pictures that can't be decoded.
        score_error: Mean distance of the scores from those that the device logged, of the frames
            that chance kept: see `match.score_distance`.
        allowed_error: The largest such distance of the same path.
        by_jpeg: Other answers here are what keeping a picture as JPEG explains.
        example: What the bundle makes of the first kept frame, and what the named fault makes of
            it: two tensors, uint8 (height, width, 3), R, G, B; None where none is named.
    """

    session: Session
    rows: np.ndarray
    index: np.ndarray
    agreed: int
    file: str
    match: Match
    lag: int = 0
    num_tried: int = 0
    unreadable: int = 0
    score_error: float = 0.0
    allowed_error: float = _NEAR
    by_jpeg: bool = False
    example: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def fault(self) -> str | None:
        """What is wrong with the device's path, in a person's words; None: nothing is found."""
        if self.match.names:
            return " or ".join(self.match.names)
        if self.lag:
            way = "late" if self.lag > 0 else "early"
            frames = number(abs(self.lag), "frame")
            return f"answers come {frames} {way}: they are of other pictures"
        if self.match.unrelated:
            return "the pictures don't belong to their answers"
        return UNKNOWN_PATH if self.match.unknown else None

    @property
    def is_same(self) -> bool:
        """Whether the device did what the bundle does here; without it nothing need be wrong."""
        return self.fault is None and self.score_error <= self.allowed_error

    @property
    def evidence(self) -> str:
        """What was compared, in a sentence."""
        text = (
            f"{self.agreed} of {len(self.rows)} kept frames, answered again, agree with the device"
        )
        if self.match.names:
            text += f", {100 * self.match.agreement:.0f} % with this fault"
        if self.num_tried:
            text += f"; {self.num_tried} other paths tried"
        if self.by_jpeg:
            text += "; to compress the kept pictures once more moves their scores as far"
        return text


def reanswer(
    session: Session, frames: Frames, bundle: Bundle, progress: Progress | None = None
) -> Reanswered | None:
    """Answer the kept frames of a session here; None where it kept too few with their scores.

    Raises:
        MissingRuntimeError: The artifact's runtime is not installed here.
    """
    file = twin_of(session.artifact) or session.artifact
    kept, pictures, unreadable = _pictures(session, frames)
    if len(kept) < FEWEST:
        return None
    rows = np.array(kept)
    logged = np.array([frames.scores[row] for row in kept], np.float32)
    own = _own_scores(bundle, file, pictures, logged, progress)
    agreed = int((own.argmax(axis=1) == logged.argmax(axis=1)).sum())
    match, lag, tried = Match(), 0, 0
    apart = score_distance(logged, own)
    if apart.max() > _EXACT:
        part = spread(range(len(rows)), _MOST_TRIED)
        some = [pictures[k] for k in part]
        others = _other_scores(bundle, file, some, progress)
        tried = len(others)
        moved = moved_labels(logged[part], own[part])
        if moved is not None:
            others[_LABEL_ORDER] = moved
        match = match_regions(logged[part], own[part], others, _by_region(frames, rows[part]))
        if match.unrelated or match.unknown:
            lag = _lag(frames, rows, own)
    example = _example(bundle, pictures[0], match)
    by_chance = np.array([frames.by_chance(row) for row in kept])
    error = float(apart[by_chance if by_chance.any() else slice(None)].mean())
    allowed, by_jpeg = _NEAR, False
    if error > _NEAR or match.names or agreed < len(rows):
        names = [frames.images[row] for row in kept]
        lost = _TIMES * _compression_error(bundle, file, names, pictures, own)
        allowed += lost
        if error <= lost:  # what a blur or another size seems to explain is what JPEG took
            match = Match()
            by_jpeg = not lag and agreed < len(rows)
    return Reanswered(
        session,
        rows,
        own.argmax(axis=1),
        agreed,
        file,
        match,
        lag,
        tried,
        unreadable,
        error,
        allowed,
        by_jpeg,
        example,
    )


def _by_region(frames: Frames, rows: np.ndarray) -> dict[str | None, np.ndarray]:
    """Which of these rows are of each region, by its name."""
    number = region_of(frames.key[rows])
    return {name: np.flatnonzero(number == k) for name, k in frames.regions.items()}


def _compression_error(
    bundle: Bundle,
    file: str,
    names: Sequence[str],
    pictures: Sequence[np.ndarray],
    own: np.ndarray,
) -> float:
    """By how much the scores move when kept JPEG pictures are compressed once more; 0 of others.

    The blocks begin elsewhere, since in their own places a picture stays nearly as it is.
    """
    lossy = [k for k, name in enumerate(names) if Path(name).suffix.lower() in (".jpg", ".jpeg")]
    again = []
    for k in spread(lossy, _MOST_TRIED):
        moved = cv2.copyMakeBorder(pictures[k], _GRID, 0, _GRID, 0, cv2.BORDER_REPLICATE)
        data = cv2.imencode(".jpg", moved, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        again.append(decode(data.tobytes())[_GRID:, _GRID:])
    if not again:
        return 0.0
    scores = _scores(Classifier(bundle, file), again, None)
    return float(score_distance(own[spread(lossy, _MOST_TRIED)], scores).mean())


def _example(
    bundle: Bundle, picture: np.ndarray, match: Match
) -> tuple[np.ndarray, np.ndarray] | None:
    """The model's input by the bundle's path and by the fault that was named."""
    spec = bundle.card.input
    for path in other_paths(spec):
        if path.name in match.names[:1]:
            seen = np.clip(np.rint(path.values(picture)), 0, 255).astype(np.uint8)
            return to_tensor(picture, spec), seen
    return None


def _pictures(session: Session, frames: Frames) -> tuple[list[int], list[np.ndarray], int]:
    """The rows with a picture and all scores, at most _MOST, and their pictures in B, G, R."""
    wanted = [row for row in sorted(frames.images) if row in frames.scores]
    rows, pictures, unreadable = [], [], 0
    for row in spread(wanted, _MOST):
        try:
            pictures.append(read_image(session.picture(frames.images[row])))
        except ImageError:
            unreadable += 1
            continue
        rows.append(row)
    return rows, pictures, unreadable


def _own_scores(
    bundle: Bundle,
    file: str,
    pictures: Sequence[np.ndarray],
    logged: np.ndarray,
    progress: Progress | None,
) -> np.ndarray:
    """Scores by the bundle's own path, shape (n, classes).

    There are two families of integer kernels (see `GoldenFrame`); the nearer one counts.
    """
    own = _scores(Classifier(bundle, file), pictures, progress)
    if Path(file).suffix != ".tflite" or score_distance(logged, own).max() <= _EXACT:
        return own
    builtin = _scores(Classifier(bundle, file, kernels="builtin"), pictures, None)
    nearer = score_distance(logged, builtin).mean() < score_distance(logged, own).mean()
    return builtin if nearer else own


def _scores(
    classifier: Classifier, pictures: Sequence[np.ndarray], progress: Progress | None
) -> np.ndarray:
    found = []
    for k, picture in enumerate(pictures, 1):
        found.append(classifier.runtime.invoke(to_tensor(picture, classifier.card.input)))
        if progress:
            progress("answering kept frames again", k, len(pictures))
    return np.array(found, np.float32)


def _other_scores(
    bundle: Bundle, file: str, pictures: Sequence[np.ndarray], progress: Progress | None
) -> dict[str, np.ndarray]:
    """Scores by each other path, and by the other artifacts of the bundle."""
    runtime = Classifier(bundle, file).runtime
    found = {}
    paths = other_paths(bundle.card.input)
    for k, path in enumerate(paths, 1):
        scores = [answer(runtime, path.values(picture)) for picture in pictures]
        found[path.name] = np.array(scores, np.float32)
        if progress:
            progress("trying other paths", k, len(paths))
    for artifact in bundle.card.artifacts:
        if artifact.file == file or twin_of(artifact.file):
            continue
        try:
            other = Classifier(bundle, artifact.file)
        except MissingRuntimeError:
            continue  # onnxruntime, say: one path less is tried
        found[f"answered by {artifact.file}"] = _scores(other, pictures, None)
    return found


def _lag(frames: Frames, rows: np.ndarray, own: np.ndarray) -> int:
    """How many frames after its picture an answer is logged; 0 where no number fits.

    All frames are logged with their answer and its score, whether their picture was kept or not.
    """
    index, score = own.argmax(axis=1), own.max(axis=1)
    shares = {}
    for lag in range(-_FURTHEST, _FURTHEST + 1):
        at = rows + lag
        inside = (at >= 0) & (at < len(frames))
        if not lag or inside.sum() < FEWEST:
            continue
        at = at[inside]
        same = frames.index[at] == index[inside]
        near = np.abs(frames.confidence[at] - score[inside]) < 0.1
        shares[lag] = float((same & near).mean())
    best = max(shares, key=lambda lag: shares[lag], default=0)
    return best if best and shares[best] >= _LAG_AGREES else 0


def spread(items: Sequence[int], most: int) -> list[int]:
    """At most `most` of some numbers, evenly spread."""
    places = np.linspace(0, len(items) - 1, min(len(items), most)).astype(int)
    return [items[k] for k in sorted(set(places.tolist()))]
