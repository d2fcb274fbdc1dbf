#!/usr/bin/env python3
"""Checks the ONNX files that `table.py` wrote, and says which runtimes run them.

    files.py --kiln target/release/kiln --data FOLDER --out OUT [--only digits] [--seeds 1] [--require]

OUT and FOLDER are those of `table.py`. Each file passes `onnx.checker` and strict shape inference. ONNX
Runtime runs it on the test split, with and without graph optimization, and its classes are compared with
those of `kiln predict`. The largest difference is that of the logarithms of probabilities. Goals: the same
class for 99.9 % of the images if all layers compute in integers, otherwise 99.5 %, and an accuracy within 0.1
points.

Then each file runs in several runtimes from the package index: each in an environment of its own, which the
script makes in OUT/runtimes, and each file in a process of its own. OUT/files.md has both tables. What is
done is kept in OUT and not repeated. With `--require`, exit code 1 if a goal is missed.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import images
import numpy as np
import onnx
import sessions
import studies

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests/onnx"))
import check  # noqa: E402

# Name of the environment, runtime, and packages. The first ONNX Runtime is the oldest that knows operator set
# 21, which files with 4-bit weights have, but not their type.
ENVIRONMENTS = [
    ("onnxruntime-1.18", "onnxruntime", ["onnxruntime==1.18.1", "numpy==1.26.4"]),
    ("onnxruntime-1.25", "onnxruntime", ["onnxruntime==1.25.1", "numpy==2.4.6"]),
    ("onnxruntime-1.32", "onnxruntime", ["onnxruntime==1.32.0", "numpy==2.4.6"]),
    ("openvino", "openvino", ["openvino==2026.4.1", "numpy==2.4.6"]),
    ("tract", "tract", ["tract==0.23.9", "numpy==2.4.6"]),
]
INTEGER_AGREEMENT, AGREEMENT, ACCURACY = 99.9, 99.5, 0.1
TIME_OUT = 600


def is_integer(recipe: str) -> bool:
    """Whether a recipe leaves no layer in single precision."""
    last = recipe.split("+")[-1]
    return last.partition(":")[0] in ("ptq-int8", "qat-int8") and "max-loss" not in last


def written(arguments: argparse.Namespace) -> list[dict]:
    """The rows of `table.py`, in its order of data sets."""
    rows = [json.loads(path.read_text()) for path in sorted((arguments.out / "rows").glob("*.json"))]
    rows = [row for row in rows if row["data"] in arguments.only and row["seed"] <= arguments.seeds]
    if not rows:
        raise SystemExit(f"{arguments.out}/rows: no rows; run table.py first")
    return sorted(rows, key=lambda row: (images.NAMES.index(row["data"]), row["seed"], row["recipe"]))


def largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(sessions.log_softmax(found) - expected).max())


class Split:
    """The test split of a data set, and what is kept for it."""

    def __init__(self, arguments: argparse.Namespace, data: str):
        folder = images.folder_of(data, arguments.data, arguments.out)
        self.images, self.labels = images.test_split(folder)
        self.place = arguments.out / f"{data}-test.npy"
        np.save(self.place, self.images)


def of_kiln(arguments: argparse.Namespace, row: dict, split: Split) -> np.ndarray:
    """Logarithms of the probabilities that Kiln predicts for the test split."""
    place = kept_place(arguments, row, "kiln").with_suffix(".npy")
    if not place.is_file():
        model = Path(row["file"]).parent
        place.parent.mkdir(parents=True, exist_ok=True)
        np.save(place, studies.log_probabilities(arguments.kiln, model, split.images, split.place))
    return np.load(place)


def kept_place(arguments: argparse.Namespace, row: dict, kind: str) -> Path:
    name = f"{row['data']}-{row['seed']}-{studies.file_name(row['recipe'])}.json"
    return arguments.out / "checked" / kind / name


def standard(path: Path) -> str:
    """`yes`, or the problem that the checker or strict shape inference finds."""
    try:
        check.check_standard(path)
    except Exception as error:  # onnx raises types of its own; each is a failed check
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return "yes"


def checked(arguments: argparse.Namespace, row: dict, split: Split) -> dict:
    file, expected = Path(row["file"]), of_kiln(arguments, row, split)
    model = onnx.load(file)
    found = {
        "standard": standard(file),
        "operator_set": max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        "nodes": len(model.graph.node),
        "operators": sorted({node.op_type for node in model.graph.node}),
    }
    ours = sessions.accuracy(expected, split.labels)
    for plain, name in [(False, "optimized"), (True, "plain")]:
        outputs = sessions.outputs(sessions.session(file, plain), split.images)
        found[name] = {
            "agreement_percent": sessions.agreement(outputs, expected),
            "difference": largest_difference(outputs, expected),
            "accuracy_difference": sessions.accuracy(outputs, split.labels) - ours,
        }
    # `kiln predict` must give what `kiln compress` stated.
    found["stated_difference"] = ours - row["kiln_accuracy_percent"]
    return found


def wanted_agreement(row: dict) -> float:
    return INTEGER_AGREEMENT if is_integer(row["recipe"]) else AGREEMENT


def problems(row: dict, found: dict) -> list[str]:
    wanted = wanted_agreement(row)
    listed = [] if found["standard"] == "yes" else [found["standard"]]
    for name in ("optimized", "plain"):
        if found[name]["agreement_percent"] < wanted:
            listed.append(f"{name}: {found[name]['agreement_percent']:.2f} % of the classes, not {wanted} %")
        if abs(found[name]["accuracy_difference"]) > ACCURACY + 1e-9:
            listed.append(f"{name}: accuracy differs by {found[name]['accuracy_difference']:+.2f} points")
    if abs(found["stated_difference"]) > 1e-3:
        listed.append(f"`kiln predict` differs from the stated accuracy by {found['stated_difference']:+.2f}")
    return listed


def environment(arguments: argparse.Namespace, name: str, packages: list[str]) -> Path:
    """The interpreter of a runtime's environment, which is made if it is not there."""
    folder = arguments.out / "runtimes" / name
    done = folder / "installed.txt"
    if not done.is_file() or done.read_text().split() != packages:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", *packages], check=True)
        done.write_text("\n".join(packages))
    return folder / "bin/python"


