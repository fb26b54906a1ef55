"""Opens the outputs that the options of a run name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from edgecnn.device.options import RunOptions
from edgecnn.device.outputs.lines import JsonLines, Webhook
from edgecnn.device.outputs.metrics import Metrics
from edgecnn.device.outputs.mqtt import Mqtt
from edgecnn.device.outputs.publish import Output, Publisher, Publishers

__all__ = ["open_outputs"]


def open_outputs(
    options: RunOptions,
    name: str,
    write_line: Callable[[str], None] | None,
    stop: threading.Event,
    *,
    live: bool,
) -> Publishers:
    """Open all outputs, or none.

    Args:
        name: What the device is called.
        write_line: Takes the JSON lines of `--output jsonl`.
        stop: Ends the run.
        live: Whether the source is a camera or stream, which waits for no output.

    Raises:
        OptionError: An address is wrong or taken.
        MissingRuntimeError: A library is not installed.
    """
    with ExitStack() as undo:
        found: list[tuple[Output, bool]] = []

        def add(output: Output, *, changes_only: bool) -> None:
            found.append((output, changes_only))
            undo.callback(output.close)

        if options.output == "jsonl" and write_line is not None:
            add(JsonLines(write_line, stop), changes_only=options.changes_only)
        if options.webhook is not None:
            add(Webhook(options.webhook), changes_only=True)
        if options.metrics is not None:
            add(Metrics(options.metrics), changes_only=True)
        if options.mqtt is not None:
            add(Mqtt(options.mqtt, name), changes_only=True)
        undo.pop_all()
    publishers = [Publisher(one, changes_only=only) for one, only in found]
    return Publishers(publishers, None if live else stop)
