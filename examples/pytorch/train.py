"""Trains a network that Kiln proposes on Fashion-MNIST. `fashion-mnist.toml` starts this program."""

import argparse
import gzip
import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import network

VALIDATION = 6000  # The last training images judge networks. The test images are Kiln's alone.
BATCH, RATE = 128, 0.05


def read(folder, name, header):
    path = os.path.join(folder, f"train-{name}-ubyte")
    with open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz", "rb") as file:
        return torch.from_numpy(np.frombuffer(file.read(), np.uint8)[header:].copy())


def examples(folder):
    """All images `[60000, 1, 28, 28]` of the training files, and their labels."""
    return read(folder, "images-idx3", 16).reshape(-1, 1, 28, 28), read(folder, "labels-idx1", 8).long()


def error_percent(model, images, labels):
    model.eval()
    with torch.no_grad():
        parts = zip(images.split(1000), labels.split(1000))
        return 100.0 * sum((model(x.float()).argmax(1) != y).sum().item() for x, y in parts) / len(images)


def main():
    parser = argparse.ArgumentParser()
    for name in ("architecture", "data", "checkpoint", "result", "weights"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("epochs", "full-epochs", "seed"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--images", type=int, help="number of training images, all unless given")
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    images, labels = examples(given.data)
    judged = images[-VALIDATION:], labels[-VALIDATION:]
    images, labels = (all[:-VALIDATION][: given.images] for all in (images, labels))
    model = network.load(given.architecture)
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    path, state = os.path.join(given.checkpoint, "state.pt"), {"epochs": 0}
    if os.path.exists(path):
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    for epoch in range(state["epochs"], given.epochs):
        # Each epoch has its own seed, so a training that goes on draws what an uninterrupted one draws.
        generator = torch.Generator().manual_seed((given.seed + epoch) % 2**63)
        steps = torch.randperm(len(images), generator=generator).split(BATCH)
        model.train()
        for step, chosen in enumerate(steps):
            share = (epoch + step / len(steps)) / given.full_epochs
            optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * share)) / 2
            optimizer.zero_grad()
            F.cross_entropy(model(images[chosen].float()), labels[chosen]).backward()
            optimizer.step()
        state = {"epochs": epoch + 1, "error_percent": error_percent(model, *judged)}
        print(json.dumps({"epoch": epoch + 1, "error_percent": state["error_percent"]}))
        state |= {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, path + ".new")
        os.replace(path + ".new", path)  # A program that is killed leaves a whole state.
    network.write_arrays(network.arrays(model), given.weights)
    with open(given.result, "w") as file:
        json.dump({"error_percent": state["error_percent"]}, file)


if __name__ == "__main__":
    main()
