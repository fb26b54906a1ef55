"""Does the network know its classes or its images? Training, unseen and simulated field images."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally
from edgecnn.records import Json, Record, computed, json_as
from edgecnn.render.table import table

__all__ = ["Verdict"]

_POINTS = 2.0  # a gap that is surely larger is worth a word


@dataclass(frozen=True)
class Verdict(Record):
    """Accuracy on the training images, on the test images and on these in a simulated field.

    field    the test images, each through a camera of its own: the broad family of
             model.field.degraded_copy, which no field image was needed for
    """

    train: Tally
    test: Tally
    field: Tally = field(metadata=json_as("simulated_field"))

    @property
    @computed
    def overfits(self) -> bool:
        """The training images are read better than unseen ones by more than chance and 2 points."""
        return difference(self.train, self.test)[1] > _POINTS

    @property
    @computed
    def fragile(self) -> bool:
        """The simulated field costs more than chance and 2 points."""
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
                f"Overfits: training images are read {gap} better than unseen ones. More images, "
                "stronger --augment, --dropout or --weight-decay, or a smaller --network-width."
            )
        return f"No overfitting found: training images are read {gap} better than unseen ones."

    def _of_cameras(self) -> str:
        gap = _gap(self.test, self.field)
        assumed = "(cameras drawn at random, no field image: of no camera in particular)"
        if self.fragile:
            return f"Fragile: the simulated field costs {gap} {assumed}. Stronger --augment."
        return f"The simulated field costs {gap} {assumed}."


def _gap(first: Tally, second: Tally) -> str:
    points, low, high = difference(first, second)
    return f"{points:.1f} points ({low:.1f} to {high:.1f})"
