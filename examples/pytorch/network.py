"""Builds a PyTorch module from the file that Kiln writes for `{architecture}`.

    model = network.load("architecture.json")           # a torch.nn.Module that takes raw values
    network.write_arrays(network.arrays(model), path)   # the trained weights, for `{weights}`

The module computes what Kiln's ONNX file of the same network computes: it normalizes raw values itself. Its
output is `[batch, outputs]`. `load_export` builds the module of a finished network, from `model.safetensors`.
"""

import json
import math
import struct

import torch
import torch.nn.functional as F
from torch import nn

# Names of the parts of a layer in Kiln, and in PyTorch.
PARTS = {"conv2d": {"weight": "weight", "bias": "bias"}, "linear": {"weight": "weight", "bias": "bias"}}
PARTS["batch_norm"] = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}

ACTIVATIONS = {
    "relu": F.relu, "relu6": F.relu6, "hard_swish": F.hardswish, "sigmoid": torch.sigmoid, "silu": F.silu,
    "tanh": torch.tanh, "gelu": F.gelu, "hard_sigmoid": F.hardsigmoid,
}  # fmt: skip


class Network(nn.Module):
    """A network that Kiln describes. Every value is `[batch, channels, height, width]`."""

    def __init__(self, description):
        super().__init__()
        self.description = description
        self.input = description["input"]
        shaping = description["preprocessing"]
        for name in ("mean", "deviation"):
            self.register_buffer(name, torch.tensor(shaping[name]).view(1, -1, 1, 1), persistent=False)
        # Names of layers may contain dots, which names of modules may not.
        self.modules_by_index = nn.ModuleDict()
        for index, layer in enumerate(description["layers"]):
            module = weighted(layer, description["batch_norm_epsilon"])
            if module is not None:
                self.modules_by_index[str(index)] = module

    def forward(self, raw):
        values, x = {}, raw.reshape(-1, *self.input)
        x = (x - self.mean) / self.deviation
        for index, layer in enumerate(self.description["layers"]):
            inputs = [values[name] for name in layer["inputs"]]
            if layer["kind"] == "input":
                value = x
            elif layer["kind"] == "zero":
                value = x.new_zeros(len(x), *layer["output_shape"])
            elif str(index) in self.modules_by_index:
                module = self.modules_by_index[str(index)]
                is_linear = layer["kind"] == "linear"
                value = module(inputs[0].flatten(1))[:, :, None, None] if is_linear else module(inputs[0])
            else:
                value = computed(layer["kind"], layer["settings"], inputs)
            values[layer["name"]] = value
        return value.flatten(1)

    def weighted_layers(self):
        """The layers with weights, each with its module."""
        for index, layer in enumerate(self.description["layers"]):
            if str(index) in self.modules_by_index:
                yield layer, self.modules_by_index[str(index)]


def weighted(layer, epsilon):
    """The module of a layer with weights, with PyTorch's own first weights. `None` for other layers."""
    kind, settings, channels = layer["kind"], layer["settings"], layer["output_shape"][0]
    if kind == "conv2d":
        inputs = layer["input_shapes"][0][0]
        keys = {key: settings[key] for key in ("stride", "padding", "groups", "bias")}
        return nn.Conv2d(inputs, channels, settings["kernel"], **keys)
    if kind == "linear":
        return nn.Linear(layer["input_shapes"][0][0], channels, bias=settings["bias"])
    if kind == "batch_norm":
        return nn.BatchNorm2d(channels, eps=epsilon)
    return None


def computed(kind, settings, inputs):
    """The output of a layer without weights."""
    x = inputs[0]
    if kind == "activation":
        return ACTIVATIONS[settings["kind"]](x)
    if kind == "pool":
        window = (settings["kernel"], settings["stride"], settings["padding"])
        return F.max_pool2d(x, *window) if settings["kind"] == "max" else F.avg_pool2d(
            x, *window, count_include_pad=False
        )
    if kind == "global_pool":
        return x.mean((2, 3), keepdim=True)
    if kind == "flatten":
        return x.flatten(1)[:, :, None, None]
    if kind == "add":
        return sum(inputs[1:], x)
    if kind == "concat":
        return torch.cat(inputs, 1)
    if kind == "mul":
        return x * inputs[1]
    raise ValueError(f"no operation `{kind}` here; this file is older than the Kiln that wrote the network")


def load(path):
    """The module of a description."""
    with open(path) as file:
        return Network(json.load(file))


def load_export(path):
    """The module of a finished network in single precision, with its weights: a file `model.safetensors`."""
    arrays, about = read_arrays(path)
    written = json.loads(about["architecture"])
    shaping = {"mean": json.loads(about["mean"]), "deviation": json.loads(about["deviation"])}
    description = {"input": written["input"], "preprocessing": shaping, "batch_norm_epsilon": 1e-5}
    names, live = [layer["name"] for layer in written["layers"]], {len(written["layers"]) - 1, 0}
    for index in range(len(written["layers"]) - 1, 0, -1):
        layer = written["layers"][index]
        layer["read"] = [] if layer["op"] == "zero" else layer["inputs"]
        live.update(layer["read"] if index in live else [])
    shapes = [layer["output"] for layer in written["layers"]]
    description["layers"] = [
        {
            "name": layer["name"], "kind": layer["op"], "settings": layer,
            "inputs": [names[read] for read in layer.get("read", [])],
            "input_shapes": [shapes[read] for read in layer.get("read", [])], "output_shape": layer["output"],
        }
        for index, layer in enumerate(written["layers"]) if index in live
    ]  # fmt: skip
    model = Network(description)
    set_arrays(model, arrays)
    return model


def arrays(model):
    """The weights and statistics of a module, by Kiln's names."""
    found = {}
    for layer, module in model.weighted_layers():
        for part, name in PARTS[layer["kind"]].items():
            value = getattr(module, name)
            if value is not None:
                found[f"{layer['name']}.{part}"] = value.detach().cpu().float().contiguous()
    return found


def set_arrays(model, arrays):
    """Gives a module weights and statistics by Kiln's names."""
    with torch.no_grad():
        for layer, module in model.weighted_layers():
            for part, name in PARTS[layer["kind"]].items():
                if getattr(module, name) is not None:
                    getattr(module, name).copy_(arrays[f"{layer['name']}.{part}"])


def write_arrays(arrays, path):
    """Writes arrays in single precision as a safetensors file."""
    header, end = {}, 0
    for name, array in arrays.items():
        start, end = end, end + 4 * array.numel()
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.numpy().astype("<f4").tobytes())


def read_arrays(path):
    """Reads a safetensors file in single precision: its arrays, and its metadata."""
    with open(path, "rb") as file:
        bytes = file.read()
    (length,) = struct.unpack("<Q", bytes[:8])
    header, values = json.loads(bytes[8 : 8 + length]), bytes[8 + length :]
    about, found = header.pop("__metadata__", {}), {}
    for name, array in header.items():
        start, end = array["data_offsets"]
        count = math.prod(array["shape"])
        if array["dtype"] != "F32" or end - start != 4 * count:
            raise ValueError(f"{path}: `{name}` is stored as {array['dtype']}, expected F32")
        piece = torch.zeros(0)
        if count:
            piece = torch.frombuffer(bytearray(values[start:end]), dtype=torch.float32)
        found[name] = piece.reshape(array["shape"])
    return found, about
