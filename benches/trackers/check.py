"""Checks that TensorBoard and MLflow hold a study that was killed several times.

    check.py --kiln target/release/kiln --work FOLDER [--kills 4] [--browser chromium]

The study runs with both trackers. It is killed after random numbers of trials and run again. For the first
half of the kills, the MLflow server is down. Then TensorBoard's own reader and the server are asked for all
points. The expected values follow from the journal alone: this program computes them anew. Needs Python, and
PyPI for the first use. The folder keeps the virtual environment, the run folder and the server's database. A
browser takes pictures of both user interfaces: `tensorboard.png` and `mlflow.png`.
"""

import argparse
import atexit
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
NAME = "tracked"
# With one worker and one pending trial, trials are reported in the order of their numbers.
CONFIG = """
[study]
name = "tracked"
seed = 3

[data]
kind = "digits"

[space]
kind = "mlp"
layers = [1, 2, 3, 4]
width = [4, 8, 12, 16, 24, 32]

[evaluator]
kind = "supernet"
epochs = {epochs}
batch = 48

[search]
strategy = "regularized_evolution"
trials = {trials}
in_flight = 1
objectives = ["error_percent", "parameters"]

[finish]
networks = 2
epochs = 4
formats = ["onnx"]

[track]
tensorboard = true
mlflow = {{ address = "{address}", experiment = "two \\"words\\"" }}
"""
TOKEN = "s3cret-t0ken"


def environment(work):
    python = work / "venv/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        pip = [work / "venv/bin/pip", "install", "--quiet", "--requirement", HERE / "requirements.txt"]
        subprocess.run(pip, check=True)
    return python


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Server:
    """A program that serves web pages on the loopback interface."""

    def __init__(self, name, work, port, command, path):
        self.log = open(work / f"{name}.log", "a")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)
        atexit.register(self.stop)
        end = time.monotonic() + 600
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).read()
                return
            except OSError:
                if self.process.poll() is not None:
                    sys.exit(f"{name} ended: {work / name}.log")
                time.sleep(0.5)
        sys.exit(f"{name} does not answer: {work / name}.log")

    @classmethod
    def mlflow(cls, work, port):
        """A real MLflow server, with SQLite."""
        command = [work / "venv/bin/mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{work / 'mlflow.db'}"]
        command += ["--default-artifact-root", str(work / "artifacts")]
        return cls("mlflow", work, port, command, "/health")

    @classmethod
    def tensorboard(cls, work, port):
        command = [work / "venv/bin/tensorboard", "--logdir", work / "runs", "--host", "127.0.0.1"]
        return cls("tensorboard", work, port, [*command, "--port", str(port), "--load_fast=false"], "/")

    def stop(self):
        # The server and its workers are one session of processes.
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            self.process.wait()


def picture(browser, work, name, address):
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1800"]
    command += ["--virtual-time-budget=60000", f"--user-data-dir={work / 'browser'}"]
    subprocess.run([*command, f"--screenshot={work / name}.png", address], check=True, capture_output=True)
    print(f"{work / name}.png")


def events(run):
    with open(run / "journal.jsonl") as journal:
        return [json.loads(line) for line in journal if line.endswith("\n")]


def count_of_trials(run):
    """The number of trials in a journal that is being written. It may not be there yet."""
    journal = run / "journal.jsonl"
    return journal.read_bytes().count(b'"kind":"trial"') if journal.exists() else 0


def thinned(values):
    """Keeps the points that Kiln keeps: all up to step 512, then 256 until their number has doubled."""
    last, kept = None, {}
    for step, value in values:
        level = max(step.bit_length() - 1 - 8, 0)
        if last != (level, step >> level):
            kept[step] = value
        last = (level, step >> level)
    kept[values[-1][0]] = values[-1][1]
    return kept


def front(points):
    return [p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)]


def hypervolume(points):
    """The share of the box that two objectives dominate, as the guide defines it."""
    best = front(points)
    ranges = []
    for axis in (0, 1):
        low, high = min(p[axis] for p in best), max(p[axis] for p in best)
        if low == high:
            low, high = min(p[axis] for p in points), max(p[axis] for p in points)
        margin = 0.1 * (high - low) if high > low else max(abs(high) * 0.1, sys.float_info.epsilon)
        ranges.append((min(p[axis] for p in best), high + margin))
    (left, right), (bottom, top) = ranges
    area, height = 0.0, top
    for x, y in sorted(set(best)):
        area += (right - x) * max(height - y, 0.0)
        height = min(height, y)
    return 100 * area / ((right - left) * (top - bottom))


def expected(run):
    """The series that follow from a journal."""
    journal = events(run)
    trials = {e["trial"]["id"]: e["trial"] for e in journal if e["kind"] == "trial"}
    errors, sizes, volumes, points, failed, failures = [], [], [], [], 0, []
    for told, (_, trial) in enumerate(sorted(trials.items()), 1):
        # A failed trial has no values.
        if trial["objectives"]:
            points.append(tuple(trial["objectives"]))
        else:
            failed += 1
        failures.append((told, float(failed)))
        if not points:
            continue
        errors.append((told, min(p[0] for p in points)))
        sizes.append((told, min(p[1] for p in points)))
        volumes.append((told, hypervolume(points)))
    finished = [e["finished"] for e in journal if e["kind"] == "finished"]
    series = {
        "search/best_error_percent": thinned(errors),
        "search/best_parameters": thinned(sizes),
        "search/hypervolume_percent": thinned(volumes),
        "search/failed_trials": thinned(failures),
        "finished/trial": {n: float(f["trial"]) for n, f in enumerate(finished, 1)},
    }
    for name in finished[0]["metrics"]:
        series[f"finished/{name}"] = {n: f["metrics"][name] for n, f in enumerate(finished, 1)}
    return series


