"""Trains a network of linear layers and `relu` with NumPy, on a table whose last column is the class. Only
`check.py` uses it. Everything of the protocol appears: checkpoint, intermediate results, result and weights.
"""

import argparse
import json
import os
import struct

import numpy as np

VALIDATION = 100  # The last rows judge networks.
BATCH, RATE = 25, 0.2


def table(path, classes):
    rows = [line.split(",") for line in open(path).read().split()[1:]]
    x, y = [row[:-1] for row in rows], [classes.index(row[-1]) for row in rows]
    return np.array(x, np.float64), np.array(y)


def forward(layers, weights, x):
    """The values after each layer."""
    values = [x]
    for layer in layers:
        x = values[-1]
        if layer["kind"] == "linear":
            x = x @ weights[f"{layer['name']}.weight"].T + weights[f"{layer['name']}.bias"]
        elif layer["kind"] == "activation" and layer["settings"]["kind"] == "relu":
            x = np.maximum(x, 0.0)
        elif layer["kind"] not in ("input", "flatten"):
            raise SystemExit(f"no operation {layer['kind']} {layer['settings']}")
        values.append(x)
    return values


def step(layers, weights, x, y):
    values = forward(layers, weights, x)
    shifted = np.exp(values[-1] - values[-1].max(1, keepdims=True))
    slope = shifted / shifted.sum(1, keepdims=True)
    slope[np.arange(len(y)), y] -= 1.0
    slope /= len(y)
    for layer, before, after in zip(layers[::-1], values[-2::-1], values[:0:-1]):
        if layer["kind"] == "linear":
            weight, bias = f"{layer['name']}.weight", f"{layer['name']}.bias"
            weights[bias], change = weights[bias] - RATE * slope.sum(0), slope.T @ before
            slope = slope @ weights[weight]
            weights[weight] = weights[weight] - RATE * change
        elif layer["kind"] == "activation":
            slope = slope * (after > 0)


def write(path, weights):
    header, pieces, end = {}, [], 0
    for name, array in weights.items():
        pieces.append(array.astype("<f4").tobytes())
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [end, end + len(pieces[-1])]}
        end += len(pieces[-1])
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(pieces))


def main():
    parser = argparse.ArgumentParser()
    for name in ("architecture", "data", "checkpoint", "result", "weights"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("epochs", "seed"):
        parser.add_argument(f"--{name}", required=True, type=int)
    given = parser.parse_args()
    about = json.load(open(given.architecture))
    layers, shaping = about["layers"], about["preprocessing"]
    x, y = table(given.data, about["classes"])
    x = (x - shaping["mean"]) / shaping["deviation"]
    chance = np.random.default_rng(given.seed)
    shapes = {f"{layer['name']}.{part}": shape for layer in layers for part, shape in layer["arrays"].items()}
    weights = {name: chance.normal(0, 0.3, shape) for name, shape in shapes.items()}
    path, done = os.path.join(given.checkpoint, "state.npz"), 0
    if os.path.exists(path):
        weights = dict(np.load(path))
        done = int(weights.pop("epochs"))

    def error():
        outputs = forward(layers, weights, x[-VALIDATION:])[-1]
        return 100.0 * float((outputs.argmax(1) != y[-VALIDATION:]).mean())

    for epoch in range(done, given.epochs):
        order = np.random.default_rng(given.seed + epoch).permutation(len(x) - VALIDATION)
        for chosen in np.array_split(order, len(order) // BATCH):
            step(layers, weights, x[chosen], y[chosen])
        print(json.dumps({"epoch": epoch + 1, "error_percent": error()}))
        np.savez(path + ".new.npz", epochs=epoch + 1, **weights)
        os.replace(path + ".new.npz", path)
    write(given.weights, weights)
    json.dump({"error_percent": error()}, open(given.result, "w"))


if __name__ == "__main__":
    main()
