"""Run a C array or .tflite file with the tflite-micro wheel: TensorFlow Lite Micro on a desk.

    python micro_classify.py MODEL ARENA_BYTES tensors.npy > answers.json

tensors.npy is int8 (n, height, width, 3); written are the int8 outputs, one list an image.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
from tflite_micro import runtime


def read_model(path):
    if path.suffix != ".cc":
        return path.read_bytes()
    body = re.search(r"g_model_data\[\] = \{(.*?)\};", path.read_text(), re.DOTALL)[1]
    return bytes(map(int, re.findall(r"\d+", body)))


def main(path, arena, tensors):
    interpreter = runtime.Interpreter.from_bytes(read_model(path), arena_size=arena)
    answers = []
    for tensor in tensors:
        interpreter.set_input(tensor[None], 0)
        interpreter.invoke()
        answers.append(interpreter.get_output(0)[0].tolist())
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), np.load(sys.argv[3]))
