"""Layer by layer: how far the integer model's tensors are from the float model's, and where.

Both files run on the same images; the tensors between the operations are compared pair by pair.
Errors add up along the network, so the layer to blame is not the one with the lowest ratio but
the one where the ratio falls most: `lost_db`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

from edgecnn.errors import ArtifactError
from edgecnn.export.ranges.taps import Tap, open_tap
from edgecnn.export.readback.layer_names import layer_names
from edgecnn.records import Json, Progress, Record, json_as
from edgecnn.render.table import table

__all__ = ["LAYERS_PLOT", "LayerError", "LayerReport", "compare_layers", "plot_layers"]

LAYERS_PLOT = "layers.png"

_BEST_DB = 100.0  # of tensors that are equal
_EIGHT_BITS_DB = 50.0  # of a tensor whose values fill the 256 steps: nobody can lose before that
_MOST_IMAGES = 32


@dataclass(frozen=True)
class LayerError(Record):
    """One tensor of the integer model against the float model's, over all images.

    layer: Keras name of the layer that makes it; of fused layers (convolution, batch norm,
        ReLU) the one that holds the weights.
    operation: as the file calls it, such as CONV_2D. tensor: its name in the file.
    snr_db: 10 log10(signal / noise power), at most 100. cosine: in [-1, 1].
    clipped: share of the float values beyond the integer tensor's range by more than a step.
    lost_db: how much lower snr_db is than that of the worst input, or than 50 dB, which 8 bits
        can give.
    """

    layer: str
    operation: str
    tensor: str
    snr_db: float = field(metadata=json_as(digits=4))
    cosine: float = field(metadata=json_as(digits=4))
    clipped: float = field(metadata=json_as(digits=4))
    lost_db: float = field(metadata=json_as(digits=4))


@dataclass(frozen=True)
class LayerReport(Record):
    """The layers of one integer file, in the order in which they run."""

    file: str = field(metadata=json_as(hidden=True))
    num_images: int = field(metadata=json_as("images"))
    layers: tuple[LayerError, ...]

    def worst(self, count: int = 3) -> list[LayerError]:
        """The layers that lose most, worst first, each once; of equal ones the earlier."""
        ranked = sorted(self.layers, key=lambda layer: -layer.lost_db)
        once = {layer.layer: layer for layer in reversed(ranked)}
        return sorted(once.values(), key=ranked.index)[:count]

    @property
    def clipped(self) -> LayerError:
        """The layer with the largest share of clipped values."""
        return max(self.layers, key=lambda layer: layer.clipped)

    def to_json(self) -> Json:
        """What quantization.json keeps under "layers", by file."""
        return {**super().to_json(), "worst": [layer.layer for layer in self.worst()]}

    def to_text(self) -> str:
        rows = [
            (
                layer.layer,
                layer.operation,
                f"{layer.snr_db:.1f}",
                f"{layer.lost_db:+.1f}",
                f"{layer.cosine:.4f}",
                f"{100 * layer.clipped:.2f} %",
            )
            for layer in self.layers
        ]
        headers = ("layer", "operation", "SNR dB", "lost dB", "cosine", "clipped")
        worst = ", ".join(layer.layer for layer in self.worst())
        return f"{self.file}: most is lost in {worst}\n\n{table(headers, rows)}"


def compare_layers(
    float_data: bytes,
    integer_data: bytes,
    file: str,
    images: np.ndarray,
    network: Any = None,
    progress: Progress | None = None,
) -> LayerReport:
    """Compare each tensor of an integer model with the float model's on the same images.

    Args:
        float_data, integer_data: Two .tflite or two .onnx files of one network.
        file: The integer file's name; its suffix says what both are.
        images: uint8, shape (n, height, width, 3) RGB; at most 32 are used,
            spread evenly.
        network: The Keras model, for the names of its layers; without it a tensor keeps its own.

    Raises:
        ArtifactError: A file can't be loaded, or the two have no tensor in common.
    """
    reference, integer = open_tap(float_data, file), open_tap(integer_data, file)
    pairs = [node for node in integer.nodes if node.name in reference.names]
    if not pairs or not len(images):
        what = "images" if pairs else "tensors in common with the float model"
        raise ArtifactError(f"{file}: no {what} to compare, expected some; export both again")
    sums = {node.name: np.zeros(6) for node in pairs}  # running, so that no tensor is kept
    # Lab images come class by class: spread, not cut off.
    images = images[:: -(-len(images) // _MOST_IMAGES)]
    for k, image in enumerate(images):
        truth, found = reference.run(image), integer.run(image)
        for node in pairs:
            sums[node.name] += _sums(truth[node.name], found[node.name], node.limits)
        if progress:
            progress(f"comparing the layers of {file}", k + 1, len(images))
    names = layer_names({node.name: node.origin for node in pairs}, network)
    errors = _errors(integer, sums, names)
    return LayerReport(file, len(images), tuple(errors))


def _errors(
    integer: Tap, sums: dict[str, np.ndarray], names: dict[str, str]
) -> Iterator[LayerError]:
    """In the order of the operations, each with what it loses against its inputs."""
    ratio: dict[str, float] = {}
    for node in integer.nodes:
        inputs = [ratio[name] for name in node.inputs if name in ratio]
        before = min([_EIGHT_BITS_DB, *inputs])
        if node.name not in sums:
            ratio[node.name] = before
            continue
        truth, found, noise, product, clipped, count = map(float, sums[node.name])
        ratio[node.name] = _snr_db(truth, noise)
        yield LayerError(
            layer=names[node.name],
            operation=node.operation,
            tensor=node.name,
            snr_db=ratio[node.name],
            cosine=product / np.sqrt(truth * found) if truth and found else float(truth == found),
            clipped=clipped / count,
            lost_db=before - ratio[node.name],
        )


def _sums(truth: np.ndarray, found: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Powers of truth, found and noise, their product, values beyond the limits, all values."""
    a, b = truth.ravel().astype(np.float64), found.ravel().astype(np.float64)
    clipped = ((a < limits[0]) | (a > limits[1])).sum()
    return np.array([a @ a, b @ b, ((a - b) ** 2).sum(), a @ b, clipped, a.size])


def _snr_db(truth: float, noise: float) -> float:
    if noise == 0:
        return _BEST_DB
    if truth == 0:
        return -_BEST_DB
    return float(np.clip(10 * np.log10(truth / noise), -_BEST_DB, _BEST_DB))


def plot_layers(reports: Sequence[LayerReport]) -> bytes:
    """A panel a file: the ratio after each layer, the three that lose most marked. PNG."""
    from matplotlib.figure import Figure

    longest = max(len(report.layers) for report in reports)
    figure = Figure(figsize=(max(6.0, 1 + 0.3 * longest), 3.2 * len(reports)), layout="constrained")
    panels = figure.subplots(len(reports), 1, squeeze=False)[:, 0]
    for axes, report in zip(panels, reports, strict=True):
        worst = {layer.tensor for layer in report.worst()}
        colours = ["C3" if layer.tensor in worst else "C0" for layer in report.layers]
        places = range(len(report.layers))
        axes.bar(places, [layer.snr_db for layer in report.layers], color=colours)
        labels = [layer.layer[-24:] for layer in report.layers]
        axes.set_xticks(places, labels, rotation=90, fontsize=7)
        axes.set_ylabel("signal to noise, dB")
        axes.set_title(f"{report.file} against float, {report.num_images} images", fontsize=9)
    target = BytesIO()
    figure.savefig(target, format="png", dpi=100)
    return target.getvalue()
