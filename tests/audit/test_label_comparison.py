"""Two sets of labels, compared some frames at a time, give what all frames at once give."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from edgecnn.accuracy import intervals
from edgecnn.accuracy.paired import Paired
from edgecnn.audit.recordings.label_comparison import LabelComparison


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
@pytest.mark.parametrize("separate", [True, False])
def test_stretches_that_go_on_in_the_next_part_count_once(monkeypatch, chunk, separate):
    monkeypatch.setattr(intervals, "_CHUNK", chunk)
    rng = np.random.default_rng(0)
    label = np.repeat(rng.integers(-1, 3, 60), rng.integers(1, 9, 60)).astype(np.int8)
    size = len(label)
    other = np.where(rng.random(size) < 0.4, rng.integers(-1, 3, size), label)
    index = rng.integers(0, 3, size).astype(np.int8)
    region = np.arange(size) >= size // 2
    frames = SimpleNamespace(key=np.arange(size) + (region.astype(int) << 44), index=index)
    found = LabelComparison.of(frames, label, other, separate=separate)

    both = (label >= 0) & (other >= 0)
    before, after = both & (label == index), both & (other == index)
    changed = both & (label != other)
    told = np.maximum(label, 0)
    stretch, change = -1, {}
    for k in range(size):
        is_new = k == 0 or told[k] != told[k - 1] or region[k] != region[k - 1]
        stretch += separate or is_new
        change[stretch] = change.get(stretch, 0) + int(after[k]) - int(before[k])
    lost, won = (sum(sign * c > 0 for c in change.values()) for sign in (-1, 1))
    assert found == LabelComparison(
        Paired(lost, won),
        *(int(c.sum()) for c in (both, before, after, changed, changed & before, changed & after)),
    )