def in_runtime(arguments: argparse.Namespace, place: Path, row: dict, split: Split, entry: tuple) -> dict:
    """What a runtime makes of a file."""
    name, runtime, packages = entry
    python, expected = environment(arguments, name, packages), of_kiln(arguments, row, split)
    place.parent.mkdir(parents=True, exist_ok=True)
    job, result, outputs = (place.with_suffix(f".{end}") for end in ("job", "result", "npy"))
    few = place.parent / f"{row['data']}-few.npy"
    np.save(few, split.images[: arguments.images])
    files = {"file": row["file"], "float_file": row["float_file"]}
    files |= {"images": str(few), "outputs": str(outputs)}
    studies.write_json(job, files | {"seconds": arguments.latency_seconds})
    result.unlink(missing_ok=True)
    command = [python, HERE / "one_runtime.py", runtime, job, result]
    # tract adds the stack to its errors otherwise.
    variables = {**os.environ, "RUST_BACKTRACE": "0"}
    limits = {"timeout": TIME_OUT, "preexec_fn": studies.end_with_parent}
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=variables, **limits)
        how = f"the process ended with code {done.returncode}"
    except subprocess.TimeoutExpired:
        how = f"no result within {TIME_OUT} s"
    found = json.loads(result.read_text()) if result.is_file() else {"step": "run", "error": how}
    if outputs.is_file():
        given = np.load(outputs)
        found["agreement_percent"] = sessions.agreement(given, expected[: len(given)])
        found["difference"] = largest_difference(given, expected[: len(given)])
    for left in (job, result, outputs, few):
        left.unlink(missing_ok=True)
    return found


def lacking(error: str, operators: list[str]) -> str:
    """What a runtime lacks: the types and operators that its error names, and the end of the error."""
    types = re.findall(r"tensor\(\w+\)|DatumType \w+", error)
    nodes = re.findall(r"running (\w+) node", error)
    named = types or nodes or [name for name in operators if re.search(rf"\b{name}\b", error)]
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    end = " ".join(lines)[-100:].partition(" ")[2].replace("|", "/")
    return ": ".join([*(f"`{name}`" for name in dict.fromkeys(named)), end])


