#!/usr/bin/env python3
"""Builds exported Rust packages in a separate project and compares their outputs with expected ones.

    check.py --project FOLDER [--samples FOLDER]... [--sample PACKAGE INPUT EXPECTED]... [--tolerance 1e-5]

A folder of samples holds `samples.json`: a list of objects with `package` (a folder), `input` and `expected`
(raw little-endian single-precision numbers). The script writes a cargo project that depends on the packages
and builds their programs. The project uses the versions and features of Kiln's own libraries and, through
`CARGO_TARGET_DIR`, their compiled form. Compiling burn again is a failure, and so are compiler warnings. An
output may differ by the tolerance times the largest value of its example. Exit code 1 if a check fails.
"""

import argparse
import array
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Problem(Exception):
    """A check that failed, in one line."""


def toml_value(value) -> str:
    """A dependency as written in a manifest. JSON strings, numbers and lists are also TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


def package_name(package: Path) -> str:
    return tomllib.loads((package / "Cargo.toml").read_text())["package"]["name"]


def write_project(project: Path, packages: list[Path]) -> None:
    libraries = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["dependencies"]
    libraries = {name: value for name, value in libraries.items() if "path" not in value}
    lines = ['[package]\nname = "rust-module-check"\nversion = "0.0.0"\nedition = "2024"\npublish = false\nautobins = false\n']
    lines.append("[workspace]\n\n[dependencies]")
    lines += [f"{name} = {toml_value(value)}" for name, value in libraries.items()]
    lines += [f"{package_name(package)} = {{ path = {json.dumps(str(package))} }}" for package in packages]
    for package in packages:
        main = json.dumps(str(package / "src" / "main.rs"))
        lines.append(f"\n[[bin]]\nname = {json.dumps(package_name(package))}\npath = {main}")
    project.mkdir(parents=True, exist_ok=True)
    (project / "Cargo.toml").write_text("\n".join(lines) + "\n")
    shutil.copy(ROOT / "Cargo.lock", project / "Cargo.lock")


def build(project: Path) -> dict[str, Path]:
    """The programs by name."""
    command = ["cargo", "build", "--release", "--message-format", "json"]
    done = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    said = [message["message"]["rendered"] for message in messages if message["reason"] == "compiler-message"]
    sys.stderr.write("".join(said))
    if done.returncode != 0:
        raise Problem("the packages do not build")
    if said:
        raise Problem(f"the compiler has {len(said)} warnings")
    programs, compiled = {}, []
    for message in messages:
        if message["reason"] != "compiler-artifact":
            continue
        name = message["target"]["name"]
        if message.get("executable"):
            programs[name] = Path(message["executable"])
        elif not message["fresh"] and re.match("burn", name):
            compiled.append(name)
    if compiled:
        raise Problem(f"compiled again: {', '.join(sorted(set(compiled)))}; the features must be those of Kiln")
    return programs


def read_values(path: Path) -> array.array:
    values = array.array("f", path.read_bytes())
    if sys.byteorder == "big":
        values.byteswap()
    return values


def compare(program: Path, sample: dict, tolerance: float) -> tuple[int, float]:
    """Examples, and the largest difference relative to the largest value of its example."""
    command = [program, sample["input"], sample["package"] / "weights.safetensors"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    rows = [[float(value) for value in line.split()] for line in output.splitlines()]
    expected = read_values(sample["expected"])
    classes = len(rows[0]) if rows else 0
    if classes == 0 or len(rows) * classes != len(expected):
        raise Problem(f"{len(rows)} rows of {classes} values, {len(expected)} values are expected")
    worst = 0.0
    for index, row in enumerate(rows):
        wanted = expected[index * classes :][:classes]
        scale = max(1.0, max(abs(value) for value in wanted))
        difference = max(abs(a - b) for a, b in zip(row, wanted)) / scale
        # The comparison is written so that NaN fails it.
        if not difference <= tolerance:
            raise Problem(f"example {index} differs by {difference:.3g}, more than {tolerance:.3g}")
        worst = max(worst, difference)
    return len(rows), worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, default=[], action="append")
    parser.add_argument("--sample", type=Path, nargs=3, default=[], action="append")
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    arguments = parser.parse_args()
    keys = ("package", "input", "expected")
    samples = [dict(zip(keys, (path.resolve() for path in sample))) for sample in arguments.sample]
    for folder in arguments.samples:
        folder = folder.resolve()
        for sample in json.loads((folder / "samples.json").read_text()):
            samples.append({key: folder / sample[key] for key in keys})
    if not samples:
        raise Problem("there are no samples")
    write_project(arguments.project, [sample["package"] for sample in samples])
    programs = build(arguments.project)
    examples, worst = 0, 0.0
    for sample in samples:
        name = package_name(sample["package"])
        try:
            count, difference = compare(programs[name], sample, arguments.tolerance)
        except Problem as problem:
            raise Problem(f"{name}: {problem}") from None
        print(f"{name}: {count} examples, largest relative difference {difference:.3g}")
        examples, worst = examples + count, max(worst, difference)
    print(f"{len(samples)} packages, {examples} examples, largest relative difference {worst:.3g}")


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(f"error: {problem}")
