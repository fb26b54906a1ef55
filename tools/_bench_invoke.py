"""`tools/bench invoke`: integer against float32 in the interpreter."""

from __future__ import annotations

import time

FLOAT, INTEGER = "model_float32.tflite", "model_full_integer_quant.tflite"


def table(rounds: int) -> list[str]:
    """Median invoke() of both files in turns, so that the machine's mood hits both alike.

    The weights are random and the calibration images noise: that changes scores, not times.
    """
    import keras
    import numpy as np

    from edgecnn.bundle.artifacts import FLOAT32, FULL_INTEGER
    from edgecnn.bundle.runtime.load import load_runtime
    from edgecnn.bundle.spec import InputSpec
    from edgecnn.export.convert.tflite_convert import convert_tflite
    from edgecnn.model.tflite_network import freeze

    spec = InputSpec(width=224, height=224)
    image = keras.Input(spec.shape)
    backbone = keras.applications.MobileNetV2(spec.shape, weights=None)
    network = keras.Model(image, backbone(keras.layers.Rescaling(1 / 127.5, offset=-1)(image)))
    noise = np.random.default_rng(0).integers(0, 256, (8, *spec.shape), dtype=np.uint8)
    frozen = freeze(network, spec.shape)
    runtimes = {
        one.file: load_runtime(
            convert_tflite(frozen, one.name, noise),
            one.file,
            runtime="ai_edge_litert.interpreter",
        )
        for one in (FLOAT32, FULL_INTEGER)
    }
    times = {file: [] for file in runtimes}
    for k in range(rounds * 20):
        for file, runtime in runtimes.items():
            start = time.perf_counter()
            runtime.invoke(noise[k % len(noise)])
            times[file].append(1000 * (time.perf_counter() - start))
    median = {file: sorted(values[20:])[len(values[20:]) // 2] for file, values in times.items()}
    ratio = median[FLOAT] / median[INTEGER]
    return [
        "| MobileNetV2, 224 px, ai-edge-litert, 1 thread | float32 | full integer | ratio |",
        "|---|---|---|---|",
        f"| invoke, ms | {median[FLOAT]:.2f} | {median[INTEGER]:.2f} | {ratio:.2f} |",
    ]