def losses(run):
    """Some of the losses of the supernet: the journal has those of about one step in a second."""
    found = {}
    for event in events(run):
        if event["kind"] == "progress" and event["stage"] == "supernet" and event["note"].startswith("loss "):
            found[event["done"]] = float(event["note"][5:])
    return found


def compare(name, held, run):
    problems = []
    for series, points in expected(run).items():
        key = series.replace("@", "/")
        steps = [step for step, _, _ in held["series"].get(key, [])]
        if steps != sorted(set(steps)):
            problems.append(f"{name}: {series}: steps repeat or fall")
        found = {step: value for step, value, _ in held["series"].get(key, [])}
        if set(found) != set(points):
            missing, more = sorted(set(points) - set(found)), sorted(set(found) - set(points))
            problems.append(f"{name}: {series}: lacks steps {missing[:9]}, has too many {more[:9]}")
        for step, value in points.items():
            if step in found and abs(found[step] - value) > 2e-6 * max(abs(value), 1):
                problems.append(f"{name}: {series}: {found[step]} at step {step}, expected {value}")
                break
    found = held["series"].get("supernet/loss", [])
    steps = [step for step, _, _ in found]
    if steps != sorted(set(steps)) or not steps:
        problems.append(f"{name}: supernet/loss: {len(steps)} steps that repeat or fall")
    known = losses(run)
    wrong = [step for step, value, _ in found if step in known and abs(known[step] - value) > 1e-4]
    if wrong:
        problems.append(f"{name}: supernet/loss: other values than the journal at steps {wrong[:9]}")
    # Learning rates are not in the journal, so a server that was down lacks them.
    rates = [rate for _, rate, _ in held["series"].get("supernet/learning_rate", [])]
    peak = rates.index(max(rates)) if rates else 0
    curve = sorted(rates[:peak]) + sorted(rates[peak:], reverse=True)
    if rates != curve or (name == "tensorboard" and not rates):
        problems.append(f"{name}: supernet/learning_rate: not a warm-up and a cosine: {rates}")
    for stage in ("prepare", "search", "finish"):
        if not held["series"].get(f"seconds/{stage}"):
            problems.append(f"{name}: no seconds of the stage {stage}")
    count = sum(len(points) for points in held["series"].values())
    print(f"{name}: {len(held['series'])} series, {count} points")
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--trials", type=int, default=700)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--browser")
    options = parser.parse_args()
    work, kiln = options.work.resolve(), options.kiln.resolve()
    work.mkdir(parents=True, exist_ok=True)
    python = environment(work)
    for old in ("runs", "mlflow.db", "artifacts"):
        path = work / old
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    text = CONFIG.format(address=address, trials=options.trials, epochs=options.epochs)
    (work / "study.toml").write_text(text)
    run, server, chance = work / "runs" / NAME, None, random.Random(options.seed)
    command = [kiln, "search", "study.toml", "--workers", "1", "--plain"]
    output = []
    moments = [0, *sorted(chance.sample(range(1, options.trials - 50), options.kills - 1))]
    for attempt in range(options.kills + 1):
        if server is None and attempt > options.kills // 2:
            server = Server.mlflow(work, port)
        log = work / f"kiln-{attempt}.log"
        with open(log, "w") as out:
            env = dict(os.environ, MLFLOW_TRACKING_TOKEN=TOKEN)
            study = subprocess.Popen(command, cwd=work, env=env, stdout=out, stderr=subprocess.STDOUT)
            listed = Path(f"/proc/{study.pid}/cmdline")
            if attempt < options.kills:
                while study.poll() is None and count_of_trials(run) < moments[attempt]:
                    time.sleep(0.002)
                # The first kill hits the supernet's training.
                time.sleep(chance.uniform(0.05, 0.2) if attempt == 0 else 0)
                if study.poll() is not None:
                    sys.exit(f"the study ended before it was killed: {log}")
                if listed.exists() and TOKEN.encode() in listed.read_bytes():
                    sys.exit("the token is in the list of processes")
                study.kill()
                study.wait()
            elif study.wait() != 0:
                sys.exit(f"the study failed: {log}")
        output.append(log.read_text())
    read = lambda *arguments: json.loads(subprocess.check_output([python, HERE / "read.py", *arguments]))
    board = read("tensorboard", run / "tensorboard")["runs"][0]
    runs = read("mlflow", address, 'two "words"')["runs"]
    if options.browser:
        pages = Server.tensorboard(work, board_port := free_port())
        picture(options.browser, work, "tensorboard", f"http://127.0.0.1:{board_port}/#timeseries")
        pages.stop()
        held = runs[0]
        path = f"experiments/{held['experiment']}/runs/{held['id']}/model-metrics"
        picture(options.browser, work, "mlflow", f"{address}/#/{path}")
    server.stop()
    problems = compare("tensorboard", board, run)
    if len(runs) != 1:
        problems.append(f"mlflow: {len(runs)} runs, expected 1")
    for held in runs[:1]:
        problems += compare("mlflow", held, run)
        if (held["name"], held["status"]) != (NAME, "FINISHED"):
            problems.append(f"mlflow: the run is called {held['name']} and is {held['status']}")
        if held["texts"].get("study.seed") != "3":
            problems.append("mlflow: the parameters lack the config")
    if "[study]" not in board["texts"].get("study/config", ""):
        problems.append("tensorboard: the config is missing")
    for path in [*run.rglob("*"), work / "mlflow.db", work / "mlflow.log"]:
        if path.is_file() and TOKEN.encode() in path.read_bytes():
            problems.append(f"{path}: contains the token")
    if any(TOKEN in text for text in output):
        problems.append("the output contains the token")
    print("\n".join(problems) or "every point is there once, with the right value")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
