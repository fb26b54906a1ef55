"""A fake picamera2 for tests, found by PYTHONPATH: what it does stands in FAKE_CAMERA, a folder.

`starts` there holds a letter a start, `controls` a line of JSON for each time that controls were
set. The file `hang` makes captures of the first start block for ever after 20 frames, `crash` kills
the process, `black` gives black pictures.
"""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np

COLOUR_BGR = (10, 120, 230)
LATE_S = 0.03  # from the sensor to a request that is done


def place() -> Path:
    return Path(os.environ["FAKE_CAMERA"])


class Request:
    """A frame and what the camera says of it."""

    def __init__(self, picture):
        self.picture, self.held = picture, True

    def make_array(self, name):
        assert (name, self.held) == ("main", True)
        return self.picture

    def get_metadata(self):
        return {
            "SensorTimestamp": int((time.monotonic() - LATE_S) * 1e9),
            "ExposureTime": 7000,
            "AnalogueGain": 1.5,
            "ColourGains": (1.25, 2.5),
        }

    def release(self):
        self.held = False


class Picamera2:
    """The calls of picamera2 that a capture needs; it delivers BGR for 'RGB888'."""

    def __init__(self):
        with (place() / "starts").open("a") as file:
            file.write("s")
        self.is_first = (place() / "starts").read_text() == "s"
        self.noise = np.random.default_rng(0)
        self.count = 0

    def create_video_configuration(self, main, controls):
        return {**main, "controls": controls}

    def configure(self, configuration):
        assert configuration["format"] == "RGB888"
        self.size = configuration["size"]
        self.set_controls(configuration["controls"])

    def set_controls(self, controls):
        with (place() / "controls").open("a") as file:
            file.write(json.dumps(controls) + "\n")

    def start(self):
        pass

    def capture_request(self):
        self.count += 1
        if self.is_first and self.count > 20:
            if (place() / "hang").exists():
                time.sleep(1e6)
            if (place() / "crash").exists():
                os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(0.02)
        width, height = self.size[0] // 10, self.size[1] // 10
        picture = np.full((height, width, 3), COLOUR_BGR, np.int16) + self.noise.integers(
            -9, 9, (height, width, 1)
        )
        if (place() / "black").exists():
            picture //= 100
        return Request(picture.astype(np.uint8))

    def stop(self):
        pass

    def close(self):
        (place() / "closed").touch()
