"""Answers of a program that knows nothing of edgecnn: run by _bench_clients.py in its environment.

    python _bench_client.py CLIENT MODEL FOLDER > answers.json

FOLDER holds tensors.npy, uint8 (n, height, width, 3) RGB, which edgecnn made, and the
same pictures as NUMBER.png. Written is the index of the best score of each (MediaPipe: its name).
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def interpreter(module, model):
    """A TFLite interpreter of any package, by its tensors."""
    net = module.Interpreter(model_path=str(model))
    net.allocate_tensors()
    source, target = net.get_input_details()[0], net.get_output_details()[0]

    def answer(tensor):
        net.set_tensor(source["index"], tensor[None].astype(source["dtype"]))
        net.invoke()
        return net.get_tensor(target["index"])[0]

    return answer


def tflite_runtime(model, _):
    from tflite_runtime import interpreter as module

    return interpreter(module, model)


def litert(model, _):
    from ai_edge_litert import interpreter as module

    return interpreter(module, model)


def litert_signature(model, _):
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_path=str(model))
    run = net.get_signature_runner("serving_default")
    ((name, source),) = run.get_input_details().items()
    (out,) = run.get_output_details()
    return lambda tensor: run(**{name: tensor[None].astype(source["dtype"])})[out][0]


def litert_compiled(model, _):
    from ai_edge_litert.compiled_model import CompiledModel

    net = CompiledModel.from_file(str(model))
    signature = next(iter(net.get_signature_list()))
    number = net.get_signature_index(signature)
    sources, targets = net.create_input_buffers(number), net.create_output_buffers(number)
    about = net.get_output_tensor_details(signature)
    kind = next(iter(net.get_input_tensor_details(signature).values()))["dtype"]
    shape, out = (next(iter(about.values()))[key] for key in ("shape", "dtype"))

    def answer(tensor):
        sources[0].write(np.ascontiguousarray(tensor[None].astype(kind)))
        net.run_by_index(number, sources, targets)
        return targets[0].read(int(np.prod(shape)), np.dtype(out).type)

    return answer


def onnxruntime(model, _):
    import onnxruntime

    net = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    source = net.get_inputs()[0]
    kind = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}[source.type]
    return lambda tensor: net.run(None, {source.name: tensor[None].astype(kind)})[0][0]


def onnxruntime_exact(model, _):
    """With sums that do not saturate on x86 without VNNI, as edgecnn asks for."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    net = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    source = net.get_inputs()[0]
    return lambda tensor: net.run(None, {source.name: tensor[None].astype(np.uint8)})[0][0]


def openvino(model, _, config=None):
    import openvino

    net = openvino.Core().compile_model(str(model), "CPU", config or {})
    kind = net.input(0).element_type.to_dtype()
    return lambda tensor: net(tensor[None].astype(kind))[net.output(0)][0]


def openvino_float(model, _):
    """Without its integer kernels, whose sums saturate on x86 without VNNI as those above do."""
    return openvino(model, _, {"LP_TRANSFORMS_MODE": "NO"})


def opencv(model, _):
    import cv2

    net = cv2.dnn.readNet(str(model))

    def answer(tensor):
        net.setInput(tensor[None].astype(np.float32))
        return np.ravel(net.forward())

    return answer


def micro(model, _):
    from tflite_micro import runtime

    net = runtime.Interpreter.from_bytes(model.read_bytes(), arena_size=8_000_000)
    kind = net.get_input_details(0)["dtype"]

    def answer(tensor):
        net.set_input(tensor[None].astype(kind), 0)
        net.invoke()
        return net.get_output(0)[0]

    return answer


def quantizer(model, folder):
    """ai-edge-quantizer reads the float file and makes one with integer weights of it."""
    from ai_edge_quantizer import quantizer as module
    from ai_edge_quantizer import recipe

    made = folder / "by_ai_edge_quantizer.tflite"
    made.unlink(missing_ok=True)
    one = module.Quantizer(str(model), recipe.dynamic_wi8_afp32())
    one.quantize().export_model(str(made))
    return litert(made, folder)


def mediapipe(model, folder):
    import mediapipe
    from mediapipe.tasks import python
    from mediapipe.tasks.python import vision

    base = python.BaseOptions(model_asset_path=str(model))
    net = vision.ImageClassifier.create_from_options(
        vision.ImageClassifierOptions(base_options=base)
    )

    def answer(number):
        image = mediapipe.Image.create_from_file(str(folder / f"{number}.png"))
        return net.classify(image).classifications[0].categories[0].category_name

    return answer


def main(client, model, folder):
    tensors = np.load(folder / "tensors.npy")
    answer = globals()[client](model, folder)
    start = time.perf_counter()
    if client == "mediapipe":
        best = [answer(number) for number in range(len(tensors))]
    else:
        best = [int(np.argmax(answer(tensor))) for tensor in tensors]
    each = 1000 * (time.perf_counter() - start) / len(tensors)
    sys.stdout.write(json.dumps({"best": best, "ms": each}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
