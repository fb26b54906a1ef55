"""What the page works on: a run that goes on, a session that was recorded, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.accuracy.tally import Tally, are_apart
from edgecnn.bundle.spec import Prediction
from edgecnn.device.web.given import GivenLabel
from edgecnn.records import Json

__all__ = ["Desk", "Look", "answer_json", "figure_json", "lab_json", "outlook"]

_NEXT = 4  # the answer, and the three that the page offers when it is wrong
_MORE = 20
_ENOUGH_POINTS = 4.0


@dataclass(frozen=True)
class Look:
    """A JPEG and what the page has to know of it."""

    jpeg: bytes
    about: Json


class Desk:
    """The base: it offers no picture and takes no label. Methods are called in the web thread, but
    `give` in another one where `takes_long` says so.

    `mode` is "live", "session" or "folder".
    """

    mode = "live"

    def about(self) -> Json:
        """What does not change: mode, run, labels and what the page can offer."""
        raise NotImplementedError

    def state(self) -> Json:
        """What changes: figures, the newest frame, how many frames wait."""
        raise NotImplementedError

    def question(self, person: str) -> Json | None:
        """The frame that this person is asked about next."""
        raise NotImplementedError

    def picture(self, frame: int) -> bytes | None:
        """The JPEG of a frame that can be labelled."""
        raise NotImplementedError

    def give(self, labels: Sequence[GivenLabel]) -> list[str | None]:
        """Take labels: for each None, or in words why it can't be used, now or later."""
        raise NotImplementedError

    def takes_long(self, _labels: Sequence[GivenLabel], /) -> bool:
        """Whether `give` may take seconds for these labels."""
        return False

    def answer(self, _given: GivenLabel, /) -> int | None:
        """The model's answer to a frame that a label is about to be given; None if forgotten."""
        return None

    def strip(self) -> list[Json]:
        """The last frames, oldest first."""
        return []

    def live(self) -> Look | None:
        """The newest frame, as the model sees it."""
        return None

    def camera(self) -> Look | None:
        """The newest frame whole, with sharpness and exposure."""
        return None

    def reference(self, _label: int, /) -> bytes | None:
        """The JPEG of a lab picture of a class."""
        return None

    def save_view(self, _region: tuple[int, int, int, int] | None, _rotate: int, /) -> Json:
        """Keep a region and rotation for the next run: the `file` that holds them now, and the
        options that were `typed` and win over it.
        """
        return {}

    def sessions(self) -> list[Json]:
        """The sessions on this machine, newest first."""
        return []

    def session_folder(self, _name: str, /) -> Path | None:
        """The folder of one of `sessions`."""
        return None

    def begin(self) -> None:
        """Make what labels go to, once the page is served."""

    def close(self) -> None:
        """Release files."""

    def add_class(self, _name: str, /) -> str | None:
        """Add a class to choose from; returns why it can't be one, None where it is added."""
        return "the classes are fixed"


def answer_json(answer: Prediction) -> Json:
    """An answer, its confidence, and the best classes, best first."""
    order = sorted(range(len(answer.scores)), key=lambda k: -answer.scores[k])
    others = [k for k in order[:_NEXT] if k != answer.index]
    return {
        "answer": answer.index,
        "confidence": round(answer.confidence, 6),
        "next": others[: _NEXT - 1],
    }


def figure_json(tally: Tally) -> Json:
    """A figure, its line as the run and the audit print it, and the `short` one beside a bar."""
    short = f"{tally.percent} ±{_half_points(tally):.1f}" if tally.total else "no labels"
    return {**tally.to_json(), "text": tally.text(), "short": short}


def lab_json(lab: Tally, file: Tally) -> Json:
    """Lab accuracy of the network, and of the file that runs where that is another one."""
    return {
        "lab": figure_json(lab),
        "lab_file": figure_json(file) if are_apart(lab, file) else None,
    }


def outlook(live: Tally, left: int = _MORE) -> Json:
    """How far the figure can be trusted now, and after up to 20 more random frames, in points.

    Args:
        left: How many random frames have no label yet.
    """
    num_more = min(left, _MORE)
    now = _half_points(live)
    share = 0.5 if live.accuracy is None else live.accuracy
    more = live.total + num_more
    worth = None if live.effective is None else live.effective * more / max(live.total, 1)
    then = _half_points(Tally(round(share * more), more, worth)) if more else now
    return {
        "now": round(now, 1),
        "more": num_more,
        "then": round(min(then, now), 1),
        "enough": live.total > 0 and now < _ENOUGH_POINTS,
    }


def _half_points(tally: Tally) -> float:
    low, high = tally.interval
    return 50 * (high - low)
