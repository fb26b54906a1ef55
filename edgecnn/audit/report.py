"""The audit as one self-contained HTML page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgecnn import __version__
from edgecnn.audit import plots
from edgecnn.audit.ledger import UNEXPLAINED
from edgecnn.audit.live import Misread
from edgecnn.audit.result import AuditReport
from edgecnn.errors import ImageError, MissingRuntimeError, OutputError
from edgecnn.preprocess import read_image
from edgecnn.records import Tally
from edgecnn.staging import write_file

__all__ = ["check_report", "write_report"]

_THUMBNAIL = 120


@dataclass(frozen=True)
class _Picture:
    """A misread frame as the page shows it; `uri` is None when its picture was not kept."""

    uri: str | None
    truth: str
    predicted: str
    confidence: float
    where: str


def check_report(target: Path) -> None:
    """Refuse before the work what would be refused after it.

    Raises:
        MissingRuntimeError: jinja2 or matplotlib is not installed, as on a device.
        OutputError: `target` is a folder.
    """
    missing = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise MissingRuntimeError(
            f"the HTML report needs {' and '.join(missing)}, not installed here; "
            "pip install 'edgecnn[lab]', or audit without -o (text and --json need neither)"
        )
    if target.is_dir():
        raise OutputError(f"{target} is a folder, expected the name of an HTML file for -o")


def write_report(report: AuditReport, target: Path, *, bundle_sha256: str) -> None:
    """Write the page, whole or not at all.

    Raises:
        OutputError: The place is read-only or full.
    """
    write_file(target, render(report, bundle_sha256).encode("utf-8", "replace"))


def render(report: AuditReport, bundle_sha256: str) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    template = files("edgecnn.audit").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = _percent
    environment.filters["interval"] = _interval
    return environment.from_string(template).render(
        report=report,
        version=__version__,
        bundle_sha256=bundle_sha256,
        headline=_headline(report),
        unexplained=UNEXPLAINED,
        labelled=report.live.tally.total > 0,
        plots=_plots(report),
        sheets=_sheets(report),
        worst=_pictures(report.live.worst),
    )


def _plots(report: AuditReport) -> dict[str, plots.Plot]:
    made = {"waterfall": plots.waterfall_plot(report)}
    if report.live.tally.total:
        made["classes"] = plots.class_plot(report)
        made["confusion"] = plots.confusion_plot(report)
        made["time"] = plots.time_plot(report)
    return made


def _headline(report: AuditReport) -> str:
    """The finding in one sentence."""
    gap, interval = report.gap_points, report.gap_interval
    if gap is None or interval is None:
        return "The session has no field labels: live accuracy and the gap are unknown."
    size = f"{abs(gap):.1f} points"
    if interval[0] > 0:
        return f"Live accuracy is {size} below lab accuracy."
    if interval[1] < 0:
        return f"Live accuracy is {size} above lab accuracy."
    return f"No gap is proved: the difference of {gap:.1f} points may be chance."


def _sheets(report: AuditReport) -> list[dict[str, Any]]:
    """The largest confusions with pictures of what was misread."""
    return [
        {"confusion": confusion, "pictures": _pictures(confusion.examples)}
        for confusion in report.live.confusions[:8]
    ]


def _pictures(misreads: Sequence[Misread]) -> list[_Picture]:
    return [
        _Picture(
            _thumbnail(m.image),
            m.truth,
            m.predicted,
            m.confidence,
            f"{Path(m.session).name}, frame {m.frame}",
        )
        for m in misreads
    ]


def _thumbnail(path: Path | None) -> str | None:
    """A frame of at most 120 pixels a side as a data URI; None if it can't be read."""
    if path is None:
        return None
    try:
        frame = read_image(path)
    except ImageError:
        return None
    scale = _THUMBNAIL / max(frame.shape[:2])
    if scale < 1:
        size_wh = [max(1, round(side * scale)) for side in frame.shape[1::-1]]
        frame = np.asarray(cv2.resize(frame, size_wh, interpolation=cv2.INTER_AREA))
    data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return f"data:image/jpeg;base64,{b64encode(data).decode()}"


def _percent(tally: Tally) -> str:
    return "-" if tally.accuracy is None else f"{100 * tally.accuracy:.1f} %"


def _interval(tally: Tally) -> str:
    low, high = tally.interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"
