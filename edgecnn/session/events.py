"""The lines of a session's events.jsonl: what the device writes and the audit reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgecnn.records import Json, known_fields

__all__ = ["FrameEvent", "TruthEvent"]


@dataclass(frozen=True)
class FrameEvent:
    """One classified frame in events.jsonl. It never holds a label of the field: see TruthEvent.

    Args:
        frame: Position in the source, from 0. Live sources skip numbers: those were dropped.
        captured_at: UTC, ISO 8601 with milliseconds, when the frame left the source.
        name: File name in an image folder, else None.
        index: The predicted class (ties go to the lower index).
        scores: One for each label.
        age_ms: From capture to answer.
        invoke_ms: Inside the interpreter.
        preprocess_ms: From frame to tensor.
        image: File in the session's frames/ that keeps this frame, or None.
    """

    frame: int
    captured_at: str
    index: int
    scores: tuple[float, ...]
    age_ms: float
    invoke_ms: float
    preprocess_ms: float
    name: str | None = None
    image: str | None = None

    def to_json(self) -> Json:
        return {"event": "frame", **asdict(self), "scores": list(self.scores)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FrameEvent:
        return cls(**{**known_fields(cls, data), "scores": tuple(map(float, data["scores"]))})


@dataclass(frozen=True)
class TruthEvent:
    """The true label of a frame, from `source` ('folder', 'csv', ...). A later one replaces it."""

    frame: int
    label: str
    source: str

    def to_json(self) -> Json:
        return {"event": "truth", **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TruthEvent:
        return cls(**known_fields(cls, data))
