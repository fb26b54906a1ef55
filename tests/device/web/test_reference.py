"""What the page calls a picture of the lab is one."""

from __future__ import annotations

import cv2
import numpy as np
from sessions import PAST_BUNDLE

from edgecnn.bundle.folder import Bundle
from edgecnn.device.web.reference import LabPictures


def test_a_golden_frame_of_the_field_is_no_lab_picture():
    bundle = Bundle.open(PAST_BUNDLE)
    best = {one.file: int(np.argmax(next(iter(one.scores.values())))) for one in bundle.golden()}
    pictures = LabPictures(bundle)
    assert {file.split("_")[1].split(".")[0] for file in best} == {"lab", "field"}
    assert pictures.classes == sorted({k for file, k in best.items() if "_lab" in file})
    for label in range(len(bundle.card.labels)):
        jpeg = pictures.jpeg(label)
        assert (jpeg is not None) == (label in pictures.classes)
        if jpeg is None:
            continue
        shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).astype(float)
        file = next(one for one, k in best.items() if k == label and "_lab" in one)
        assert (
            np.abs(shown - cv2.imread(str(PAST_BUNDLE / "golden" / file))).mean() < 20
        )  # noise, as a JPEG
