"""The PyTorch side of `compare.py`: times single steps of one network, as `examples/training_step` does.

    worker.py CASE.json THREADS default|channels_last

CASE.json is one entry of `training_step --list`. Commands and answers are those of that program.
"""

import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

BATCHES = 4


def memory():
    sizes = {"VmRSS:": float("nan"), "VmHWM:": float("nan")}
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.split()[0] in sizes:
                    sizes[line.split()[0]] = int(line.split()[1]) / 1024
    except OSError:
        pass
    return sizes["VmRSS:"], sizes["VmHWM:"]


def cut(weight, axis, segments):
    """Segments of channels, joined: a view where there is one."""
    if not segments or segments == [{"start": 0, "end": weight.shape[axis]}]:
        return weight
    parts = [weight.narrow(axis, s["start"], s["end"] - s["start"]) for s in segments]
    return parts[0] if len(parts) == 1 else torch.cat(parts, axis)


class Network(nn.Module):
    """An architecture on shared parameters. Its layers read slices of them (as in once-for-all) or all."""

    def __init__(self, architecture, parameters):
        super().__init__()
        self.layers = architecture["layers"]
        self.parameters_by_key = parameters
        readers = {}
        for number, layer in enumerate(self.layers):
            for source in layer["inputs"]:
                readers.setdefault(source, []).append(number)
        # An activation may overwrite its input if nothing else reads it.
        self.in_place = [
            layer["op"] == "activation"
            and len(readers[layer["inputs"][0]]) == 1
            and self.layers[layer["inputs"][0]]["op"] in ("batch_norm", "conv2d", "linear")
            for layer in self.layers
        ]
        last = {source: numbers[-1] for source, numbers in readers.items()}
        self.unread = [[s for s in set(l["inputs"]) if last[s] == n] for n, l in enumerate(self.layers)]
        # Statistics belong to the network, scale and shift to the shared parameters.
        self.statistics = nn.ModuleDict()
        for number, layer in enumerate(self.layers):
            if layer["op"] == "batch_norm":
                self.statistics[str(number)] = nn.BatchNorm2d(layer["output"][0], affine=False)

    def forward(self, x):
        values = {0: x}
        for number, layer in enumerate(self.layers):
            if number == 0:
                continue
            inputs = [values[source] for source in layer["inputs"]]
            values[number] = self.run(number, layer, inputs)
            for source in self.unread[number]:
                del values[source]
        return values[len(self.layers) - 1].flatten(1)

    def weight(self, layer, part):
        reference = layer["weights"]
        parameter = self.parameters_by_key[reference["key"]].get(part)
        if parameter is None:
            return None
        parameter = cut(parameter, 0, reference["outputs"])
        return parameter if part != "weight" else cut(parameter, 1, reference["inputs"])

    def run(self, number, layer, inputs):
        op, x = layer["op"], inputs[0]
        if op == "conv2d":
            weight, (height, width) = self.weight(layer, "weight"), layer["kernel"]
            if list(weight.shape[2:]) != [height, width]:
                top, left = (weight.shape[2] - height) // 2, (weight.shape[3] - width) // 2
                weight = weight[:, :, top : top + height, left : left + width]
            bias = self.weight(layer, "bias") if layer["bias"] else None
            return F.conv2d(x, weight, bias, layer["stride"], layer["padding"], 1, layer["groups"])
        if op == "linear":
            bias = self.weight(layer, "bias") if layer["bias"] else None
            return F.linear(x.flatten(1), self.weight(layer, "weight"), bias)
        if op == "batch_norm":
            own = self.statistics[str(number)]
            scale, shift = self.weight(layer, "scale"), self.weight(layer, "shift")
            return F.batch_norm(x, own.running_mean, own.running_var, scale, shift, self.training, 0.1, 1e-5)
        if op == "activation":
            kind, in_place = layer["kind"], self.in_place[number]
            if kind in ("sigmoid", "tanh"):
                return getattr(torch, kind)(x)
            if kind == "gelu":
                return F.gelu(x)
            name = {"hard_swish": "hardswish", "hard_sigmoid": "hardsigmoid"}.get(kind, kind)
            return getattr(F, name)(x, inplace=in_place)
        if op == "pool" and layer["kind"] == "max":
            return F.max_pool2d(x, layer["kernel"], layer["stride"], layer["padding"])
        if op == "pool":
            return F.avg_pool2d(x, layer["kernel"], layer["stride"], layer["padding"], count_include_pad=False)
        if op == "global_pool":
            return F.adaptive_avg_pool2d(x, 1)
        if op == "flatten":
            return x.flatten(1)
        if op == "add":
            total = x
            for other in inputs[1:]:
                total = total + other
            return total
        if op == "concat":
            return torch.cat(inputs, 1)
        if op == "mul":
            return x * inputs[1]
        raise ValueError(f"no operation `{op}` here")


