"""What the page sends is checked before anything else sees it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from edgecnn.device.web.given import GivenLabel, SeenLabels

GOOD = {
    "id": "a-1",
    "run": "r",
    "frame": 7,
    "label": "cat",
    "via": "page",
    "by": "Ada",
    "unseen": False,
    "at": 1_700_000_000_123,
}


def test_a_label_keeps_all_that_was_said():
    given = GivenLabel.read({**GOOD, "last": 9, "label": None})
    assert (given.first, given.last, given.label, given.by) == (7, 9, None, "Ada")
    assert given.at == datetime(2023, 11, 14, 22, 13, 20, 123000, timezone.utc)


@pytest.mark.parametrize("key", GOOD)
def test_every_part_is_needed_and_has_its_type(key):
    missing = {k: v for k, v in GOOD.items() if k != key}
    for broken in (missing, *({**GOOD, key: value} for value in ([], {}, -1, 1.5, "", "\0"))):
        with pytest.raises(ValueError, match=r"\w"):
            GivenLabel.read(broken)


@pytest.mark.parametrize(
    "change",
    [
        {"frame": 1 << 44},
        {"frame": True},
        {"last": 6},
        {"last": 7 + 100_000},
        {"id": "../x"},
        {"id": "x" * 65},
        {"label": "x" * 201},
        {"by": "x" * 41},
        {"by": "a\nb"},
        {"via": "keys"},
        {"at": 1 << 44},
        {"withdrawn": True},
        {"withdrawn": 1, "label": None},
    ],
)
def test_what_is_out_of_bounds_is_refused(change):
    with pytest.raises(ValueError, match=r"\w"):
        GivenLabel.read({**GOOD, **change})


@pytest.mark.parametrize("data", [None, [], "label", 3])
def test_anything_else_is_no_label(data):
    with pytest.raises(ValueError, match="not an object"):
        GivenLabel.read(data)


def test_an_id_counts_once_and_memory_is_bounded():
    seen = SeenLabels()
    assert [seen.add("a"), seen.add("a"), seen.add("b")] == [True, False, True]
    for k in range(50_000):
        seen.add(str(k))
    assert len(seen._ids) == 20_000
