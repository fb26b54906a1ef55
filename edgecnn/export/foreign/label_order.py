"""Which label each score stands for, read off labelled images."""

from __future__ import annotations

import numpy as np

__all__ = ["enough_for_order", "likeliest_order"]

_OF_EACH = 5  # images a class: fewer could be explained by some order of almost any answers


def enough_for_order(num_images: int, num_classes: int) -> bool:
    """Whether so many images say anything on the order of the labels."""
    return num_images >= _OF_EACH * num_classes


def likeliest_order(top1: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """The label of each score with which most answers are right, one score a label.

    Args:
        top1: int (n,), the scores that were highest.
        truth: int (n,), the labels.

    Returns:
        int (num_classes,). Where two orders are as good, a score keeps its place.

    Example:
        >>> likeliest_order(np.array([1, 1, 0, 2]), np.array([0, 0, 1, 2]), 4).tolist()
        [1, 0, 2, 3]
    """
    from scipy.optimize import linear_sum_assignment

    confusion = np.zeros((num_classes,) * 2)
    np.add.at(confusion, (top1, truth), 1.0)
    confusion += np.eye(num_classes) / (2 * num_classes)  # together less than one image
    _, labels = linear_sum_assignment(confusion, maximize=True)
    return np.asarray(labels)
