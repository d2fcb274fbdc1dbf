"""Compares the module of `network.py` with ONNX Runtime. As a command of `[evaluator]`, it checks each
network that a study proposes:

    command = ["python3", "check.py", "{architecture}", "{onnx}", "{initial_weights}"]
    metrics = ["difference"]

    check.py --exports FOLDER         compares every FOLDER/*.safetensors with the .onnx file beside it
    check.py --accuracy MODEL DATA    the error of a finished network (MODEL is its folder) on the images that
                                      `train.py` judges networks on; must be what the program reported

A difference above 1e-5 of the largest output ends with exit code 1.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import network

LARGEST = 1e-5
EXAMPLES = 8


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def difference(model, onnx, seed=0):
    """The largest difference of two outputs, relative to the largest output."""
    session = session_of(onnx)
    (taken,) = session.get_inputs()
    raw = np.random.default_rng(seed).uniform(-2, 2, (EXAMPLES, *model.input)).astype(np.float32)
    # Raw values are spread as in the training data.
    mean, deviation = model.mean.numpy(), model.deviation.numpy()
    raw = (raw * deviation + mean).astype(np.float32)
    (expected,) = session.run(None, {taken.name: raw.reshape(EXAMPLES, -1) if len(taken.shape) == 2 else raw})
    model.eval()
    with torch.no_grad():
        found = model(torch.from_numpy(raw)).numpy()
    if found.shape != expected.reshape(EXAMPLES, -1).shape:
        raise SystemExit(f"{onnx}: the module gives {found.shape}, ONNX Runtime {expected.shape}")
    return float(np.abs(found - expected.reshape(EXAMPLES, -1)).max() / max(1.0, np.abs(expected).max()))


def check_proposal(architecture, onnx, weights):
    model = network.load(architecture)
    network.set_arrays(model, network.read_arrays(weights)[0])
    found = difference(model, onnx)
    if not found <= LARGEST:
        sys.exit(f"the module differs from the ONNX graph by {found}")
    print(json.dumps({"difference": found}))


def operation(layer):
    """The name of an operation; pooling and activations with their kind."""
    kinds = {"pool": f"{layer['settings'].get('kind')} pool", "activation": layer["settings"].get("kind")}
    return kinds.get(layer["kind"], layer["kind"])


def check_exports(folder):
    kinds, worst, files = set(), 0.0, sorted(Path(folder).glob("*.safetensors"))
    for file in files:
        model = network.load_export(file)
        kinds.update(operation(layer) for layer in model.description["layers"])
        found = difference(model, file.with_suffix(".onnx"))
        if not found <= LARGEST:
            sys.exit(f"{file}: the module differs from the ONNX graph by {found}")
        worst = max(worst, found)
    print(f"{len(files)} networks differ by at most {worst:.1e}; operations: {', '.join(sorted(kinds))}")
    every = {"input", "zero", "conv2d", "linear", "batch_norm", "max pool", "average pool", "global_pool"}
    if missing := every.union(network.ACTIVATIONS, {"flatten", "add", "concat", "mul"}) - kinds:
        sys.exit(f"no network has {', '.join(sorted(missing))}")


def check_accuracy(folder, data):
    import train

    images, labels = (all[-train.VALIDATION :].numpy() for all in train.examples(data))
    images = images.astype(np.float32)
    session = session_of(Path(folder) / "model.onnx")
    (taken,) = session.get_inputs()
    outputs = [session.run(None, {taken.name: part})[0] for part in np.array_split(images, 12)]
    found = 100.0 * float((np.concatenate(outputs).argmax(1) != labels).mean())
    card = json.loads((Path(folder) / "card.json").read_text())
    metric = next(metric for metric in card["metrics"] if metric["how"] == "reported by the command")
    print(f"ONNX Runtime: {found:.4f} % of {len(labels)} images wrong; reported: {metric['value']:.4f} %")
    # Sums in another order may turn an image whose two largest outputs are almost equal.
    if abs(found - metric["value"]) > 100.0 / len(labels) + 1e-9:
        sys.exit("the two differ by more than one image")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--exports"]:
        check_exports(sys.argv[2])
    elif sys.argv[1:2] == ["--accuracy"]:
        check_accuracy(*sys.argv[2:4])
    else:
        check_proposal(*sys.argv[1:4])
