"""The layers' signal-to-noise ratios as a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence

from edgecnn.export.readback.layers import LayerReport

__all__ = ["LAYERS_PLOT", "plot_layers"]

LAYERS_PLOT = "layers.png"


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
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100)
    return target.getvalue()
