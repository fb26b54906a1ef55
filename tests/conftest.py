"""What the tests of several rooms share: small real images, a real model, a real bundle.

The digits are scikit-learn's `load_digits` (1,797 of 8x8 pixels): small enough that a network is
trained and exported in seconds, real enough that accuracy means something.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Read once, when numpy, scipy and TensorFlow are imported. For work as small as the tests' more
# threads only wait for each other: up to six times the processor time on two busy cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from trained import cache_root, is_whole, made_once

# Where Python is told to write no bytecode, every program that a test starts would compile its
# libraries again, TensorFlow in 20 seconds. They share what the first one compiles.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(cache_root() / "bytecode")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

REPO = Path(__file__).resolve().parents[1]
METERS = REPO.parent / "shared" / "data" / "meters"
NUM_LAB = 1300
Scene = Callable[[int], np.ndarray]

# On a busy machine an example may take any time, and so may drawing one.
settings.register_profile("edgecnn", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgecnn")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Servers and programs that tests start hold no doctests and need not be importable here."""
    is_helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_helper else None


def pytest_collection_finish() -> None:
    """What the imports made stays to the end: no garbage collection need look through it.

    Training and converting collect several times each, 0.3 seconds a time of TensorFlow alone.
    """
    gc.freeze()


@pytest.fixture(scope="session")
def meters() -> Path:
    """lab/<class>/ and field/<device>/<class>/ of the real meter images."""
    if not METERS.is_dir():
        pytest.skip("the meters data is not on this machine")
    return METERS


def environment(name: str) -> Path:
    """The python of an environment that tools/test made, or a skip."""
    root = os.environ.get("EDGECNN_ENVS")
    if root is None:
        pytest.skip("EDGECNN_ENVS is not set (tools/test sets it)")
    python = Path(root) / name / "bin" / "python"
    if not python.exists():
        if os.environ.get("EDGECNN_REQUIRE_ENVS") == "1":
            pytest.fail(f"{python} is missing, though tools/test should have made it")
        pytest.skip(f"{python} is not there")
    return python


@pytest.fixture(scope="session")
def env_python():
    """`environment`, for tests that are marked `env`."""
    return environment


def _write_digits(root: Path, first: int, last: int, gain: float) -> Path:
    """Digits first..last-1 as root/<class>/<number>.png, 36x44 BGR; `gain` dims them."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    tint = np.array([0.6, 0.8, 1.0])  # B, G, R: so that swapped channels are another picture
    for k in range(first, last):
        grey = cv2.resize(digits.images[k] * 15.9, (36, 44), interpolation=cv2.INTER_CUBIC)
        image = np.clip(grey[..., None] * tint * gain + 20, 0, 255).astype(np.uint8)
        path = root / str(digits.target[k]) / f"{k:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return root


@pytest.fixture(scope="session")
def write_digits():
    """`_write_digits`, for tests that need other digits or another light."""
    return _write_digits


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory) -> Path:
    """The lab: 1,300 labelled digits."""
    return _write_digits(tmp_path_factory.mktemp("digits") / "lab", 0, NUM_LAB, 1.0)


@pytest.fixture(scope="session")
def digits_field(tmp_path_factory) -> Path:
    """The field: 497 other digits, half as bright."""
    return _write_digits(tmp_path_factory.mktemp("digits") / "field", NUM_LAB, 1797, 0.5)


@pytest.fixture(scope="session")
def once() -> Iterator[Callable[..., Path]]:
    """`trained.made_once`; at the end of the run all that it gave must be as it was made."""
    given: list[Path] = []

    def make(*args, **options) -> Path:
        given.append(made_once(*args, **options))
        return given[-1]

    yield make
    for entry in given:
        assert is_whole(entry), f"a test wrote into {entry}, which it shares with others"


@pytest.fixture(scope="session")
def digits_model(once, digits_folder) -> Path:
    """A MODEL folder of a network that knows the digits; not to be written to."""
    from edgecnn.train.train import TrainOptions, train

    shape = {"width": 24, "height": 32, "network_width": 0.5}
    options = TrainOptions(**shape, epochs=8, augment="light", label_check=False, seed=1)

    def make(folder: Path) -> None:
        train(digits_folder, folder / "model", options)

    return once("digits-model", make) / "model"


@pytest.fixture(scope="session")
def digits_bundle(once, digits_model, digits_field) -> Path:
    """A bundle of all seven artifacts, calibrated on field images; not to be written to."""
    from edgecnn.export.export import ExportOptions, export

    def make(folder: Path) -> None:
        every = ExportOptions(formats=("all",))
        export(digits_model, digits_field, folder / "digits.edgecnn", every)

    entry = once("digits-bundle", make, exports=True, of=digits_model.parent)
    return entry / "digits.edgecnn"


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A smooth random picture of its number: uint8, shape (48, 40, 3)."""

    def make(number: int) -> np.ndarray:
        coarse = np.random.default_rng(number).uniform(20, 235, (6, 5, 3)).astype(np.float32)
        return cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype("u1")

    return make


@pytest.fixture
def write(scene):
    """Write scenes as root/NAME: write(root, "cat/1.png", 5) or with a picture instead of 5."""

    def make(root: Path, name: str, picture: int | np.ndarray) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = scene(picture) if isinstance(picture, int) else picture
        cv2.imencode(path.suffix, frame)[1].tofile(path)
        return path

    return make


@pytest.fixture
def two_classes(tmp_path, write) -> Path:
    """40 different scenes of each of two classes."""
    root = tmp_path / "lab"
    for k in range(80):
        write(root, f"{'ab'[k % 2]}/{k:03d}.png", k)
    return root
