"""Classify images with an .onnx file and what it says about itself; imports nothing of edgecnn.

    python plain_onnx.py model.onnx image...   ->   {"NAME": "label", ...} on standard output

Pixels are prepared by the classify.py that lies beside the model in its bundle.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def main(path, names):
    sys.path.insert(0, str(path.parent))
    from classify import prepare

    options = onnxruntime.SessionOptions()
    # Without it x86 processors that lack VNNI saturate sums of 8-bit products.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    meta = session.get_modelmeta().custom_metadata_map
    spec, labels = json.loads(meta["input"]), json.loads(meta["labels"])
    source = session.get_inputs()[0]
    dtype = np.dtype({"tensor(float)": "float32"}.get(source.type, source.type[7:-1]))
    answers = {}
    for name in names:
        array = prepare(cv2.imread(name, cv2.IMREAD_COLOR), spec).astype(np.float32)
        if dtype != np.float32:
            limits = np.iinfo(dtype)
            steps = np.round(array / float(meta["input_scale"])) + int(meta["input_zero_point"])
            array = np.clip(steps, limits.min, limits.max)
        scores = session.run(None, {source.name: array[None].astype(dtype)})[0][0]
        answers[Path(name).name] = labels[int(scores.argmax())]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
