#!/usr/bin/env python3
"""Checks exported ONNX files against the standard and against known outputs.

Each model passes `onnx.checker` with the full check, and strict shape inference with data propagation, in
which every value must have a known type and shape. Then ONNX Runtime runs it on the CPU, and its outputs must
equal the expected ones within a tolerance. In 8 bits, a value halfway between two steps may be rounded either
way. So for 8-bit networks, the class of the largest output must be the expected one for a share of the
examples. These networks run with the default graph optimization and without any, and the share must be
reached both times.

    check.py MODEL --input FILE --expected FILE [--shape N,C,H,W] [--tolerance 1e-4]
    check.py --samples FOLDER [--tolerance 1e-4]

FILE is `.npy`, or raw little-endian single-precision numbers. Raw inputs need `--shape`. FOLDER holds
`samples.json`: a list of objects with `model`, `input`, `shape` and `expected`, and for 8-bit networks
`agreement` in percent. Exit code 1 if a check fails.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


class Problem(Exception):
    """A check that failed, in one line."""


def read_values(path: Path, shape: list[int] | None) -> np.ndarray:
    values = np.load(path) if path.suffix == ".npy" else np.fromfile(path, dtype="<f4")
    if shape is not None:
        if values.size != math.prod(shape):
            raise Problem(f"{path} holds {values.size} values, expected {math.prod(shape)} for shape {shape}")
        values = values.reshape(shape)
    return np.ascontiguousarray(values, dtype=np.float32)


def check_standard(path: Path) -> None:
    """Runs the checker, and requires a known shape for every value. Only the batch may be open."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    onnx.checker.check_model(inferred, full_check=True)
    known = {value.name: value for value in [*inferred.graph.value_info, *inferred.graph.output]}
    for node in inferred.graph.node:
        for name in node.output:
            if name not in known:
                raise Problem(f"no shape is inferred for `{name}`")
            dimensions = known[name].type.tensor_type.shape.dim
            for axis, dimension in enumerate(dimensions):
                is_batch = axis == 0 and dimension.dim_param == "batch"
                if not is_batch and not dimension.HasField("dim_value"):
                    raise Problem(f"axis {axis} of `{name}` is not known")
    check_without_stated_shapes(model)


def check_without_stated_shapes(model: onnx.ModelProto) -> None:
    """The stated shapes must equal those of shape inference."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True)
    found = {value.name: value.type for value in inferred.graph.value_info}
    for value in model.graph.value_info:
        stated = value.type.tensor_type.shape.dim
        if value.name not in found:
            raise Problem(f"inference alone finds no shape for `{value.name}`")
        own = found[value.name].tensor_type.shape.dim
        sizes = [dimension.dim_value for dimension in own[1:]]
        if len(own) != len(stated) or sizes != [dimension.dim_value for dimension in stated[1:]]:
            raise Problem(f"`{value.name}` is stated as {stated}, but inferred as {own}")


def run(
    path: Path, inputs: np.ndarray, expected: np.ndarray, plain: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """ONNX Runtime's outputs with default options, or without graph optimization if `plain`, and the expected
    outputs in the same shape."""
    options = onnxruntime.SessionOptions()
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (outputs,) = session.run(None, {"input": inputs})
    if outputs.shape[0] != inputs.shape[0] or outputs.size != expected.size:
        raise Problem(f"outputs have shape {outputs.shape}, {expected.size} values are expected")
    if not (np.isfinite(outputs).all() and np.isfinite(expected).all()):
        raise Problem("a value is not finite")
    return outputs.astype(np.float64), expected.reshape(outputs.shape)


def check_outputs(path: Path, inputs: np.ndarray, expected: np.ndarray, tolerance: float) -> float:
    """The largest absolute difference between outputs and expected ones."""
    outputs, expected = run(path, inputs, expected)
    difference = float(np.abs(outputs - expected).max())
    if difference > tolerance:
        raise Problem(f"outputs differ by {difference:.3g}, more than {tolerance:.3g}")
    return difference


def check_classes(path: Path, inputs: np.ndarray, expected: np.ndarray, agreement: float) -> float:
    """The share of examples, percent, whose largest output is the expected one."""
    shares = []
    for plain in (False, True):
        outputs, values = run(path, inputs, expected, plain)
        shares.append(100 * float((outputs.argmax(axis=1) == values.argmax(axis=1)).mean()))
    found = min(shares)
    if found < agreement:
        raise Problem(f"{found:.2f} % of the examples have the expected class, less than {agreement} %")
    return found


def read_samples(arguments: argparse.Namespace) -> list[dict]:
    if arguments.samples:
        samples = json.loads((arguments.samples / "samples.json").read_text())
        if not samples:
            raise Problem(f"{arguments.samples}/samples.json lists no samples")
        for sample in samples:
            for key in ("model", "input", "expected"):
                sample[key] = arguments.samples / sample[key]
        return samples
    shape = [int(size) for size in arguments.shape.split(",")] if arguments.shape else None
    if shape is None and arguments.input.suffix != ".npy":
        raise Problem("raw inputs need `--shape`")
    return [{"model": arguments.model, "input": arguments.input, "shape": shape, "expected": arguments.expected}]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--input", type=Path)
    parser.add_argument("--expected", type=Path)
    parser.add_argument("--shape")
    parser.add_argument("--samples", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    arguments = parser.parse_args()
    if not arguments.samples and not (arguments.model and arguments.input and arguments.expected):
        parser.error("give a model with --input and --expected, or --samples")
    # Warnings are for people. The checks below decide.
    onnxruntime.set_default_logger_severity(3)
    largest, examples, problems, checked, agreements = 0.0, 0, 0, set(), []
    for sample in read_samples(arguments):
        try:
            if sample["model"] not in checked:
                checked.add(sample["model"])
                check_standard(sample["model"])
            inputs = read_values(sample["input"], sample["shape"])
            expected = read_values(sample["expected"], None)
            if "agreement" in sample:
                agreements.append(check_classes(sample["model"], inputs, expected, sample["agreement"]))
                difference = 0.0
            else:
                difference = check_outputs(sample["model"], inputs, expected, arguments.tolerance)
        except Exception as error:  # onnx and ONNX Runtime raise types of their own; each is a failed check.
            print(f"{sample['model']}: {type(error).__name__}: {error}", file=sys.stderr)
            problems += 1
            continue
        largest, examples = max(largest, difference), examples + len(inputs)
    in_8_bits = f", {len(agreements)} in 8 bits with {min(agreements):.2f} % of the classes" if agreements else ""
    print(f"{len(checked)} models{in_8_bits}, {examples} examples, largest absolute difference {largest:.3g}, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(f"error: {problem}")
