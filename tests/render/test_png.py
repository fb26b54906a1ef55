"""Sheets of pictures: the pictures as they are, their titles, and little memory."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np

from edgecnn.render.png import picture_sheet


def test_a_sheet_shows_pictures_as_they_are_under_their_titles_and_takes_little_memory():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (14, 96, 48, 3), np.uint8)  # 14 in two lines
    rows = [("one", pictures), ("夏 $x", pictures), ("", pictures)]
    tracemalloc.start()
    png = picture_sheet(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert sheet.shape == (3 * 224, 1200, 3)
    for top in (24, 248, 472):
        for k, picture in enumerate(pictures):
            row, left = top + k // 12 * 100, k % 12 * 52
            assert np.array_equal(sheet[row : row + 96, left : left + 48], picture)
    titles = [int((sheet[top : top + 24] < 128).sum()) for top in (0, 224, 448)]
    assert titles[0] > 0
    assert titles[1] > 0
    assert titles[2] == 0
    assert peak < 20 * sheet.size
