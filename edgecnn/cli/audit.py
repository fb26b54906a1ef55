"""`edgecnn audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecnn.audit.options import AuditOptions
from edgecnn.cli.app import Outcome, command, progress_bars

__all__ = ["audit"]


@command(
    "audit",
    AuditOptions,
    ("session/ -o report.html", "session/ --lab lab/ --max-gap 5"),
)
def audit(
    sessions: Annotated[
        list[Path], typer.Argument(metavar="SESSION...", help="Folders of `edgecnn run --log`.")
    ],
    options: AuditOptions,
) -> Outcome:
    """Compare live accuracy with lab accuracy and say where the gap comes from."""
    from edgecnn.audit.audit import audit

    with progress_bars() as progress:
        report = audit(sessions, options, progress=progress)
    return report, 0 if report.ok else 1
