"""A linear probe: multinomial logistic regression on frozen features, as a network's classifier."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.confidence import softmax
from edgecnn.train.fitting.imbalance import class_weights
from edgecnn.train.options import TrainOptions

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

__all__ = ["Judged", "LinearHead", "fit_head", "judge_features", "strongest"]

_FOLDS = 3
# Inverse strengths of the L2 penalty, for features of unit scale.
_PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1)
_STEPS, _TOLERANCE = 200, 1e-3


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Softmax regression on features: kernel (features, classes) and bias (classes,), float32.

    penalty  inverse strength of its L2 penalty, as scikit-learn's C
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float

    def scores(self, features: np.ndarray) -> np.ndarray:
        """Softmax scores, float32, shape (n, classes)."""
        return np.asarray(softmax(features @ self.kernel + self.bias), np.float32)


@dataclass(frozen=True, eq=False)
class Judged:
    """What cross-validation says of one penalty: right answers and log losses, shape (n,)."""

    penalty: float
    right: np.ndarray
    losses: np.ndarray


def judge_features(
    features: np.ndarray, classes: np.ndarray, groups: np.ndarray, options: TrainOptions
) -> list[Judged]:
    """Cross-validate the probe by group with each penalty, the strongest first.

    Args:
        features: float32, shape (n, f).
        classes: int, shape (n,).
        groups: int, shape (n,): images of one group share a fold.
    """
    folds = list(_folds(classes, groups, options.seed))
    return [_judge(features, classes, penalty, folds, options) for penalty in _PENALTIES]


def strongest(judged: Sequence[Judged]) -> Judged:
    """The strongest penalty within one standard error of the best accuracy.

    In the lab weaker ones look as good; elsewhere they are worse (Breiman et al. 1984, section
    3.4.3, on choosing the simplest model).
    """
    best = max(one.right.mean() for one in judged)
    error = np.sqrt(best * (1 - best) / len(judged[0].right))
    return next(one for one in judged if one.right.mean() >= best - error)


def fit_head(
    views: Sequence[np.ndarray],
    classes: np.ndarray,
    num_classes: int,
    penalty: float,
    options: TrainOptions,
) -> LinearHead:
    """Fit the probe on the features of several views of the same images.

    With --imbalance its classes weigh as in training; for balanced_softmax the class shares are
    taken out of its bias instead.

    Args:
        views: Each float32, shape (n, f).
    """
    all_classes = np.tile(classes, len(views))
    head = _fitted(np.concatenate(views), all_classes, num_classes, penalty, options)
    if options.imbalance != "balanced_softmax":
        return head
    shares = np.maximum(1, np.bincount(classes, minlength=num_classes)) / len(classes)
    shift = options.imbalance_tau * np.log(shares)
    return replace(head, bias=(head.bias - shift).astype(np.float32))


def _folds(
    classes: np.ndarray, groups: np.ndarray, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    if len(np.unique(groups)) < _FOLDS:
        groups = np.arange(len(classes))
    with warnings.catch_warnings():
        # scikit-learn warns of a class with fewer groups than folds; the others still tell.
        warnings.simplefilter("ignore", UserWarning)
        for learn, held in splitter.split(classes, classes, groups):
            if len(held) and len(np.unique(classes[learn])) > 1:
                yield learn, held


def _judge(
    features: np.ndarray,
    classes: np.ndarray,
    penalty: float,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    options: TrainOptions,
) -> Judged:
    count = int(classes.max()) + 1
    right, losses = [], []
    for learn, held in folds:
        scores = _fitted(features[learn], classes[learn], count, penalty, options).scores(
            features[held]
        )
        right.append(scores.argmax(axis=1) == classes[held])
        losses.append(-np.log(np.maximum(scores[np.arange(len(held)), classes[held]], 1e-6)))
    order = np.argsort(np.concatenate([held for _, held in folds]), kind="stable")
    return Judged(penalty, np.concatenate(right)[order], np.concatenate(losses)[order])


def _fitted(
    features: np.ndarray,
    classes: np.ndarray,
    num_classes: int,
    penalty: float,
    options: TrainOptions,
) -> LinearHead:
    middle = features.mean(axis=0)
    # One scale for all features: one each would blow up the rounding of those that hardly vary.
    scale = float(features.std(axis=0).mean()) or 1.0
    scaled = ((features - middle) / scale).astype(np.float32)
    probe = _regression(scaled, classes, penalty, _weights(classes, num_classes, options))
    kernel, bias = probe.coef_, probe.intercept_
    if len(probe.classes_) == 2:  # one logit: half for each class
        kernel, bias = np.concatenate([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
    whole = np.zeros((features.shape[1], num_classes), np.float32)
    # A class without images in a fold is never the answer.
    shift = np.full(num_classes, bias.min() - 10.0, np.float32)
    whole[:, probe.classes_] = kernel.T / scale
    shift[probe.classes_] = bias - middle @ whole[:, probe.classes_]
    return LinearHead(whole, shift, penalty)


def _regression(
    features: np.ndarray, classes: np.ndarray, penalty: float, weights: np.ndarray | None
) -> LogisticRegression:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(C=penalty, max_iter=_STEPS, tol=_TOLERANCE)
    with warnings.catch_warnings():
        # Stopped after so many steps it reads as well; the last digits of a weight don't matter.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(features, classes, sample_weight=weights)


def _weights(classes: np.ndarray, num_classes: int, options: TrainOptions) -> np.ndarray | None:
    """The weight of each image in the loss, as in training; None when all are equal."""
    if options.imbalance == "balanced_sampling":
        options = replace(options, imbalance="class_weights")
    weights = class_weights(classes, num_classes, options)
    if weights is None:
        return None
    by_class = np.array([weights[k] for k in range(num_classes)])
    return np.asarray(by_class[classes])
