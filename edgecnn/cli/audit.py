"""`edgecnn audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecnn.cli.app import JsonFlag, Outcome, command, progress_bars

__all__ = ["audit"]


@command("audit")
def audit(
    sessions: Annotated[
        list[Path], typer.Argument(metavar="SESSION...", help="Folders of `edgecnn run --log`.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="The bundle that ran; as the session names it by default.")
    ] = None,
    lab: Annotated[
        Path | None,
        typer.Option(help="Lab images, or the SESSION of a run over them on the device itself."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="An HTML report.")] = None,
    max_gap: Annotated[
        float | None, typer.Option(help="Status 1 when the gap is wider, in points.")
    ] = None,
    json: JsonFlag = False,
) -> Outcome:
    """Live accuracy against lab accuracy, and the gap split into causes, in points."""
    from edgecnn.audit.audit import AuditOptions, audit

    options = AuditOptions(bundle=bundle, lab=lab, report=output, max_gap=max_gap)
    with progress_bars() as progress:
        report = audit(sessions, options, progress=progress)
    return report, 0 if report.ok else 1
