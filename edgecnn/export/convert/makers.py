"""The makers of one export: what one stage converted, a later one finds."""

from __future__ import annotations

from dataclasses import dataclass

from edgecnn.bundle.artifacts import ArtifactFormat
from edgecnn.bundle.card import Card
from edgecnn.export.convert.onnx_maker import OnnxMaker
from edgecnn.export.convert.recipe import Maker
from edgecnn.export.convert.tflite_maker import TfliteMaker

__all__ = ["Makers", "make_makers"]


@dataclass(frozen=True)
class Makers:
    """One maker a family of formats."""

    tflite: TfliteMaker
    onnx: OnnxMaker

    def of(self, target: ArtifactFormat) -> Maker:
        """Who makes a format."""
        return self.onnx if target.file.endswith(".onnx") else self.tflite


def make_makers(card: Card, name: str | None = None, integer_io: str = "uint8") -> Makers:
    """Makers for a model's labels and input; `name`: the files' title, if not the card's."""
    labels, spec = card.labels, card.input
    tflite = TfliteMaker(name or card.name, labels, spec, integer_io)
    return Makers(tflite, OnnxMaker(labels, spec, integer_io))
