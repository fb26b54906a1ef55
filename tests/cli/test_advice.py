"""Every message of status 2 that names an option or a command: its advice works when it is run.

A case makes the message, then runs what it advises. What needs a device, another machine or minutes
is listed with the reason, or with the test that runs it.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from advice import messages
from advice_cases import CASES, ELSEWHERE, Case
from samples import sample
from some_images import some_of

from edgecnn.bundle.folder import seal
from edgecnn.camera.fitted import CameraFit
from edgecnn.cli.main import COMMANDS

REPO = Path(__file__).resolve().parents[2]
Ran = Callable[..., tuple[int, str, str]]


class Places:
    """Inputs by name, each made when it is first asked for."""

    def __init__(self, root: Path, known: dict[str, Path]) -> None:
        self.root, self.known = root, dict(known)
        self.edgecnn: Ran

    def __getitem__(self, name: str) -> Path:
        if name not in self.known:
            place = self.root / name.lower()
            self.known[name] = place
            getattr(self, f"make_{name.lower()}")(place)
        return self.known[name]

    def has(self, name: str) -> bool:
        return name in self.known or hasattr(self, f"make_{name.lower()}")

    def make_f(self, place: Path) -> None:
        """Six field digits of each class."""
        some_of(self["FIELD"], place, 6)

    def make_l(self, place: Path) -> None:
        """Six lab digits of each class."""
        some_of(self["LAB"], place, 6)

    def make_s(self, place: Path) -> None:
        """A session over F."""
        self._run("--truth", "folder", "--log", place)

    def make_each(self, place: Path) -> None:
        self._run("--truth", "folder", "--things", "each", "--log", place)

    def make_s2(self, place: Path) -> None:
        """Another one."""
        self._run("--max-frames", 20, "--log", place)

    def make_empty(self, place: Path) -> None:
        place.write_text("[export]\nformats = []\n")

    def make_bare(self, place: Path) -> None:
        """A session without pictures."""
        self._run("--keep-frames", 0, "--log", place)

    def make_t(self, place: Path) -> None:
        place.write_text("frame,label\n0,0\n1,0\n")

    def make_seconds(self, place: Path) -> None:
        place.write_text("start,end,label\n0.0,0.5,3\n")

    def make_raw(self, place: Path) -> None:
        """A camera's bare stream of JPEGs."""
        frames = [cv2.imread(str(path)) for path in sorted(self["F"].rglob("*.png"))[:8]]
        self.known["RAW"] = place.with_suffix(".mjpeg")
        data = b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames)
        self.known["RAW"].write_bytes(data)

    def make_tflite(self, place: Path) -> None:
        self.known["TFLITE"] = place.with_suffix(".tflite")
        shutil.copy(next(self["B"].glob("model_*.tflite")), self.known["TFLITE"])

    def make_loose(self, place: Path) -> None:
        """Splits with images directly in them."""
        for k, path in enumerate(sorted(self["F"].rglob("*.png"))):
            folder = place / ("train" if k % 3 else "test")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / f"{path.parent.name}_{path.name}")

    def make_loose_csv(self, place: Path) -> None:
        self._name_labels(place, "LOOSE")

    def make_boxes(self, place: Path) -> None:
        """The layout of an object detector's data set."""
        for name in ("images", "labels"):
            (place / name).mkdir(parents=True)
        for path in sorted(self["F"].rglob("*.png")):
            stem = f"{path.parent.name}_{path.stem}"
            shutil.copy(path, place / "images" / f"{stem}.png")
            (place / "labels" / f"{stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n")

    def make_boxes_csv(self, place: Path) -> None:
        self._name_labels(place, "BOXES")

    def make_no_camera(self, place: Path) -> None:
        _write_json(place, {"verdict": "not_fitted", "meaning": "not requested", "ranges": {}})

    def make_odd_camera(self, place: Path) -> None:
        camera = sample(CameraFit).to_json()
        (some,) = camera["ranges"].values()
        _write_json(place, {**camera, "ranges": {"rain": some}})

    def make_torn_camera(self, place: Path) -> None:
        _write_json(place, [])

    def make_resealed(self, place: Path) -> None:
        """A bundle whose card asks for another interpolation."""
        shutil.copytree(self["B"], place)
        card = json.loads((place / "card.json").read_text())
        card["input"]["interpolation"] = "nearest"
        (place / "card.json").write_text(json.dumps(card))
        seal(place)

    def _run(self, *options: object) -> None:
        status, _, err = self.edgecnn("run", self["B"], "-s", self["F"], *options)
        assert status == 0, err

    def _name_labels(self, table: Path, folder: str) -> None:
        names = sorted(path.name for path in self[folder].rglob("*.png"))
        table.write_text("file,label\n" + "".join(f"{n},{n[0]}\n" for n in names))


def _write_json(place: Path, data: object) -> None:
    place.mkdir()
    (place / "camera.json").write_text(json.dumps(data))


@pytest.fixture(scope="module")
def shared(tmp_path_factory, digits_bundle, digits_model, digits_field, digits_folder) -> Places:
    known = {"B": digits_bundle, "M": digits_model, "FIELD": digits_field, "LAB": digits_folder}
    return Places(tmp_path_factory.mktemp("advice"), known)


@pytest.fixture
def places(shared, edgecnn, tmp_path, monkeypatch) -> Iterator[Places]:
    """The shared inputs, a new place O to write to, and a port that is taken."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shared.edgecnn = edgecnn
    shared.known["O"] = tmp_path / "out"
    with socket.socket() as taken, socket.socket() as free:
        for one in (taken, free):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        shared.known["TAKEN"], shared.known["FREE"] = (
            Path(str(one.getsockname()[1])) for one in (taken, free)
        )
        free.close()
        yield shared


def typed(words: str, places: Places) -> list[str]:
    found = []
    for word in words.split():
        before, colon, name = word.rpartition(":")
        capital = name.isupper() and places.has(name)
        found.append(f"{before}{colon}{places[name]}" if capital else word)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.part)
def test_an_advice_works(case: Case, places, edgecnn, read):
    status, out, err = edgecnn(*typed(case.wrong, places))
    assert status == 2, out + err
    (line,) = (text for text in err.splitlines() if text.startswith("edgecnn "))
    for part in case.part.split("{}"):
        assert part in line
    right = typed(case.right, places)
    if case.read:
        read(right[0], *right[1:])
    else:
        status, out, err = edgecnn(*right)
        assert status < 2, err


def test_every_message_is_tried_or_says_why_not():
    parts = [case.part for case in CASES] + list(ELSEWHERE)
    texts = [message.text for message in messages()]
    assert len(texts) > 80
    for text in texts:
        assert any(part in text for part in parts), text
    for part in parts:
        assert any(part in text for text in texts), part
    for place in ELSEWHERE.values():
        assert not place.startswith("tests/") or (REPO / place).is_file(), place


def test_every_option_and_command_that_is_named_exists():
    flags = {about.key for command in COMMANDS.values() for about in command.shown}
    negated = {f"no-{about.key}" for c in COMMANDS.values() for about in c.shown if about.default}
    for message in messages():
        if "rpicam-hello" in message.text:
            continue
        unknown = set(message.options) - flags - negated - {"help"}
        assert not unknown, message
        for name in message.commands:
            assert name in COMMANDS
