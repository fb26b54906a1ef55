"""A large session as `run` writes it, and the processor time and memory that its audit takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgecnn.device.run.run import RunOptions, run
from edgecnn.session.events import FrameEvent, TruthEvent, top_scores
from edgecnn.session.layout import EVENTS_NAME
from edgecnn.session.read import open_session, read_frames

_FRAME_MS = 100
_BLOCK = 12_000  # frames, after which answers come again under new numbers
_THING = 40  # frames of a thing, in the mean

# An audit in a process of its own: no other's memory counts.
_AUDIT = """
import resource, sys, time
from edgecnn.audit.audit import AuditOptions, audit
start = time.process_time()
report = audit(sys.argv[1], AuditOptions(bundle=sys.argv[2]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.process_time() - start, peak, report.live.tally.total, report.checks.kept.frames)
"""


def events_table(bundle: Path, field: Path, counts: list[int], folder: Path) -> Iterator[str]:
    """The lines of the table: a session for each count of events.

    Args:
        field: FIELD/<class>/: the frames that are kept, answered again and undone.
    """
    yield "| events | frames | labels | MB on disk | processor s | peak resident, MB |"
    yield "|---|---|---|---|---|---|"
    for count in counts:
        session = folder / str(count)
        run(bundle, str(field), RunOptions(truth=("folder",), log=session))
        frames, labels = extend(session, count)
        size = (session / EVENTS_NAME).stat().st_size / 1e6
        command = [sys.executable, "-c", _AUDIT, str(session), str(bundle)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds, megabytes, counted, kept = map(float, done.stdout.split())
        assert (counted, kept > 0) == (labels, True)
        cells = f"{count:,} | {frames:,} | {labels:,} | {size:.0f}"
        yield f"| {cells} | {seconds:.1f} | {megabytes:.0f} |"
    yield ""


def extend(session: Path, count: int) -> tuple[int, int]:
    """Append frames of things that change, and labels of every second thing, up to so many events.

    Returns:
        How many frames and how many labels there are.
    """
    opened = open_session(session)
    frames = labels = len(read_frames(opened))
    block = _block(opened.card.labels)
    first, left = frames, count - 2 * frames
    with (session / EVENTS_NAME).open("ab") as file:
        while left > 0:
            part = block[:left]
            file.write(b"".join(event.line(first) for event in part))
            here = sum(event.is_truth for event in part)
            frames, labels = frames + len(part) - here, labels + here
            first, left = first + _BLOCK, left - len(part)
    return frames, labels


class _Event(NamedTuple):
    """A line without the numbers that differ from block to block.

    at, thing   the frame in its block, and the thing that is new there
    """

    is_truth: bool
    at: int
    thing: int | None
    rest: bytes

    def line(self, first: int) -> bytes:
        frame = first + self.at
        if self.is_truth:
            return b'{"event":"truth","frame":%d,%b' % (frame, self.rest)
        line = b'{"event":"frame","frame":%d,"t":%d,%b' % (frame, frame * _FRAME_MS, self.rest)
        if self.thing is None:
            return line
        return line[:-2] + b',"g":%d}\n' % (first + self.thing)


def _block(labels: Sequence[str]) -> list[_Event]:
    """One frame in five is misread; one in ten has all scores."""
    rng, size = np.random.default_rng(0), len(labels)
    events: list[_Event] = []
    thing = -1
    for at in range(_BLOCK):
        is_new = at == 0 or rng.random() < 1 / _THING
        if is_new:
            thing, label = thing + 1, int(rng.integers(size))
        scores = rng.dirichlet(np.full(size, 0.1)) * 0.3
        scores[label if rng.random() < 0.8 else rng.integers(size)] += 0.7
        scores = np.round(scores * 255) / 256
        every = tuple(scores.tolist())
        frame = FrameEvent(
            frame=0,
            t_ms=0,
            top=top_scores(every),
            confidence=float(scores.max()),
            age_ms=float(rng.uniform(5, 60)),
            invoke_ms=float(rng.uniform(1, 9)),
            scores=every if rng.random() < 0.1 else None,
        )
        rest = frame.to_line().removeprefix(b'{"event":"frame","frame":0,"t":0,')
        events.append(_Event(False, at, thing if is_new else None, rest))
        if thing % 2:
            truth = TruthEvent(0, labels[label], "sensor", why="all").to_line()
            rest = truth.removeprefix(b'{"event":"truth","frame":0,')
            events.append(_Event(True, at, None, rest))
    return events
