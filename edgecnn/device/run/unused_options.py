"""Options of `run` that do nothing in this run: said, so that nobody counts on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields

from edgecnn.device.options import RunOptions

__all__ = ["unused_options"]

_OF_LOG = ("keep_frames", "keep_mb", "keep_days", "log_every", "log_mb", "site")
_OF_ROOT = ("session_mb", "root_mb")
_OF_CAMERA = ("timeout_s", "wait", "give_up")
_OF_CLOCK = ("every", "max_fps", "fps", *_OF_CAMERA)
_OF_DECISIONS = ("agree", "smoothing")
_NO_TABLE = re.compile(r"(.*=)?(folder|keys|marker|none|schedule:.*|sensor:.*)")


def unused_options(options: RunOptions, kind: str) -> Iterator[str]:
    """A line for each reason.

    Args:
        kind: Of the source, such as "images": see `capture.sources`.
    """
    default = RunOptions()
    names = [one.name for one in fields(options)]
    given = {name for name in names if getattr(options, name) != getattr(default, name)}

    def among(*names: str) -> str:
        flags = (f"--{name.removesuffix('_s').replace('_', '-')}" for name in names)
        return ", ".join(flag for name, flag in zip(names, flags, strict=True) if name in given)

    if options.log is None and options.log_root is None and (flags := among(*_OF_LOG)):
        yield f"{flags}: of no use without --log or --log-root"
    if options.log_root is None and (flags := among(*_OF_ROOT)):
        yield f"{flags}: of no use without --log-root"
    if options.changes_only and options.output != "jsonl":
        yield "--changes-only: of no use without --output jsonl"
    has_output = options.output == "jsonl" or options.mqtt or options.webhook
    if not has_output and (flags := among(*_OF_DECISIONS)):
        yield f"{flags}: of no use without --output jsonl, --mqtt or --webhook"
    if options.device == "cpu" and "twin_every" in given:
        yield "--twin-every: of no use on the CPU"
    if options.truth_offset and all(_NO_TABLE.fullmatch(one) for one in options.truth):
        yield "--truth-offset: of no use without --truth FILE.csv"
    if kind == "images" and (flags := among(*_OF_CLOCK)):
        yield f"{flags}: of no use for images, which have no clock; each is answered"
    if kind == "video" and (flags := among(*_OF_CAMERA)):
        yield f"{flags}: of no use for a recording"
    if kind == "live" and "fps" in given:
        yield "--fps: of no use for a camera or stream, which has times; --max-fps limits its rate"
