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


def read(folder, name):
    path = os.path.join(folder, name)
    opened = open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz", "rb")
    with opened as file:
        bytes = np.frombuffer(file.read(), np.uint8)
    return torch.from_numpy(bytes[16:].reshape(-1, 1, 28, 28).copy() if "images" in name else bytes[8:].copy())


def error_percent(model, images, labels):
    model.eval()
    with torch.no_grad():
        wrong = sum((model(x.float()).argmax(1) != y).sum().item()
                    for x, y in zip(images.split(1000), labels.split(1000)))  # fmt: skip
    return 100.0 * wrong / len(images)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("architecture")
    for name in ("data", "checkpoint", "result", "weights"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("epochs", "full-epochs", "seed"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--images", type=int, help="number of training images, all unless given")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    images, labels = read(arguments.data, "train-images-idx3-ubyte"), read(arguments.data, "train-labels-idx1-ubyte")
    judged = images[-VALIDATION:], labels[-VALIDATION:].long()
    images, labels = images[:-VALIDATION][: arguments.images], labels[:-VALIDATION][: arguments.images].long()
    model = network.load(arguments.architecture)
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    state, done, error = os.path.join(arguments.checkpoint, "state.pt"), 0, None
    if os.path.exists(state):
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done, error = saved["epochs"], saved["error"]
    for epoch in range(done, arguments.epochs):
        # Each epoch has its own seed, so a training that goes on draws what an uninterrupted one draws.
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed((arguments.seed + epoch) % 2**63))
        model.train()
        steps = order.split(BATCH)
        for step, chosen in enumerate(steps):
            share = (epoch + step / len(steps)) / arguments.full_epochs
            optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * share)) / 2
            loss = F.cross_entropy(model(images[chosen].float()), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        error = error_percent(model, *judged)
        saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1, "error": error}
        torch.save(saved, state + ".new")
        os.replace(state + ".new", state)
        print(json.dumps({"epoch": epoch + 1, "error_percent": error, "loss_nats": loss.item()}))
    network.write_arrays(network.arrays(model), arguments.weights)
    with open(arguments.result, "w") as file:
        json.dump({"error_percent": error}, file)


if __name__ == "__main__":
    main()
