"""Find likely label errors: images that a classifier trained on the others reads differently.

The idea is confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068): rank images
by held-out confidence. The classifier is an RBF support vector machine on 64 principal components
of gradient histograms (Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177) of the 32x32 pictures, and
of colour histograms where these help: fruit is told by its colour, a digit is not.
Random wrong labels show how a label error scores, and so where the list ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgecnn.accuracy.confidence import likeliest_temperature, softmax
from edgecnn.accuracy.tally import Tally
from edgecnn.inspect.findings import Example, Finding, percent
from edgecnn.inspect.scan import SIDE, Scan
from edgecnn.records import Record, json_as
from edgecnn.words import number

__all__ = ["LabelSuspicion", "check_labels"]

_FOLDS = 5
_FEWEST = 2 * _FOLDS  # different images; smaller classes are not checked
_COMPONENTS = 64
_MOST_TRAINING = 8000  # images in a fold: a support vector machine's time grows quadratically
_MOST_CLASSES = 100
_CELL, _ANGLES = 8, 9
_HUES = 8  # bins of each of the two colour axes
_COLOUR_WEIGHT = 2.0  # of colour histograms beside gradient histograms
_COLOURLESS = 0.01  # total variance of the colour histograms of grey pictures, at most
# The list is long enough to contain this share of labels swapped at random ...
_RECALL = 0.95
_TEMPERATURES = (0.018, 20.0)  # of the classifier's scores, at least and at most
# ... and a suspect's suggested label is at least twice as likely as its own.
_LEAST_ODDS = float(np.log(2))
# Shares of swapped labels whose scores give an upper limit for the errors in the data.
_LEVELS = (0.5, 0.6, 0.7, 0.8)
# With at least this share of wrong labels, the list is worth a warning.
_WORTH = 0.2
# An estimate below this rests on one or two images.
_FEWEST_WRONG = 3.0
# Below this accuracy on held-out images, most disagreements may be the classifier's own errors ...
_SURE = 0.9
# ... and below this one it can't question labels.
_BLIND = 0.6


@dataclass(frozen=True)
class Suspect(Record):
    """An image whose label is likely wrong, with confidences of the held-out classifier."""

    file: str
    given: str
    suggested: str
    given_confidence: float = field(metadata=json_as(digits=4))
    suggested_confidence: float = field(metadata=json_as(digits=4))


@dataclass(frozen=True)
class LabelSuspicion(Record):
    """Images with suspicious labels, the surest first.

    expected  estimated number of suspects with a wrong label
    recall    share of labels swapped at random that such a list contains
    held_out  how often the quick classifier agrees with the labels
    why_not   why nothing was checked, or None
    """

    suspects: tuple[Suspect, ...]
    expected: float = field(metadata=json_as("expected_wrong", digits=1))
    recall: float = field(metadata=json_as("recall_of_swapped", digits=3))
    held_out: Tally
    why_not: str | None
    findings: tuple[Finding, ...] = field(metadata=json_as(hidden=True))


def check_labels(scan: Scan, near_ids: np.ndarray, seed: int = 0) -> LabelSuspicion:
    """Find labels that the other images contradict.

    Args:
        near_ids: int64, shape (n,): equal for near-duplicates, which stay in one fold.
    """
    data = scan.data
    groups_of = [len(np.unique(near_ids[data.classes == k])) for k in range(len(data.labels))]
    large = [k for k, count in enumerate(groups_of) if count >= _FEWEST]
    judged = np.flatnonzero(np.isin(data.classes, large))
    if len(large) < 2:
        return _not_checked(Tally(0, 0), f"fewer than two classes have {_FEWEST} different images")
    given = np.searchsorted(large, data.classes[judged])
    scores = _best_scores(data.tensors[judged], given, near_ids[judged], seed)
    chances = softmax(scores, likeliest_temperature(scores, given, *_TEMPERATURES))
    held_out = Tally.of(chances.argmax(axis=1) == given)
    recalls = np.array(
        [(chances[given == k].argmax(axis=1) == k).mean() for k in range(len(large))]
    )
    if recalls.mean() < _BLIND:
        return _not_checked(held_out, "the quick classifier can't distinguish these classes")
    odds = _log_odds(chances, given)
    wrong = (given + np.random.default_rng(seed).integers(1, len(large), len(given))) % len(large)
    swapped = _log_odds(chances, wrong)
    limit = max(float(np.quantile(swapped, 1 - _RECALL)), _LEAST_ODDS)
    order = np.argsort(-odds, kind="stable")[: int((odds >= limit).sum())]
    suspects = tuple(
        Suspect(
            data.name(int(judged[row])),
            data.labels[large[given[row]]],
            data.labels[large[int(chances[row].argmax())]],
            float(chances[row, given[row]]),
            float(chances[row].max()),
        )
        for row in order
    )
    recall = float((swapped >= limit).mean())
    errors = min(_errors_at(odds, swapped, level) for level in _LEVELS)
    expected = min(recall * errors, float(len(suspects)))
    worst = (data.labels[large[int(recalls.argmin())]], float(recalls.min()))
    findings = _findings(suspects, expected, recall, held_out, float(recalls.mean()), worst)
    return LabelSuspicion(suspects, expected, recall, held_out, None, findings)


def _gradient_histograms(tensors: np.ndarray) -> np.ndarray:
    """Histograms of gradient directions without sign: light on dark equals dark on light.

    Args:
        tensors: uint8, shape (n, 32, 32, 3).

    Returns:
        float32, shape (n, 324): 3x3 overlapping blocks of 2x2 cells of 9 angles.
    """
    cells = SIDE // _CELL
    out = []
    for start in range(0, len(tensors), 512):  # bounded memory
        grey = tensors[start : start + 512].mean(axis=3, dtype=np.float32)
        dy, dx = np.gradient(grey, axis=(1, 2))
        angle = (np.arctan2(dy, dx) % np.pi) * (_ANGLES / np.pi)
        low = np.floor(angle)
        part = angle - low
        strength = np.hypot(dx, dy)
        counts = np.empty((len(grey), cells, cells, _ANGLES), np.float32)
        for k in range(_ANGLES):
            here, after = low % _ANGLES == k, (low + 1) % _ANGLES == k
            votes = strength * (here * (1 - part) + after * part)
            counts[..., k] = votes.reshape(-1, cells, _CELL, cells, _CELL).sum(axis=(2, 4))
        last = cells - 1
        corners = [counts[:, i : i + last, j : j + last] for i in (0, 1) for j in (0, 1)]
        blocks = np.concatenate(corners, axis=3)
        blocks /= np.sqrt((blocks**2).sum(axis=3, keepdims=True) + 200)
        out.append(blocks.reshape(len(grey), -1))
    return np.concatenate(out)


def _colour_histograms(tensors: np.ndarray) -> np.ndarray:
    """Histograms of colour regardless of light: square roots of shares.

    Args:
        tensors: uint8, shape (n, 32, 32, 3).

    Returns:
        float32, shape (n, 64): red less green by blue less green, over the sum of the three.
    """
    counts = np.empty((len(tensors), _HUES**2), np.float32)
    for row, tensor in zip(counts, tensors, strict=True):
        red, green, blue = np.moveaxis(tensor.astype(np.float32), -1, 0)
        scale = _HUES / (red + green + blue + 30)  # the dark has no colour
        axes = [np.clip((one - green) * scale + _HUES / 2, 0, _HUES - 1) for one in (red, blue)]
        across, down = (axis.astype(int) for axis in axes)
        row[:] = np.bincount((across * _HUES + down).reshape(-1), minlength=_HUES**2)
    return np.sqrt(counts / SIDE**2)


def _best_scores(
    tensors: np.ndarray, given: np.ndarray, groups: np.ndarray, seed: int
) -> np.ndarray:
    """Held-out scores by shapes, or by shapes and colours where these agree with more labels."""
    described = [_gradient_histograms(tensors)]
    colours = _colour_histograms(tensors)
    if colours.var(axis=0).sum() > _COLOURLESS:
        described.append(np.concatenate([described[0], _COLOUR_WEIGHT * colours], axis=1))
    scores = [_held_out_scores(_components(d, seed), given, groups, seed) for d in described]
    return max(scores, key=lambda found: float((found.argmax(axis=1) == given).mean()))


def _components(features: np.ndarray, seed: int) -> np.ndarray:
    """Principal components: float32, shape (n, at most 64)."""
    from sklearn.decomposition import PCA

    count = min(_COMPONENTS, *features.shape)
    pca = PCA(count, svd_solver="randomized", random_state=seed)
    return np.asarray(pca.fit_transform(features), np.float32)


def _held_out_scores(
    features: np.ndarray, given: np.ndarray, groups: np.ndarray, seed: int
) -> np.ndarray:
    """Score every image with a classifier that saw neither it nor its near-duplicates."""
    from sklearn.model_selection import StratifiedGroupKFold

    scores = np.zeros((len(given), int(given.max()) + 1))
    rng = np.random.default_rng(seed)
    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, held in splitter.split(features, given, groups):
        if len(train) > _MOST_TRAINING:
            train = rng.choice(train, _MOST_TRAINING, replace=False)
        model = _classifier(scores.shape[1])
        model.fit(features[train], given[train])
        found = model.decision_function(features[held])
        if found.ndim == 1:  # two classes: one score, positive for the second
            found = np.stack([-found, found], axis=1) / 2
        scores[np.ix_(held, model.classes_)] = found
    return scores


def _classifier(num_classes: int) -> Any:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.svm import SVC

    if num_classes <= _MOST_CLASSES:
        return SVC(C=3.0, gamma="scale", decision_function_shape="ovr")
    # An SVC would train one machine for each pair of classes.
    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)


def _log_odds(chances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log odds of the likeliest class over the label: 0 where they agree."""
    own = chances[np.arange(len(labels)), labels]
    return np.asarray(np.log(chances.max(axis=1) / np.maximum(own, 1e-300)))


