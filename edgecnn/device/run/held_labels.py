"""The labels of a run: counted, logged, and what to say of those that the live figure lacks."""

from __future__ import annotations

from collections.abc import Sequence

from edgecnn.device.log.log_thread import LogThread
from edgecnn.device.run.bundles import Bundles
from edgecnn.device.run.regions import Regions
from edgecnn.session.events import TruthEvent
from edgecnn.words import number

__all__ = ["HeldLabels"]


class HeldLabels:
    """Hands labels to what counts them, and to the log.

    Args:
        bundles: A label of a frame that an earlier bundle answered comes too late for the figure.
        log: None where nothing is logged.
    """

    def __init__(self, bundles: Bundles, regions: Regions, log: LogThread | None) -> None:
        self._bundles, self._regions, self._log = bundles, regions, log
        self._late = 0  # of frames that a bundle before the active one answered
        self._picked = 0  # of frames that a person picked

    def hold(self, labels: Sequence[TruthEvent]) -> None:
        """Count labels, of this frame or of earlier ones, and log them."""
        shadow = self._bundles.shadow
        for event in labels:
            if event.frame < self._bundles.active.first_frame:
                self._late += not event.withdrawn
            else:
                self._regions.truth(event)
                if shadow is not None:
                    shadow.truth(event, self._regions)
            if event.why == "chosen":
                self._picked += -1 if event.withdrawn else 1
        if self._log is not None:
            self._log.truths(labels)

    def notes(self) -> list[str]:
        """Which labels the live figure lacks, and why."""
        notes = []
        if self._picked > 0 and not self._regions.tally.total:
            notes.append(
                "live accuracy is not identified: a person picked all labelled frames; label "
                "random ones on the page (--web), or whole stretches"
            )
        late = self._late + self._regions.late
        if late:
            where = "--log keeps them" if self._log is None else "an audit counts them"
            notes.append(
                f"{number(late, 'label')} came too late for the live accuracy of the run; {where}"
            )
        return notes
