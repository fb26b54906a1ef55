"""The same thing in several sessions: numbers of things that hold across them.

A run numbers what its frames show, through all sessions that it writes; the next run starts again
from 0. Of things whose picture was kept, the looks say which of them return. A thing without a
kept picture counts anew in each run: nothing is left to know it by. Where a person said what
counts as one thing (see `accuracy.thing_rule`), none returns.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.accuracy.objects import ObjectNumbers
from edgecnn.bundle.preprocess import readable_image, to_tensor
from edgecnn.session.read import Frames, Session

__all__ = ["link_things"]


def link_things(sessions: Sequence[Session], frames: Sequence[Frames]) -> list[Frames]:
    """The frames of each session, with numbers of things that hold across all of them.

    Sessions stay as they are where there is one, or where one has no numbers. A picture is read
    for each thing that has one.
    """
    if len(frames) == 1 or any(one.thing is None for one in frames):
        return list(frames)
    known: dict[int, int] = {}
    names: dict[Hashable, np.ndarray] = {}  # of the things of each run
    numbers, linked, taken = ObjectNumbers(), [], 0
    first: dict[Hashable, int] = {}  # of each run whose things don't return
    for session, one in zip(sessions, frames, strict=True):
        local = np.asarray(one.thing, np.int64)
        run, begins = session.header.run_key, session.header.run is None
        if not one.by_looks:
            start = taken if begins else first.get(run, taken)
            first[run] = start
            taken = max(taken, start + int(local.max(initial=-1)) + 1)
            linked.append(replace(one, thing=start + local))
            continue
        before = np.zeros(0, np.int64) if begins else names.get(run, np.zeros(0, np.int64))
        new = max(0, int(local.max(initial=-1)) + 1 - len(before))
        name = np.concatenate([before, taken + np.arange(new)])
        for thing, picture in _pictures(session, one, local).items():
            found = known.setdefault(numbers.number(picture), int(name[thing]))
            if thing >= len(before):
                name[thing] = found
        taken += new
        names[run] = name
        linked.append(replace(one, thing=name[local]))
    return linked


def _pictures(session: Session, frames: Frames, thing: np.ndarray) -> dict[int, np.ndarray]:
    """The fingerprint of the first kept picture of each thing, as the model sees it."""
    found: dict[int, np.ndarray] = {}
    for row in sorted(frames.images):
        if int(thing[row]) in found:
            continue
        image = readable_image(session.picture(frames.images[row]))
        if image is not None:
            seen = to_tensor(image, session.card.input)
            found[int(thing[row])] = fingerprint(seen, is_rgb=True)
    return found
