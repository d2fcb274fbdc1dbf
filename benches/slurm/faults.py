#!/usr/bin/env python3
"""Runs studies on a real Slurm cluster, breaks it in seven ways, and compares the journals.

    faults.py --kiln target/release/kiln --work FOLDER [--each 10] [--quick] [--out FILE]

`cluster.sh` makes a controller and nodes in network namespaces. A study of networks that Kiln trains, and one
of a training program, run without an engine, and then on the cluster under faults, `--each` of each kind in
all:

    controller  the process of the study is killed and started again
    node        a node's daemon is killed with its jobs, and started again
    job         the process of one job is killed
    scancel     one job is cancelled by hand
    preempt     the jobs of a node make room for a job of a partition that goes first
    full        the shared folder is full for three seconds
    clock       the clock of one job is two minutes off

Journals must be equal except for times, no complete result may be worked for again, and each attempt must
have an end. Two more studies: one whose cluster has a node that does not see the shared folder, and one of
tiny evaluations, which measures what Kiln adds to the time of an empty job. `--quick` runs six trials and
kills one node. Needs root and Debian's `slurm-wlm`, `munge`, `faketime` and `iproute2`. Exits with 3 if these
are missing.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLUSTER = HERE / "cluster.sh"
KINDS = ["controller", "node", "job", "scancel", "preempt", "full", "clock"]
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
STUDY = """
study = {{ name = "{name}", seed = 5 }}
data = {{ kind = "digits" }}
space = {{ kind = "mlp", layers = [1, 2, 3], width = [8, 12, 16, 20, 24, 28, 32] }}
[search]
strategy = "nsga2"
trials = {trials}
in_flight = 4
objectives = ["error_percent", "parameters"]

[evaluator]
{evaluator}
"""
SCRATCH = """kind = "scratch"
epochs = {epochs}
batch = 16
checkpoint_steps = 20"""
COMMAND = """kind = "command"
command = ["python3", "{here}/train.py", "--architecture", "{{architecture}}", "--epochs", "{{epochs}}",
           "--seed", "{{seed}}", "--checkpoint", "{{checkpoint}}", "--result", "{{result}}"]
