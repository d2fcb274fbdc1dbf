"""Searches with a training program in NumPy, kills the study while the program runs, and resumes it.

    check.py --kiln target/release/kiln

The killed study must equal an undisturbed one, and no trial of its journal may run again. The winner, with
the weights that the program returned, must have the error in ONNX Runtime that the program reported. Needs
NumPy and ONNX Runtime.
"""

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

sys.dont_write_bytecode = True

import train  # noqa: E402

HERE = Path(__file__).resolve().parent
CONFIG = """
study = {{ name = "numpy", seed = 2 }}
data = {{ kind = "csv", file = "table.csv", target = "kind", test_file = "test.csv" }}
space = {{ kind = "mlp", layers = [1, 2], width = [4, 6, 8, 12, 16] }}
search = {{ strategy = "asha", trials = 17, in_flight = 2, objectives = ["error_percent", "parameters"] }}
finish = {{ networks = 1, formats = ["onnx"] }}
track = {{ tensorboard = true }}

[evaluator]
kind = "command"
command = ["{python}", "train.py", "--architecture", "{{architecture}}", "--epochs", "{{epochs}}",
           "--seed", "{{seed}}", "--checkpoint", "{{checkpoint}}", "--result", "{{result}}",
           "--weights", "{{weights}}", "--data", "{folder}/table.csv"]
folder = "{here}"
metrics = ["error_percent"]
epochs = 9
depends = ["train.py"]
"""


def table(path, rows, chance):
    kinds = chance.integers(0, 3, rows)
    x = chance.normal(0, 1, (rows, 4)) + np.eye(4)[kinds] * 3
    lines = [",".join([f"{value:.3f}" for value in row] + ["abc"[kind]]) for row, kind in zip(x, kinds)]
    path.write_text("p,q,r,s,kind\n" + "\n".join(lines) + "\n")


def facts(run):
    """The trials of a journal, without times."""
    events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return {event["trial"]["id"]: event["trial"] for event in events if event["kind"] == "trial"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", required=True, type=Path)
    kiln = parser.parse_args().kiln.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder, chance = Path(name), np.random.default_rng(1)
        table(folder / "table.csv", 500, chance)
        table(folder / "test.csv", 200, chance)
        (folder / "study.toml").write_text(CONFIG.format(python=sys.executable, folder=folder, here=HERE))
        command = [kiln, "search", "study.toml", "--data", ".", "--workers", "2", "--plain"]

        def run(runs):
            subprocess.run([*command, "--runs", runs], cwd=folder, check=True, stdout=subprocess.DEVNULL)

        run("whole")
        killed = folder / "killed/numpy"
        study = subprocess.Popen([*command, "--runs", "killed"], cwd=folder, stderr=subprocess.DEVNULL)
        while not (killed / "journal.jsonl").exists() or len(facts(killed)) < 4:
            time.sleep(0.02)
        study.kill()
        study.wait()
        before = facts(killed)
        run("killed")
        assert facts(killed) == facts(folder / "whole/numpy"), "the killed study differs from the whole one"
        assert before.items() <= facts(killed).items(), "a trial of the journal ran again"
        left = [path.name for path in (killed / "training").iterdir()]
        assert left == ["network-weights"], f"more than the winner's weights is left: {left}"
        assert list((killed / "tensorboard").iterdir()), "no events for TensorBoard"
        said = subprocess.run([kiln, "trials", "numpy", "--runs", "killed", "--csv"], cwd=folder, check=True,
                              capture_output=True, text=True)  # fmt: skip
        rows = list(csv.DictReader(io.StringIO(said.stdout)))
        assert {row["epochs"] for row in rows} == {"1", "3", "9"}, rows
        (model,) = (killed / "models").iterdir()
        card = json.loads((model / "card.json").read_text())
        reported = next(m["value"] for m in card["metrics"] if m["how"] == "reported by the command")
        x, y = train.table(folder / "table.csv", card["classes"])
        session = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
        (taken,) = session.get_inputs()
        x, y = x[-train.VALIDATION :].astype(np.float32), y[-train.VALIDATION :]
        (outputs,) = session.run(None, {taken.name: x.reshape(-1, *taken.shape[1:])})
        found = 100.0 * float((outputs.argmax(1) != y).mean())
        print(f"killed after {len(before)} trials; ONNX Runtime {found} % wrong, reported {reported} %")
        assert abs(found - reported) < 1e-9, "ONNX Runtime and the program disagree"


if __name__ == "__main__":
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    main()