def runtime_row(row: dict, operators: list[str], name: str, found: dict) -> list[str]:
    is_run = "agreement_percent" in found
    is_loaded = is_run or found.get("step") not in ("import", "load")
    lacks = lacking(found["error"], operators) if found.get("error") else ""
    if is_run and found["agreement_percent"] < wanted_agreement(row):
        lacks = "gives other classes"
    return [
        row["data"],
        f"`{row['recipe']}`",
        f"{name} ({found.get('version', '?').split('-')[0]})",
        "runs" if is_run else "loads" if is_loaded else "no",
        f"{found['agreement_percent']:.2f}" if is_run else "",
        f"{found['difference']:.1e}" if is_run else "",
        f"{found['times_as_fast']:.2f}" if "times_as_fast" in found else "",
        lacks,
    ]


def table(headings: list[str], rows: list[list[str]]) -> list[str]:
    line = lambda cells: f"| {' | '.join(cells)} |"  # noqa: E731
    return [line(headings), "|" + "---|" * len(headings), *map(line, rows), ""]


def read_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder with `mnist` and `fashion-mnist`")
    parser.add_argument("--out", type=Path, required=True, help="folder of `table.py`")
    parser.add_argument("--only", default=",".join(images.NAMES), help="data sets, separated by commas")
    parser.add_argument("--seeds", type=int, default=1)
    names = ",".join(entry[0] for entry in ENVIRONMENTS)
    parser.add_argument("--runtimes", default=names, help="`none` for none")
    parser.add_argument("--images", type=int, default=1000, help="test images in the table of runtimes")
    parser.add_argument("--latency-seconds", type=float, default=1.0)
    parser.add_argument("--require", action="store_true")
    arguments = parser.parse_args()
    arguments.only, arguments.runtimes = arguments.only.split(","), arguments.runtimes.split(",")
    arguments.kiln, arguments.out = arguments.kiln.resolve(), arguments.out.resolve()
    return arguments


def main() -> int:
    arguments = read_arguments()
    rows = written(arguments)
    splits = {data: Split(arguments, data) for data in dict.fromkeys(row["data"] for row in rows)}
    entries = [entry for entry in ENVIRONMENTS if entry[0] in arguments.runtimes]
    of_files, of_runtimes, missed = [], [], []
    for row in rows:
        split = splits[row["data"]]
        found = studies.kept(kept_place(arguments, row, "files"), lambda: checked(arguments, row, split))
        wrong = problems(row, found)
        missed += [f"{row['data']}, seed {row['seed']}, `{row['recipe']}`: {problem}" for problem in wrong]
        of_files.append([
            row["data"],
            f"`{row['recipe']}`",
            f"{found['operator_set']}",
            f"{found['nodes']}",
            "yes" if found["standard"] == "yes" else "no",
            *(f"{found[name]['agreement_percent']:.2f}" for name in ("optimized", "plain")),
            *(f"{found[name]['difference']:.1e}" for name in ("optimized", "plain")),
            f"{found['optimized']['accuracy_difference']:+.2f}",
            "no" if wrong else "yes",
        ])
        for entry in entries:
            place = kept_place(arguments, row, entry[0])
            in_it = studies.kept(place, lambda: in_runtime(arguments, place, row, split, entry))
            of_runtimes.append(runtime_row(row, found["operators"], entry[0], in_it))
            print(" ".join(of_runtimes[-1]), file=sys.stderr, flush=True)
    headings = ["data", "recipe", "operator set", "nodes", "checker and strict inference", "same class, %",
                "without optimization, %", "largest difference", "without optimization",
                "accuracy difference", "goals met"]  # fmt: skip
    lines = ["# Files in ONNX Runtime", "", *table(headings, of_files), *(f"- {text}" for text in missed), ""]
    if of_runtimes:
        headings = ["data", "recipe", "runtime", "loads, runs", "same class, %", "largest difference",
                    "times as fast as float", "lacking"]  # fmt: skip
        lines += ["# Runtimes", "", *table(headings, of_runtimes)]
    text = "\n".join(lines).rstrip() + "\n"
    (arguments.out / "files.md").write_text(text)
    print(text, end="")
    return 1 if arguments.require and missed else 0


if __name__ == "__main__":
    sys.exit(main())
