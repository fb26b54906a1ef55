"""What a person sees of a running loop in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edgecnn.accuracy.tally import are_apart
from edgecnn.bundle.spec import Prediction
from edgecnn.device.live.status import Status
from edgecnn.words import number

__all__ = ["panel", "render"]

_LARGE_GAP_POINTS = 5.0


@contextmanager
def panel(stream: TextIO | None) -> Iterator[Callable[[Status], None] | None]:
    """What to give `run` as on_status: it redraws a panel; None where nobody watches.

    Example:
        with panel(sys.stderr) as on_status:
            result = run(bundle, source, options, on_status=on_status)
    """
    if stream is None or not stream.isatty():
        yield None
        return
    with Live(console=Console(file=stream), auto_refresh=False, transient=True) as live:
        yield lambda status: live.update(render(status), refresh=True)


def render(status: Status) -> Panel:
    """The panel as something that rich can print."""
    rows = Table.grid(padding=(0, 2))
    if status.swaps:
        rows.add_row("bundle", f"{status.bundle[:12]}, after {number(status.swaps, 'swap')}")
    rows.add_row("live accuracy", Text(status.live.text(), style="bold"))
    for name, tally in status.regions.items():
        rows.add_row(f"  {name}", tally.text())
    if status.reject is not None:
        rows.add_row("rejected", status.reject.text())
    rows.add_row("lab accuracy", status.lab.text())
    if are_apart(status.lab, status.lab_file):
        rows.add_row("of this file", Text(status.lab_file.text(), style="bold yellow"))
    rows.add_row("gap", _gap_text(status.gap_points))
    rows.add_row(
        "alarm", Text(status.alarm.text(), style="bold red" if status.alarm.raised else "")
    )
    rows.add_row("last frame", _answer(status.prediction, status.truth))
    rows.add_row(
        "frames",
        f"{status.frames} in {timedelta(seconds=int(status.elapsed_s))}, "
        f"{status.fps:.1f} a second, {status.dropped} dropped",
    )
    rows.add_row("frame age", status.age_ms.text())
    rows.add_row("invoke", status.invoke_ms.text())
    if status.silent:
        rows.add_row("camera", Text(f"no frame {status.silent.text()}", style="bold red"))
    if status.unlogged:
        rows.add_row("log", Text(f"not logging {status.unlogged.text()}", style="bold red"))
    if status.faults:
        counts = ", ".join(f"{name} {count}" for name, count in status.faults.items())
        rows.add_row("faults", Text(counts, style="yellow"))
    if status.warning:
        rows.add_row("warning", Text(status.warning, style="yellow"))
    return Panel(rows, title="edgecnn run", title_align="left", expand=False)


def _gap_text(points: float | None) -> Text:
    if points is None:
        return Text("unknown: no labelled frames", style="dim")
    return Text(
        f"{points:+.1f} points", style="bold red" if points > _LARGE_GAP_POINTS else "green"
    )


def _answer(prediction: Prediction | None, truth: str | None) -> Text:
    if prediction is None:
        return Text("none yet", style="dim")
    text = Text(f"{prediction.label}, {100 * prediction.confidence:.0f} %")
    if truth is not None:
        right = truth == prediction.label
        text.append(f", really {truth}", style="green" if right else "red")
    return text
