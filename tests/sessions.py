"""Sessions written by hand as docs say that devices write them (format 2), and one of the past."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import read_image
from edgecnn.session.layout import picture_stem

# What edgecnn 0.1.0 wrote at commit e6e79ac: a bundle and sessions of format 1.
PAST = Path(__file__).parent / "data" / "v0_1_0"
PAST_BUNDLE = PAST / "color.edgecnn"

ARTIFACT = "model_full_integer_quant.tflite"
LABELS = tuple(f"{color} {digit}" for color in ("blue", "red") for digit in range(4))
NOW = "2024-05-01T10:00:00.000+00:00"
BOOT = "6f1d2c1e-0000-4000-8000-000000000000"


def write_session(
    path: Path, bundle: Path, events: Iterable[dict | bytes], artifact: str = ARTIFACT, **info
) -> Path:
    """A SESSION folder in the documented format; bytes are written as they are."""
    opened = Bundle.open(bundle)
    (path / "frames").mkdir(parents=True)
    head = {
        "format": 2,
        "edgecnn": "0.1.0",
        "bundle": {"path": str(bundle), "sha256": info.pop("sha256", opened.sha256)},
        "card": opened.card.to_json(),
        "artifact": artifact,
        "device": "cpu",
        "runtime": "ai_edge_litert",
        "source": "0",
        "source_color": "bgr",
        "truth": ["folder"],
        "regions": [],
        "host": {"name": "pi"},
        "boot_id": BOOT,
        "started_at": NOW,
        **info,
    }
    (path / "session.json").write_text(json.dumps(head))
    lines = [e if isinstance(e, bytes) else json.dumps(e).encode() + b"\n" for e in events]
    (path / "events.jsonl").write_bytes(b"".join(lines))
    return path


def keep_pictures(session: Path, count: int = 30) -> Path:
    """Files for the pictures of the first frames; nothing can read them."""
    for frame in range(count):
        (session / "frames" / f"{picture_stem(frame)}.png").touch()
    return session


def frame_event(frame: int, scores, confidence: float | None = None, **more) -> dict:
    """The answer of a device, 40 ms after the last."""
    scores = np.asarray(scores, float)
    best = np.argsort(-scores, kind="stable")[:3]
    return {
        "event": "frame",
        "frame": frame,
        "t": 40 * frame,
        **({"at": NOW} if frame == 0 else {}),
        "k": [[int(k), 256 * float(scores[k])] for k in best],
        "c": float(scores.max() if confidence is None else confidence),
        "age": 20.0,
        "invoke": 5.0,
        **more,
    }


def truth_event(frame: int, label: str | None, **more) -> dict:
    return {"event": "truth", "frame": frame, "label": label, "via": "folder", **more}


def answer_event(frame: int, right: bool, truth: int = 0, confidence: float = 0.9, **more) -> dict:
    """A frame answered right or wrong by hand (wrong: the next class)."""
    scores = np.full(len(LABELS), (1 - confidence) / (len(LABELS) - 1))
    scores[truth if right else (truth + 1) % len(LABELS)] = confidence
    return frame_event(frame, scores, **more)


def record_folder(
    path: Path, bundle: Path, folder: Path, *, swapped: bool = False, truth: bool = True, **info
) -> Path:
    """What a device writes that runs over an image folder; `swapped`: it takes BGR for RGB."""
    classifier = Classifier(bundle, ARTIFACT)
    events: list[dict] = []
    pictures = {}
    for k, file in enumerate(sorted(folder.rglob("*.png"))):
        frame = read_image(file)
        answer = classifier(frame[..., ::-1] if swapped else frame)
        more = {"name": file.relative_to(folder).as_posix()}
        if k % 2 == 0:
            pictures[f"{k:08d}.png"] = file.read_bytes()
            more["pool"] = "uniform"
        events.append(frame_event(k, answer.scores, answer.confidence, **more))
        if truth:
            events.append(truth_event(k, file.parent.name))
    events.append({"event": "end", "reason": "end of source"})
    session = write_session(path, bundle, events, source=str(folder), **info)
    for name, data in pictures.items():
        (session / "frames" / name).write_bytes(data)
    return session
