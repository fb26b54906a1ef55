"""The makers of one export: what one stage converted, a later one finds."""

from __future__ import annotations

from edgecnn.bundle.artifacts import ArtifactFormat
from edgecnn.bundle.card import Card
from edgecnn.export.convert.onnx_maker import OnnxMaker
from edgecnn.export.convert.recipe import Maker
from edgecnn.export.convert.tflite_maker import TfliteMaker

__all__ = ["Makers"]


class Makers:
    """One maker a family of formats."""

    def __init__(self, card: Card, name: str | None = None, integer_io: str = "uint8") -> None:
        """For a model's labels and input; `name`: the files' title, if not the card's."""
        labels, spec = card.labels, card.input
        self.tflite = TfliteMaker(name or card.name, labels, spec, integer_io)
        self.onnx = OnnxMaker(labels, spec, integer_io)

    def of(self, target: ArtifactFormat) -> Maker:
        """Who makes a format."""
        return self.onnx if target.file.endswith(".onnx") else self.tflite
