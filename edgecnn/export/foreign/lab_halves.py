"""The lab images of a network of another program, in two halves: one to replay, one to report.

Which images it was trained on is not known. So that its bundle can be adapted, half of the lab
images keep the new last layer from forgetting the lab and accept or reject it, a quarter each. No
figure is of them: the lab accuracy of the adapted bundle is that of the other half.
"""

from __future__ import annotations

import numpy as np

from edgecnn.model.lab_replay import MOST_TRAIN, Replay, in_turns, to_replay
from edgecnn.model.read import LabTest

__all__ = ["halve_lab_test"]

_TURNS = 4  # of the things of a class: report, replay, report, accept or reject
_REPLAY, _VAL = 1, 3


def halve_lab_test(test: LabTest, num_classes: int) -> tuple[Replay, np.ndarray] | None:
    """The half to replay, and the rows of the other one, int (n,); None where a class has too few.

    Images that show one thing stay together.
    """
    turn = np.zeros(len(test.labels), int)
    for k in range(num_classes):
        mine = np.flatnonzero(test.labels == k)
        turn[mine] = np.unique(test.things[mine], return_inverse=True)[1] % _TURNS
        if not len(mine) or turn[mine].max() < _VAL:
            return None
    replayed, val = (np.flatnonzero(turn == one) for one in (_REPLAY, _VAL))
    replayed = replayed[to_replay(test.labels[replayed], MOST_TRAIN)]
    val = val[in_turns(test.labels[val], MOST_TRAIN)]
    replay = Replay(
        train_tensors=test.tensors[replayed],
        train_embeddings=np.empty((0, 0), np.float32),  # what the file makes of them is embedded
        train_labels=test.labels[replayed],
        train_scores=test.keras_scores[replayed],
        val_tensors=test.tensors[val],
        val_labels=test.labels[val],
    )
    return replay, np.flatnonzero(turn % 2 == 0)