metrics = ["error_percent"]
epochs = {epochs}
depends = ["{here}/train.py"]"""
# A job takes the file with a clock, and so knows that its own is wrong.
SETUP = [
    "export PAUSE_S={pause}",
    "if mv '{shared}/clock' '{shared}/clock-of-job' 2>/dev/null; then",
    "    export LD_PRELOAD={faketime} FAKETIME_DONT_FAKE_MONOTONIC=1",
    "    export FAKETIME=\"$(cat '{shared}/clock-of-job')\"",
    "fi",
]
ENGINE = """
[engine]
kind = "slurm"
jobs = 4
trials_per_job = {per_job}
attempts = 1000
memory_bytes = 300_000_000
setup = [{setup}]
"""


def cluster(action, folder, *arguments, check=True):
    command = ["bash", CLUSTER, action, folder, *map(str, arguments)]
    return subprocess.run(command, check=check, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def events(journal):
    if not journal.exists():
        return []
    lines = journal.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def facts(journal):
    """The facts of a journal: neither times nor the workers that found them, each once."""
    found = {"trials": {}, "finished": {}}
    for event in events(journal):
        if event["kind"] == "prepared":
            found["prepared"] = (event["fingerprint"], event["full_epochs"])
        elif event["kind"] == "trial":
            found["trials"][event["trial"]["id"]] = event["trial"]
        elif event["kind"] == "searched":
            found["searched"] = (event["trials"], event["front"])
        elif event["kind"] == "finished":
            found["finished"][event["finished"]["trial"]] = event["finished"]
        elif event["kind"] == "ended":
            found["ended"] = True
    return found


def read(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


class Job:
    """The folder of a job."""

    def __init__(self, folder):
        self.folder = folder
        self.end = (read(folder / "ended.json") or {}).get("end", {}).get("how")
        self.handle = (read(folder / "submitted.json") or {}).get("handle")
        self.requests = []
        number = 1
        while request := read(path := folder / "requests" / f"{number}.json"):
            if "work" not in request:
                break
            begun = path.with_suffix(".begun").exists()
            self.requests.append((request["work"]["key"], begun, path.stat().st_mtime))
            number += 1


class Run:
    """A study on the cluster."""

    def __init__(self, options, work, name, text):
        self.kiln, self.work, self.shared, self.name = options.kiln, work, work / "shared", name
        self.config = self.shared / f"{name}.toml"
        self.config.write_text(text)
        self.run = self.shared / "runs" / name
        self.log = open(work / f"{name}.log", "a")
        self.seen, self.process, self.starts = {}, None, 0

    def start(self):
        command = ["bash", CLUSTER, "in", self.work / "cluster", self.kiln, "search", self.config, "--plain"]
        command += ["--runs", self.shared / "runs"]
        self.starts += 1
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
                                        start_new_session=True)  # fmt: skip

    def look(self):
        """Notes when each complete result was first seen."""
        now = time.time()
        for path in (self.run / "jobs/results").glob("*/*.json"):
            if not path.name.startswith("."):
                self.seen.setdefault(path.stem, now)

    def jobs(self):
        return [Job(path) for path in sorted((self.run / "jobs").glob("[0-9]*"))]

    def running(self):
        return [job for job in self.jobs() if job.end is None and job.handle]

    def pids(self):
        """The processes of jobs."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"work" in words[1:2] and str(self.run).encode() in words[2]:
                found.append(int(path.parent.name))
        return found

    def keep_going(self):
        """A study that ended because the folder was full, or because it was killed, is run again."""
        code = self.process.poll()
        if code == 0:
            return False
        if code is not None:
            self.start()
        return True


