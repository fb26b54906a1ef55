"""A fake picamera2 for tests, found by PYTHONPATH: what it does stands in FAKE_CAMERA, a folder.

`starts` there holds a letter a start. The file `hang` makes captures of the first start block for
ever after 20 frames, `crash` kills the process, `black` gives black pictures.
"""

import os
import signal
import time
from pathlib import Path

import numpy as np

PLACE = Path(os.environ["FAKE_CAMERA"])
COLOUR_BGR = (10, 120, 230)


class Picamera2:
    """The five calls of picamera2 that a capture needs; it delivers BGR for 'RGB888'."""

    def __init__(self):
        with (PLACE / "starts").open("a") as file:
            file.write("s")
        self.is_first = (PLACE / "starts").read_text() == "s"
        self.noise = np.random.default_rng(0)
        self.count = 0

    def create_video_configuration(self, main):
        return main

    def configure(self, configuration):
        assert configuration["format"] == "RGB888"

    def start(self):
        pass

    def capture_array(self, name):
        self.count += 1
        if self.is_first and self.count > 20:
            if (PLACE / "hang").exists():
                time.sleep(1e6)
            if (PLACE / "crash").exists():
                os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(0.02)
        picture = np.full((48, 64, 3), COLOUR_BGR, np.int16) + self.noise.integers(
            -9, 9, (48, 64, 1)
        )
        if (PLACE / "black").exists():
            picture //= 100
        return picture.astype(np.uint8)

    def stop(self):
        pass

    def close(self):
        (PLACE / "closed").touch()
