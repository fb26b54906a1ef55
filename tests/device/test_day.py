"""A day of the loop and its log: `tools/bench day`, in small."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from _bench_day import measured


def test_a_log_of_many_classes_stays_small_and_memory_stays_the_same_while_pictures_come_and_go():
    found = measured({"classes": 100, "hours": 0.02})
    assert found["answers"] == 720
    assert found["pictures"] <= 200
    assert found["bytes"] < 300  # nearly half of the frames are kept, with their scores
    assert found["growth_mb"] < 5
    assert 0 < found["fsyncs"] <= 40