def shared(specs):
    """Parameters by key and part, as declared."""
    made = {}
    for spec in specs:
        if spec["kind"]["kind"] == "batch_norm":
            channels = spec["kind"]["channels"]
            made[spec["key"]] = {"scale": torch.ones(channels), "shift": torch.zeros(channels)}
            continue
        outputs, inputs = spec["kind"]["outputs"], spec["kind"]["inputs"]
        shape = [outputs, inputs, *spec["kind"].get("kernel", [])]
        fan_in = inputs
        for size in shape[2:]:
            fan_in *= size
        made[spec["key"]] = {"weight": torch.randn(shape) * (2 / fan_in) ** 0.5}
        if spec["kind"]["bias"]:
            made[spec["key"]]["bias"] = torch.zeros(outputs)
    return made


def main():
    idle = memory()[0]
    path, threads, layout = sys.argv[1:4]
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    with open(path) as file:
        case = json.load(file)
    layout = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    parameters = shared(case["parameters"])
    matrices, vectors = [], []
    for parts in parameters.values():
        for name in parts:
            kernel = parts[name].dim() == 4
            parts[name] = nn.Parameter(parts[name].contiguous(memory_format=layout) if kernel else parts[name])
            (matrices if name == "weight" else vectors).append(parts[name])
    groups = [{"params": matrices, "weight_decay": 1e-4}, {"params": vectors, "weight_decay": 0}]
    if case["optimizer"] == "sgd":
        optimizer = torch.optim.SGD(groups, lr=1e-3, momentum=0.9, nesterov=True)
    else:
        optimizer = torch.optim.AdamW(groups, lr=1e-3)
    subnets = [Network(architecture, parameters) for architecture in case["subnets"]]
    count, batch = case["batch"] * BATCHES, case["batch"]
    shape = case["subnets"][0]["input"]
    images = torch.rand(count, *shape).contiguous(memory_format=layout)
    labels = torch.arange(count) % subnets[0].layers[-1]["output"][0]
    order = torch.randperm(count)

    def draw(step):
        chosen = order[(step % BATCHES) * batch :][:batch]
        return images[chosen].contiguous(memory_format=layout), labels[chosen]

    def train(step):
        x, y = draw(step)
        optimizer.zero_grad(set_to_none=True)
        for subnet in subnets:
            loss = F.cross_entropy(subnet(x), y) / len(subnets)
            loss.backward()
            loss.item()
        optimizer.step()

    def judge(step):
        with torch.inference_mode():
            subnets[0](draw(step)[0]).numpy()

    def milliseconds(work, count):
        for subnet in subnets:
            subnet.train(work is train)
        times = []
        for step in range(count):
            start = time.perf_counter()
            work(step)
            times.append((time.perf_counter() - start) * 1e3)
        return times

    for line in sys.stdin:
        order_name, _, number = line.strip().partition(" ")
        if order_name == "memory":
            answer = [idle, memory()[1]]
        else:
            answer = milliseconds({"train": train, "judge": judge}[order_name], int(number or 1))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