def fault(kind, run, chance, folder):
    """Does one fault. Returns whether there was something to break."""
    if kind == "controller":
        run.process.kill()
        run.process.wait()
        time.sleep(chance.uniform(0, 1))
        run.start()
    elif kind == "node":
        node = chance.choice(["n1", "n2"])
        cluster("kill", folder, node)
        time.sleep(chance.choice([0.2, 4, 12]))
        cluster("start", folder, node)
    elif kind == "job":
        pids = run.pids()
        if not pids:
            return False
        try:
            os.kill(chance.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return False
    elif kind == "scancel":
        running = run.running()
        if not running:
            return False
        cluster("in", folder, "scancel", chance.choice(running).handle.split(":")[0])
    elif kind == "preempt":
        if not run.pids():
            return False
        # It takes the whole node. Its partition chooses a node with jobs if both have some.
        urgent = ["--partition=urgent", "--cpus-per-task=2", "--mem=3900M", "--output=/dev/null"]
        cluster("in", folder, "sbatch", "--wait", *urgent, "--wrap=sleep 1")
    elif kind == "full":
        filler = run.shared / "filler"
        try:
            with open(filler, "wb", buffering=0) as file:
                while file.write(bytes(1 << 16)):
                    pass
        except OSError:
            time.sleep(3)
        filler.unlink(missing_ok=True)
    elif kind == "clock":
        (run.shared / "clock-of-job").unlink(missing_ok=True)
        (run.shared / "clock").write_text(chance.choice(["+120", "-120"]))
        end = time.monotonic() + 60
        while (run.shared / "clock").exists() and time.monotonic() < end:
            run.look()
            if not run.keep_going():
                break
            time.sleep(0.1)
        is_used = not (run.shared / "clock").exists()
        (run.shared / "clock").unlink(missing_ok=True)
        return is_used
    return True


def wait_for_end(run, limit_s=1200):
    end = time.monotonic() + limit_s
    while run.keep_going():
        run.look()
        if time.monotonic() > end:
            raise AssertionError(f"{run.name}: does not end: {run.log.name}")
        time.sleep(0.1)


def judge(run, whole, faults):
    """Compares a study with the undisturbed one, and explains each attempt."""
    found, expected = facts(run.run / "journal.jsonl"), facts(whole)
    for part in expected:
        assert found.get(part) == expected[part], f"{run.name}: {part} differs"
    complete, ends = collections.Counter(), collections.Counter()
    for job in run.jobs():
        assert job.end, f"{job.folder}: no end"
        ends[job.end] += 1
        begun = [index for index, (_, begun, _) in enumerate(job.requests) if begun]
        for index, (key, is_begun, made) in enumerate(job.requests):
            late = made - run.seen.get(key, float("inf"))
            assert late <= 0, f"{job.folder}: asked for {key} {late:.2f} s after its result was there"
            if is_begun and (job.end == "done" or index != begun[-1]):
                complete[key] += 1
    again = [key for key, count in complete.items() if count > 1]
    assert not again, f"{run.name}: evaluated again: {again}"
    record = {"study": run.name, "trials": len(found["trials"]), "jobs": sum(ends.values())}
    record |= {"starts": run.starts, "ends": dict(sorted(ends.items()))}
    record |= {"faults": {kind: faults[kind] for kind in KINDS}}
    print(json.dumps(record), flush=True)
    return record


def blind(options, work):
    """A study on nodes of which one does not see the shared folder."""
    text = STUDY.format(name="blind", trials=4, evaluator=SCRATCH.format(epochs=3))
    run = Run(options, work, "blind", text + ENGINE.format(per_job=1, setup="") + 'partition = "blind"\n')
    run.start()
    assert run.process.wait(600) == 0, "the study ends well"
    ends = collections.Counter(job.end for job in run.jobs())
    # All jobs at a time may begin there before the first has ended.
    assert 1 <= ends["no_folder"] <= 4 and ends["done"] >= 4, ends
    said = Path(run.log.name).read_text()
    assert "its machine `n3` does not see the run folder" in said, said
    print(f"blind node: {dict(ends)}", flush=True)


def bare(count, folder):
    """Seconds until empty jobs of Slurm run. Run on the controller's machine."""
    seconds = []
    for number in range(count):
        path, began = folder / f"empty-{number}", time.monotonic()
        job = ["sbatch", "--mem=300M", "--output=/dev/null", f"--wrap=touch '{path}'"]
        subprocess.run(job, check=True, capture_output=True)
        while not path.exists():
            time.sleep(0.005)
        seconds.append(time.monotonic() - began)
    return seconds


def overhead(options, work, count=10):
    """Seconds until an empty job runs, and until a job of Kiln takes its first request: medians."""
    said = cluster("in", work / "cluster", sys.executable, __file__, "bare", count, work / "shared")
    times = json.loads(said.stdout)
    text = STUDY.format(name="tiny", trials=count, evaluator=SCRATCH.format(epochs=1))
    text += ENGINE.format(per_job=1, setup="").replace("jobs = 4", "jobs = 1")
    run = Run(options, work, "tiny", text)
    run.start()
    assert run.process.wait(600) == 0, "the study ends well"
    own = []
    for job in sorted((run.run / "jobs").glob("[0-9]*")):
        begun = (job / "requests/1.begun").stat().st_mtime
        own.append(begun - read(job / "job.json")["unix_s"])
    empty, kiln = statistics.median(times), statistics.median(own)
    print(f"an empty job begins after {empty:.3f} s, a request after {kiln:.3f} s", flush=True)
    return {"empty_s": round(empty, 3), "kiln_s": round(kiln, 3)}


def texts(options, quick):
    """The studies: name, config without an engine, pause of an epoch, trials in each job."""
    size = {"scratch": (6, 150), "command": (6, 2)} if quick else options.sizes
    (trials, epochs), (runs, rounds) = size["scratch"], size["command"]
    scratch = STUDY.format(name="scratch", trials=trials, evaluator=SCRATCH.format(epochs=epochs))
    command = COMMAND.format(here=HERE, epochs=rounds)
    command = STUDY.format(name="command", trials=runs, evaluator=command)
    if quick:
        return [("scratch", scratch, 0, 1)]
    return [("scratch", scratch, 0, 2), ("command", command, 1, 2)]


def engine(shared, pause, per_job):
    lines = [line.format(shared=shared, pause=pause, faketime=FAKETIME) for line in SETUP]
    setup = ", ".join(json.dumps(line) for line in lines)
    return ENGINE.format(per_job=per_job, setup=setup)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["scratch", "command", "blind", "overhead"])
    parser.add_argument("--scratch", type=int, nargs=2, default=[90, 150], metavar=("TRIALS", "EPOCHS"))
    parser.add_argument("--command", type=int, nargs=2, default=[90, 9], metavar=("TRIALS", "EPOCHS"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.kiln = options.kiln.resolve()
    options.sizes = {"scratch": options.scratch, "command": options.command}
    needed = ["slurmctld", "slurmd", "munged", "ip", "unshare", "faketime"]
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [name for name in needed if not shutil.which(name, path=path)]
    if os.geteuid() != 0 or missing:
        print(f"skipped: needs root and {', '.join(missing or needed)}")
        sys.exit(3)
    work = options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    (work / "shared").mkdir(parents=True)
    # Small, so that it can be filled. The nodes see it, since it is there before they are.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "kiln", work / "shared"], check=True)
    # What was made is removed after a signal, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began, records, chance = time.monotonic(), [], random.Random(options.seed)
    try:
        cluster("up", work / "cluster")
        for name, text, pause, per_job in texts(options, options.quick):
            if options.only and name != options.only:
                continue
            (work / f"{name}.toml").write_text(text)
            with open(work / "whole.log", "a") as log:
                command = [options.kiln, "search", work / f"{name}.toml", "--plain", "--workers", "2"]
                command += ["--runs", work / "whole"]
                subprocess.run(command, check=True, stdout=log, stderr=log)
            whole = work / "whole" / name / "journal.jsonl"
            run = Run(options, work, name, text + engine(work / "shared", pause, per_job))
            kinds = ["node"] if options.quick else KINDS * -(-options.each // 2)
            if not options.quick:
                chance.shuffle(kinds)
            done = collections.Counter()
            run.start()
            while not run.running() and run.keep_going():
                time.sleep(0.1)
            while kinds and run.keep_going():
                wait = time.monotonic() + chance.uniform(0.2, 3)
                while time.monotonic() < wait:
                    run.look()
                    time.sleep(0.05)
                if not run.keep_going():
                    break
                if fault(kinds[0], run, chance, work / "cluster"):
                    done[kinds.pop(0)] += 1
                    print(f"{time.monotonic() - began:6.0f} s  {name}: {dict(done)}", flush=True)
                else:
                    chance.shuffle(kinds)
                run.look()
            wait_for_end(run)
            assert not kinds, f"{name}: ended before these faults, make it longer: {kinds}"
            records.append(judge(run, whole, done))
        figures = {}
        if options.only in (None, "blind"):
            blind(options, work)
        if options.only == "overhead" or not (options.only or options.quick):
            figures = overhead(options, work)
            assert figures["kiln_s"] - figures["empty_s"] <= 0.2, "Kiln adds at most 0.2 s"
        seconds = time.monotonic() - began
        print(f"all as without faults, in {seconds:.0f} s")
        if options.out:
            text = {"seconds": round(seconds), **figures, "studies": records}
            options.out.write_text(json.dumps(text, indent=1))
    finally:
        cluster("down", work / "cluster", check=False)
        subprocess.run(["umount", "-l", work / "shared"], check=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        print(json.dumps(bare(int(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
