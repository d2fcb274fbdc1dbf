"""Outputs and latencies of ONNX files in ONNX Runtime, on the CPU with one thread."""

from pathlib import Path

import numpy as np
import onnxruntime
from race import race

# Warnings are for people.
onnxruntime.set_default_logger_severity(3)
BATCH = 250


def session(path: Path, plain: bool = False) -> onnxruntime.InferenceSession:
    """Opens a file with default options, or without graph optimization if `plain`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs(opened: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
    """The outputs for all images, `[n, classes]`."""
    name = opened.get_inputs()[0].name
    chunks = [opened.run(None, {name: images[at : at + BATCH]})[0] for at in range(0, len(images), BATCH)]
    return np.concatenate(chunks).reshape(len(images), -1).astype(np.float64)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def accuracy(found: np.ndarray, labels: np.ndarray) -> float:
    """The share of the examples whose largest output is the label, in percent."""
    return 100 * float((found.argmax(axis=1) == labels).mean())


def agreement(found: np.ndarray, expected: np.ndarray) -> float:
    """The share of the examples whose largest output is the expected one, in percent."""
    return 100 * float((found.argmax(axis=1) == expected.argmax(axis=1)).mean())


def race_files(first: Path, second: Path, image: np.ndarray, seconds: float) -> dict:
    """Compares the latencies of two files for one example."""

    def call(path: Path):
        opened = session(path)
        feed = {opened.get_inputs()[0].name: image}
        return lambda: opened.run(None, feed)

    return race(call(first), call(second), seconds)
