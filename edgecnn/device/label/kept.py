"""The kept pictures of recorded sessions, with what the device answered and why each was kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecnn.bundle.spec import Prediction
from edgecnn.device.web.shelf import session_id
from edgecnn.errors import OptionError
from edgecnn.session.answers import frame_key
from edgecnn.session.events import FrameEvent
from edgecnn.session.layout import PICTURES_NAME
from edgecnn.session.read import Frames, Session, frame_events, open_session, read_frames
from edgecnn.session.reading.thin_log import answered_frames

__all__ = ["KeptPicture", "Recorded", "open_sessions"]

UNIFORM = "uniform"


@dataclass(frozen=True)
class KeptPicture:
    """A picture of a session: its frame, file, answer and pool."""

    frame: int
    region: str | None
    file: Path
    answer: Prediction
    pool: str | None

    @property
    def name(self) -> str:
        """The number of the frame, and the region where there are several."""
        return f"{self.frame}" if self.region is None else f"{self.frame}, {self.region}"


@dataclass(frozen=True)
class Recorded:
    """A session to label.

    Args:
        pictures: In the order of the frames.
        probability: With which a frame is in the uniform pool.
        frames: Every answer of the session.
    """

    session: Session
    pictures: tuple[KeptPicture, ...]
    probability: float | None
    frames: Frames


def open_sessions(paths: Sequence[Path]) -> tuple[list[Recorded], list[str]]:
    """Read sessions that are labelled together, each once however often it is given.

    Returns:
        The sessions, also those without pictures, whose labels count in the figure and in the
        audit that follows; and a note on each of these, and on those that are left out: a run that
        was stopped at its start leaves a session without a frame, and nobody can take it out of a
        folder that is being written.

    Raises:
        SessionError: A session can't be read.
        OptionError: None has pictures, or two are copies of one: labels would go to one of them.
    """
    once = list({path.resolve(): path for path in reversed(paths)}.values())[::-1]
    found: list[Recorded] = []
    notes: list[str] = []
    seen: dict[str, Path] = {}
    for path in once:
        session = open_session(path)
        first = seen.setdefault(session_id(session.path), path)
        if first != path:
            raise OptionError(f"{path} is a copy of {first}: give one of them, with all labels")
        if len(once) > 1 and next(frame_events(session), None) is None:
            notes.append(f"{path} holds no frame and is left out")
            continue
        found.append(_recorded(session))
        if not found[-1].pictures:
            notes.append(f"{path} has no kept pictures to look at; its labels count")
    if not any(one.pictures for one in found):
        which = once[0] if len(once) == 1 else f"none of the {len(once)} sessions"
        has = "has no kept pictures" if len(once) == 1 else "has kept pictures"
        raise OptionError(
            f"{which} {has}, expected some in {PICTURES_NAME}/; record with --keep-frames, and "
            "copy the whole folder"
        )
    return found, notes


def _recorded(session: Session) -> Recorded:
    """A session's answers and pictures."""
    frames = read_frames(session)
    found = {one.file: one for one in _kept(session, frames)}
    pictures = tuple(sorted(found.values(), key=lambda one: one.frame))
    uniform = sum(one.pool == UNIFORM for one in pictures)
    chance = min(1.0, uniform / answered_frames(frames)) if uniform else None
    return Recorded(session, pictures, chance, frames)


def _kept(session: Session, frames: Frames) -> Iterator[KeptPicture]:
    """The frames whose picture is still there; a later line of a frame replaces an earlier one."""
    labels = session.card.labels
    files = {int(frames.key[row]): session.picture(name) for row, name in frames.images.items()}
    for event in frame_events(session):
        file = files.get(frame_key(event.frame, frames.regions[event.region]))
        if file is not None:
            yield KeptPicture(event.frame, event.region, file, _answer(event, labels), event.pool)


def _answer(event: FrameEvent, labels: Sequence[str]) -> Prediction:
    """What the device answered; scores that were not logged are 0."""
    scores = list(event.scores or [0.0] * len(labels))
    for index, score in event.top:
        scores[index] = score
    index, score = event.top[0]
    confidence = score if event.confidence is None else event.confidence
    return Prediction(index, labels[index], confidence, tuple(scores))
