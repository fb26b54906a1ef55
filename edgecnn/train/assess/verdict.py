"""Judge from three accuracies whether the network overfits, and whether field images break it."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Json, Record, computed, json_as
from edgecnn.render.table import table

__all__ = ["Verdict"]

_POINTS = 2.0  # a gap that is surely larger is reported


@dataclass(frozen=True)
class Verdict(Record):
    """Accuracy on training images, on test images, and on test images in a simulated field.

    field    the test images, each through its own random camera (`simulated_field.degraded_copy`);
             this needs no field image
    """

    train: Tally
    test: Tally
    field: Tally = field(metadata=json_as("simulated_field"))

    @property
    @computed
    def overfits(self) -> bool:
        """Whether training images are read better than test images by surely more than 2 points."""
        return difference(self.train, self.test)[1] > _POINTS

    @property
    @computed
    def fragile(self) -> bool:
        """Whether the simulated field costs surely more than 2 points."""
        return difference(self.test, self.field)[1] > _POINTS

    def to_json(self) -> Json:
        gaps = {}
        pairs = {"train_test": (self.train, self.test), "test_field": (self.test, self.field)}
        for name, pair in pairs.items():
            points, low, high = difference(*pair)
            gaps[name] = {"points": points, "low": low, "high": high}
        return {**super().to_json(), "gaps": gaps}

    def to_text(self) -> str:
        rows = [
            ("training images", self.train.text()),
            ("test images", self.test.text()),
            ("test images in a simulated field", self.field.text()),
        ]
        return "\n".join([table(["", "accuracy"], rows), self._of_images(), self._of_cameras()])

    def _of_images(self) -> str:
        gap = _gap(self.train, self.test)
        if self.overfits:
            return (
                f"Overfits: training images are read {gap} better than unseen ones. Add images, "
                "increase --augment, --dropout or --weight-decay, or reduce --network-width."
            )
        return f"No overfitting found: training images are read {gap} better than unseen ones."

    def _of_cameras(self) -> str:
        gap = _gap(self.test, self.field)
        assumed = "(random cameras and no field image, so no camera in particular)"
        if self.fragile:
            return f"Fragile: the simulated field costs {gap} {assumed}. Increase --augment."
        return f"The simulated field costs {gap} {assumed}."


def _gap(first: Tally, second: Tally) -> str:
    points, low, high = difference(first, second)
    return f"{points:.1f} points ({low:.1f} to {high:.1f})"
