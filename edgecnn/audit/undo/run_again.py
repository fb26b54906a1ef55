"""The command that records a session's source again, as the session did or with one change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from shlex import join

from edgecnn.accuracy.thing_rule import LOOKS
from edgecnn.audit.ledger.change import Change
from edgecnn.bundle.artifacts import preferred
from edgecnn.bundle.frame_view import WHOLE_FRAME, FrameView, view_options
from edgecnn.session.header import SessionHeader

__all__ = ["by_options", "changed_views", "record_more", "run_again"]

# What `run --truth` takes for each word of the header that needs no person; a header holds no
# path, so that a file has a placeholder.
_TRUTH = {
    "folder": "folder",
    "csv": "FILE.csv",
    "schedule": "schedule:FILE",
    "sensor": "sensor:FILE.csv",
    "marker": "marker",
}


def run_again(
    header: SessionHeader,
    bundle: str,
    log: str,
    views: Sequence[FrameView] | None = None,
) -> str:
    """`edgecnn run` with everything that decides what the network sees, and the same labels where
    no person gave them.

    Args:
        bundle: Its path, as a person types it.
        log: The new session.
        views: In place of the session's own.
    """
    views = (header.regions if views is None else views) or (WHOLE_FRAME,)
    bundle = f"./{bundle}" if bundle.startswith("-") else bundle  # else read as an option
    words = ["edgecnn", "run", bundle, "--source", header.source or "SOURCE"]
    words += view_options(views, header.source_color)
    files = [one.file for one in header.card.artifacts]
    # Another program may have run a file of its own.
    if header.artifact in files and header.artifact != preferred(files):
        words += ["--artifact", header.artifact]
    if header.things != LOOKS:
        words += ["--things", header.things]
    region = "REGION=" if len(views) > 1 else ""  # the header doesn't say which it is about
    for source in header.truth:
        if source in _TRUTH:
            words += ["--truth", region + _TRUTH[source]]
    return join([*words, "--log", log])


def record_more(header: SessionHeader, bundle: str) -> str:
    """A camera shows other things next time; a file or folder the same ones."""
    if header.ran_over_files:
        header = replace(header, source="OTHER_IMAGES")
    return run_again(header, bundle, "more")


def changed_views(
    header: SessionHeader, change: Change, shape: tuple[int, ...], *, is_one_shape: bool
) -> tuple[FrameView, ...] | None:
    """What to cut out and how to turn it, so that `run` makes a change to what it did before.

    Args:
        shape: Of a kept frame, which is what came of the session's own view.
        is_one_shape: Whether all kept frames have it: only then a region can be told.

    Returns:
        None where the options of `run` can't do it.
    """
    views = header.regions or (WHOLE_FRAME,)
    if change.rotate or change.flip:
        return tuple(_turned(view, change) for view in views)
    cut = change.region(shape)
    if cut is None or not is_one_shape or len(views) > 1 or views[0].corners is not None:
        return None
    x, y, width, height = _before_turning(cut, views[0], shape)
    left, top = views[0].region[:2] if views[0].region else (0, 0)
    return (replace(views[0], region=(left + x, top + y, width, height)),)


def by_options(
    before: SessionHeader, after: SessionHeader, views: Sequence[FrameView] | None
) -> str:
    """What in the command makes the change: it may be an option that is not there any more.

    Args:
        views: In place of the session's own.
    """
    old, new = before.regions, views or after.regions
    gone = ["--color"] if before.source_color == "rgb" != after.source_color else []
    gone += [
        f"--{name}"
        for name in ("rotate", "flip")
        if any(getattr(view, name) for view in old) and not any(getattr(one, name) for one in new)
    ]
    if not gone:
        return "these options do it"
    return f"the session was recorded with {' and '.join(gone)}, and this command is without"


def _turned(view: FrameView, change: Change) -> FrameView:
    """The view, and after it the change.

    A flip stands behind the turn; to go before it, a further turn goes the other way.
    """
    further = -change.rotate if view.flip else change.rotate
    rotate, flip = (view.rotate + further) % 360, view.flip
    if change.flip and flip and change.flip != flip:
        rotate, flip = (rotate + 180) % 360, None  # both flips are half a turn
    elif change.flip:
        flip = None if flip == change.flip else change.flip
    return replace(view, rotate=rotate, flip=flip)


def _before_turning(
    cut: tuple[int, int, int, int], view: FrameView, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """A region of what comes of a view, in pixels of what goes into its turn and flip."""
    x, y, width, height = cut
    high, wide = shape[:2]
    if view.flip == "horizontal":
        x = wide - x - width
    if view.flip == "vertical":
        y = high - y - height
    if view.rotate == 90:
        return y, wide - x - width, height, width
    if view.rotate == 180:
        return wide - x - width, high - y - height, width, height
    if view.rotate == 270:
        return high - y - height, x, height, width
    return x, y, width, height
