#!/usr/bin/env python3
"""Runs one ONNX file in one runtime, in the environment and process of that runtime alone, for `files.py`.

    one_runtime.py RUNTIME JOB RESULT

JOB is a JSON file with `file`, `float_file`, `images` (`.npy`), `outputs` (`.npy`, which is written) and
`seconds`. RESULT gets the version of the runtime and how many times as fast as the float file the file is, or
the `step` that failed and its `error`. Every runtime has one thread. Latencies are those of one example.
"""

import json
import sys
from pathlib import Path

import numpy as np
from race import race

BATCH = 50


class OnnxRuntime:
    def __init__(self):
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        self.library, self.version = onnxruntime, onnxruntime.__version__

    def load(self, path: str, _shape: list[int]):
        options = self.library.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        opened = self.library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = opened.get_inputs()[0].name
        return lambda values: opened.run(None, {name: values})[0]


class OpenVino:
    def __init__(self):
        import openvino

        self.library, self.version = openvino, openvino.__version__
        self.core = openvino.Core()

    def load(self, path: str, shape: list[int]):
        model = self.core.read_model(path)
        model.reshape(shape)
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        request = self.core.compile_model(model, "CPU", settings).create_infer_request()
        return lambda values: request.infer([values])[0]


class Tract:
    def __init__(self):
        import importlib.metadata

        import tract

        self.library, self.version = tract, importlib.metadata.version("tract")

    def load(self, path: str, shape: list[int]):
        # The file names the batch by a symbol, so the input alone cannot have another shape.
        model = self.library.onnx().load(path).into_model()
        model.transform(self.library.SetSymbols({"batch": shape[0]}))
        runnable = model.into_runnable()
        return lambda values: runnable.run([values])[0].to_numpy()


RUNTIMES = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "tract": Tract}


def run(name: str, job: dict, result: dict) -> None:
    result["step"] = "import"
    runtime = RUNTIMES[name]()
    result["version"] = runtime.version
    images = np.load(job["images"])
    one, batch = [1, *images.shape[1:]], [BATCH, *images.shape[1:]]
    result["step"] = "load"
    call = runtime.load(job["file"], batch)
    result["step"] = "run"
    outputs = []
    for at in range(0, len(images), BATCH):
        chunk = images[at : at + BATCH]
        filled = np.concatenate([chunk, np.zeros([BATCH - len(chunk), *chunk.shape[1:]], np.float32)])
        outputs.append(np.array(call(filled)).reshape(BATCH, -1)[: len(chunk)])
    np.save(job["outputs"], np.concatenate(outputs).astype(np.float64))
    result["step"] = "measure"
    first, second = runtime.load(job["float_file"], one), runtime.load(job["file"], one)
    image = np.ascontiguousarray(images[:1])
    result |= race(lambda: first(image), lambda: second(image), job["seconds"])
    result["step"] = None


def main() -> None:
    name, job, place = sys.argv[1:]
    result: dict = {"runtime": name}
    try:
        run(name, json.loads(Path(job).read_text()), result)
    except BaseException as error:  # a runtime may raise anything, a panic among it
        result["error"] = f"{type(error).__name__}: {error}"
    Path(place).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