def _errors_at(odds: np.ndarray, swapped: np.ndarray, level: float) -> float:
    """Estimate the errors in the data, as if all images beyond a limit were errors.

    A share `level` of the swapped labels is beyond the limit. Correct labels beyond it make the
    number too large; labels swapped between classes that look alike make it too small.
    """
    limit = max(float(np.quantile(swapped, 1 - level)), 1e-6)
    return float((odds >= limit).sum() / max((swapped >= limit).mean(), 1e-6))


def _findings(
    suspects: tuple[Suspect, ...],
    expected: float,
    recall: float,
    held_out: Tally,
    agreement: float,
    worst: tuple[str, float],
) -> tuple[Finding, ...]:
    """The finding on the suspects.

    Args:
        agreement: Share of labels the classifier agrees with, in the mean over classes: one that
            always says the common class agrees with nearly all of them.
        worst: The class with the least agreement, and that.
    """
    if not suspects:
        return ()
    count = len(suspects)
    overall = held_out.accuracy or 0.0
    sure = min(overall, agreement) >= _SURE
    # Random swaps would score otherwise; of swaps with the likeliest other class this says nothing.
    wrong = "hardly any was swapped at random, but classes that look alike may be mixed up"
    if sure and expected >= _FEWEST_WRONG:
        wrong = f"an estimated {round(expected)} are mislabelled, mostly the first"
    elif not sure:
        share, where = (
            (overall, "all labels") if overall < _SURE else (worst[1], f"class {worst[0]}")
        )
        wrong = (
            f"the quick classifier disagrees with {100 - 100 * share:.0f} % of {where}, so these "
            "may be its own errors"
        )
    return (
        Finding(
            "warning" if sure and expected >= max(_FEWEST_WRONG, _WORTH * count) else "note",
            "labels",
            f"{number(count, 'label')} of {held_out.total:,} {'is' if count == 1 else 'are'} "
            f"worth a look: {wrong}",
            "look at them in this order and give each image the label of what it shows; such a "
            f"list contains {percent(recall)} of labels swapped at random, and fewer of those "
            "swapped between classes that look alike",
            tuple(Example((s.file,), f"{s.given}, perhaps {s.suggested}") for s in suspects),
        ),
    )


def _not_checked(held_out: Tally, why: str) -> LabelSuspicion:
    note = Finding("note", "labels", f"labels were not checked: {why}")
    return LabelSuspicion((), 0.0, 0.0, held_out, why, (note,))
