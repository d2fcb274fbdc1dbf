#!/usr/bin/env python3
"""Runs studies on a real Ray cluster, and disturbs them.

    sudo benches/ray/cluster.py --kiln target/release/kiln --work FOLDER [--faults 2] [--result FILE]

A head and two nodes run in network namespaces of their own, each with its own process ids. A bridge in a
fourth namespace connects them, where the studies run. No namespace has a route to outside. The cluster needs
a token. The script makes and removes all of this. It needs root, `ip`, `unshare` and `openssl`, PyPI for the
first use, and a Kiln with the feature `https`. The checks:

- A study on the cluster has the journal of a study without engine, except times.
- So does a study that is disturbed: the study, a job and a node are killed, and a job is stopped by hand,
  each `--faults` times. No complete evaluation is done again, and each other attempt says how it ended.
- A wrong token and an unknown certificate are refused with a reason. `https` works with the right one.
- No file and no output contains the token.
- Times until ten empty jobs of Ray run, and until ten jobs of Kiln begin with their evaluation.
"""

import argparse
import atexit
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
HUB, HEAD, NODES = "kiln-hub", "kiln-head", ["kiln-n1", "kiln-n2"]
ADDRESS = {HUB: "10.77.0.254", HEAD: "10.77.0.1", NODES[0]: "10.77.0.2", NODES[1]: "10.77.0.3"}
TOKEN = "a-t0ken-0f-this-cluster-alone-0123456789"
PLAIN, SECURE = f"http://{ADDRESS[HEAD]}:8265", "https://127.0.0.1:8443"
CONFIG = """
[study]
name = "{name}"
seed = 1

[data]
kind = "digits"

[space]
kind = "mlp"
layers = [1, 2]
width = [8, 16, 24, 32]

[[hardware]]
device = "cortex-m7"

[evaluator]
kind = "scratch"
epochs = {epochs}
batch = 16
checkpoint_steps = 20

[search]
strategy = "nsga2"
trials = {trials}
in_flight = 4
objectives = ["error_percent", "latency_us"]

[finish]
networks = 1
epochs = 1
"""
ENGINE = """
[engine]
kind = "ray"
address = "{address}"
jobs = {jobs}
trials_per_job = {trials_per_job}
attempts = 100
cpus = 1
runtime_env = {{ env_vars = {{ SOURCE_DATE_EPOCH = "1795943772" }} }}
"""
# How an attempt may end that was cut off. A node's death ends its jobs.
EXPLAINED = {"killed", "gone", "node_lost", "cancelled", "memory", "exited"}


def sh(*command, **more):
    return subprocess.run([str(part) for part in command], check=True, **more)


def inside(namespace, *command):
    return ["ip", "netns", "exec", namespace, *[str(part) for part in command]]


def environment(token=TOKEN):
    env = dict(os.environ, SOURCE_DATE_EPOCH="1795943772", RAY_USAGE_STATS_ENABLED="0")
    env |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return {key: value for key, value in env.items() if not key.lower().endswith("_proxy")}


class Cluster:
    def __init__(self, work):
        self.work, self.ray, self.running = work, work / "venv/bin/ray", {}
        if not self.ray.exists():
            sh(sys.executable, "-m", "venv", work / "venv")
            sh(work / "venv/bin/pip", "install", "--quiet", "--requirement", HERE / "requirements.txt")
        self.remove()
        atexit.register(self.remove)
        for space in ADDRESS:
            sh("ip", "netns", "add", space)
            sh("ip", "-n", space, "link", "set", "lo", "up")
        sh("ip", "-n", HUB, "link", "add", "bridge", "type", "bridge")
        sh("ip", "-n", HUB, "addr", "add", f"{ADDRESS[HUB]}/24", "dev", "bridge")
        sh("ip", "-n", HUB, "link", "set", "bridge", "up")
        for space in [HEAD, *NODES]:
            port = f"to-{space[5:]}"
            sh("ip", "-n", HUB, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            sh("ip", "-n", HUB, "link", "set", port, "master", "bridge", "up")
            sh("ip", "-n", space, "addr", "add", f"{ADDRESS[space]}/24", "dev", "eth0")
            sh("ip", "-n", space, "link", "set", "eth0", "up")
        self.start(HEAD)
        self.wait_for([HEAD])
        for node in NODES:
            self.start(node)
        self.wait_for([HEAD, *NODES])

    def start(self, space):
        """Starts a node. Its processes end with the first of them, as those of a machine do."""
        arguments = ["--address", f"{ADDRESS[HEAD]}:6379", "--num-cpus", "1"]
        if space == HEAD:
            arguments = ["--head", "--port", "6379", "--dashboard-host", ADDRESS[HEAD], "--num-cpus", "0"]
        place = self.work / space
        place.mkdir(exist_ok=True)
        ray = f"mount --bind '{place}' /tmp/ray && exec \"$0\" start --block --disable-usage-stats \"$@\""
        Path("/tmp/ray").mkdir(exist_ok=True)
        command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", ray, self.ray]
        command += ["--node-ip-address", ADDRESS[space], "--object-store-memory", "100000000", *arguments]
        log = open(self.work / f"{space}.log", "a")
        self.running[space] = subprocess.Popen(
            inside(space, *command), env=environment(), stdout=log, stderr=log, start_new_session=True
        )

    def kill(self, space):
        self.running[space].kill()
        self.running.pop(space).wait()

    def runs(self, space, pid):
        pids = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True).stdout
        return str(pid) in pids.split()

    def remove(self):
        for space in list(self.running):
            self.kill(space)
        for space in ADDRESS:
            subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)

    def ask(self, method, path):
        """Sends a request from the namespace of the studies."""
        command = inside(HUB, sys.executable, __file__, "ask", method, path)
        ran = subprocess.run(command, env=environment(), capture_output=True, text=True)
        return json.loads(ran.stdout) if ran.returncode == 0 else None

    def wait_for(self, spaces):
        """Waits until these nodes are up. Ray gives up on a busy machine, so their start is tried again."""
        end = time.monotonic() + 400
        path = "/api/v0/nodes?filter_keys=state&filter_predicates=%3D&filter_values=ALIVE"
        while time.monotonic() < end:
            found = self.ask("GET", path)
            if found and len(found["data"]["result"]["result"]) == len(spaces):
                return
            for space in spaces:
                if self.running[space].poll() is not None:
                    self.start(space)
            time.sleep(1)
        sys.exit(f"the cluster does not start: see the logs in {self.work}")


def ask(method, path, body=None):
    request = urllib.request.Request(PLAIN + path, method=method)
    request.add_header("authorization", f"Bearer {os.environ['RAY_AUTH_TOKEN']}")
    data = None
    if body is not None:
        request.add_header("content-type", "application/json")
        data = json.dumps(body).encode()
    with urllib.request.urlopen(request, data=data, timeout=30) as answer:
        return json.load(answer)


def bare(count, folder):
    """Seconds from the request until empty jobs of Ray run. Run in the namespace of the studies."""
    seconds = []
    for number in range(count):
        name = f"bare-{number}-{time.time_ns()}"
        path, began = Path(folder) / name, time.monotonic()
        env = {"env_vars": {"SOURCE_DATE_EPOCH": "1795943772"}}
        body = {"submission_id": name, "entrypoint_num_cpus": 1, "runtime_env": env}
        ask("POST", "/api/jobs/", body | {"entrypoint": f"touch '{path}'"})
        while not path.exists():
            time.sleep(0.005)
        seconds.append(time.monotonic() - began)
        while ask("GET", f"/api/jobs/{name}")["status"] != "SUCCEEDED":
            time.sleep(0.05)
    return seconds


def proxy(certificate, key):
    """Takes TLS on the loopback interface of the studies' namespace, and passes bytes on to the head."""
    import socket
    import ssl
    import threading

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = socket.create_server(("127.0.0.1", 8443))

    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(raw):
        try:
            secure = context.wrap_socket(raw, server_side=True)
            plain = socket.create_connection((ADDRESS[HEAD], 8265))
        except OSError:
            return
        threading.Thread(target=pump, args=(secure, plain), daemon=True).start()
        pump(plain, secure)

    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def certificates(folder):
    folder.mkdir(exist_ok=True)
    run = lambda *command: sh("openssl", *command, cwd=folder, capture_output=True)
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("ca", "other"):
        run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-days", "2", "-subj", f"/CN=kiln {name}")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr",
        "-subj", "/CN=ray")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "2",
        "-extfile", "san", "-out", "server.pem")


class Study:
    def __init__(self, cluster, kiln, name, engine, epochs=3, trials=8):
        self.cluster, self.kiln, self.name = cluster, kiln, name
        self.folder = cluster.work / "studies" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        text = CONFIG.format(name=name, epochs=epochs, trials=trials) + engine
        (self.folder / "study.toml").write_text(text)
        self.run, self.said = self.folder / "runs" / name, self.folder / "said"

    def start(self, token=TOKEN):
        command = inside(HUB, self.kiln, "search", "study.toml", "--plain")
        said = open(self.said, "a")
        return subprocess.Popen(command, cwd=self.folder, env=environment(token), stdout=said, stderr=said)

    def whole(self, token=TOKEN):
        return self.start(token).wait(), self.said.read_text()

    def events(self):
        journal = self.run / "journal.jsonl"
        return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []

    def facts(self):
        """The journal without times, workers and checks, each trial once."""
        facts = {}
        for event in self.events():
            if event["kind"] in ("trial", "searched", "finished", "ended", "prepared"):
                aside = ("check", "unix_s", "elapsed_s", "seconds", "worker", "known")
                plain = {key: value for key, value in event.items() if key not in aside}
                number = (event.get("trial") or {}).get("id") if event["kind"] == "trial" else None
                facts[event["kind"], -1 if number is None else number] = json.dumps(plain, sort_keys=True)
        return [facts[key] for key in sorted(facts)]

    def jobs(self):
        return sorted(job.parent for job in self.run.glob("jobs/*/job.json"))

    def results(self):
        return {path.stem for path in self.run.glob("jobs/results/*/*.json") if not path.name.startswith(".")}

    def open_jobs(self):
        """Jobs that began and have not ended: folder and process id, where the process lives."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                folder = Path(words[2].decode()) if len(words) > 2 and words[1] == b"work" else None
                if folder and folder.parent == self.run / "jobs":
                    found.append((folder, int(entry.name)))
        return found


def read(path):
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def attempts(study, seen):
    """Problems of the attempts, and how those that were cut off ended."""
    problems, complete, ends = [], {}, {}
    for job in study.jobs():
        requests = []
        for number in range(1, 10_000):
            request = job / "requests" / f"{number}.json"
            work = (read(request) or {}).get("work")
            if not work:
                break
            if work["key"] in seen and request.stat().st_mtime > seen[work["key"]]:
                problems.append(f"{job.name}: asked again for {work['key']}")
            requests.append((work["key"], request.with_suffix(".begun").exists()))
        begun = [key for key, is_begun in requests if is_begun]
        end = ((read(job / "ended.json") or {}).get("end") or {}).get("how")
        for index, key in enumerate(begun):
            if end == "done" or index + 1 < len(begun):
                complete[key] = complete.get(key, 0) + 1
            elif end in EXPLAINED:
                ends[end] = ends.get(end, 0) + 1
            else:
                problems.append(f"{job.name}: an attempt that ended without an explanation: {end}")
    problems += [f"{key} was evaluated {count} times" for key, count in complete.items() if count > 1]
    return problems, ends


def disturbed(cluster, study, faults, rng):
    """Runs a study, and disturbs it."""
    plan = [kind for kind in ("study", "job", "stop", "node") for _ in range(faults)]
    rng.shuffle(plan)
    seen, done, process = {}, {}, study.start()
    end = time.monotonic() + 1800
    while plan and time.monotonic() < end:
        time.sleep(rng.uniform(0.2, 1.5))
        now = time.time()
        for key in study.results():
            seen.setdefault(key, now)
        if process.poll() is not None:
            break
        jobs = study.open_jobs()
        if not jobs:
            continue
        kind, (folder, pid) = plan[-1], rng.choice(jobs)
        if kind == "study":
            process.kill()
            process.wait()
            process = study.start()
        elif kind == "job":
            os.kill(pid, signal.SIGKILL)
        elif kind == "stop":
            handle = (read(folder / "submitted.json") or {}).get("handle")
            if not handle or cluster.ask("POST", f"/api/jobs/{handle}/stop") is None:
                continue
        else:
            node = next((node for node in NODES if cluster.runs(node, pid)), None)
            if node is None:
                continue
            cluster.kill(node)
            # The other node goes on alone for a while.
            time.sleep(rng.uniform(5, 20))
            cluster.start(node)
        done[plan.pop()] = done.get(kind, 0) + 1
        print(f"disturbed: {kind}, {len(plan)} left", flush=True)
    code = process.wait(timeout=1200)
    time.sleep(6)
    return code, seen, done, len(plan)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kiln", required=True, type=Path)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--faults", type=int, default=2, help="of each kind")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--result", type=Path, help="file of the figures for docs/benchmarks.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work, kiln = options.work.resolve(), options.kiln.resolve()
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "studies", ignore_errors=True)
    cluster, problems, figures = Cluster(work), [], {}
    print("the cluster runs", flush=True)

    def expect(holds, problem):
        print(("holds: " if holds else "FAILS: ") + problem, flush=True)
        if not holds:
            problems.append(problem)

    engine = lambda address, more="", **keys: (
        ENGINE.format(address=address, **{"jobs": 2, "trials_per_job": 2} | keys) + more
    )
    study = lambda name, text, **keys: Study(cluster, kiln, name, text, **keys)

    alone = study("small", "")
    expect(alone.whole()[0] == 0, "a study without engine")
    shutil.move(alone.folder, work / "studies/alone")
    alone.folder, alone.run = work / "studies/alone", work / "studies/alone/runs/small"
    on_ray = study("small", engine(PLAIN))
    code, said = on_ray.whole()
    is_same = code == 0 and on_ray.facts() == alone.facts() and len(alone.facts()) > 8
    expect(is_same, "the same journal on Ray")

    wrong = study("wrong", engine(PLAIN))
    code, said = wrong.whole(token="another-t0ken")
    is_refused = code != 0 and "refuses the token" in said and "another-t0ken" not in said
    expect(is_refused, "a wrong token is refused")

    certificates(work / "tls")
    files = [work / "tls/server.pem", work / "tls/server.key"]
    server = subprocess.Popen(inside(HUB, sys.executable, __file__, "proxy", *files))
    atexit.register(server.kill)
    time.sleep(1)
    secure = study("secure", engine(SECURE, f'ca_file = "{work / "tls/ca.pem"}"\n'), trials=2, epochs=1)
    code, said = secure.whole()
    expect(code == 0, "a study over https with a file of certificates")
    unknown = study("unknown", engine(SECURE, f'ca_file = "{work / "tls/other.pem"}"\n'), trials=2)
    code, said = unknown.whole()
    expect(code != 0 and "no secure connection" in said, "an unknown certificate is refused")
    server.kill()

    ran = subprocess.check_output(inside(HUB, sys.executable, __file__, "bare", 10, work), env=environment())
    figures["empty_s"] = statistics.median(json.loads(ran))
    tiny = study("tiny", engine(PLAIN, jobs=1, trials_per_job=1), trials=12, epochs=1)
    expect(tiny.whole()[0] == 0, "a study of tiny evaluations")
    begun = lambda job: (job / "requests/1.begun").stat().st_mtime - read(job / "job.json")["unix_s"]
    figures["kiln_s"] = statistics.median(begun(job) for job in tiny.jobs())
    figures["overhead_s"] = figures["kiln_s"] - figures["empty_s"]
    expect(figures["overhead_s"] <= 0.2, f"Kiln's part of a job takes {figures['overhead_s']:.2f} s")

    quiet = study("faults", "", trials=options.trials, epochs=options.epochs)
    expect(quiet.whole()[0] == 0, "a longer study without engine")
    facts = quiet.facts()
    faults = study("faults", engine(PLAIN), trials=options.trials, epochs=options.epochs)
    began = time.monotonic()
    code, seen, done, left = disturbed(cluster, faults, options.faults, random.Random(options.seed))
    found, ends = attempts(faults, seen)
    problems += found
    print("\n".join(found), flush=True)
    figures |= {"faults": sum(done.values()), "disturbed_s": time.monotonic() - began}
    figures |= {"ends": ends, "kinds": done}
    expect(code == 0 and left == 0, f"a study that is disturbed: {done}, attempts cut off: {ends}")
    expect(faults.facts() == facts, "the same journal after the disturbances")
    expect(not found, "no complete evaluation was done again, and each other attempt is explained")

    # The wrong token of one study is another text.
    files = [path for path in (work / "studies").rglob("*") if path.is_file()]
    leaks = [path for path in files if TOKEN.encode() in path.read_bytes()]
    jobs = json.dumps(cluster.ask("GET", "/api/jobs/"))
    expect(not leaks and TOKEN not in jobs, f"no file and no job has the token {leaks}")
    print(json.dumps(figures))
    if options.result and not problems:
        git = ["git", "-C", HERE, "log", "-1", "--format=%h"]
        commit = subprocess.check_output(git, text=True).strip()
        text = {
            "what": "Studies on a Ray 2.60.0 cluster (a head, two nodes, a token) that are disturbed.",
            "section": "Your own program, and trackers",
            "order": 4,
            "command": f"benches/ray/cluster.py --kiln target/release/kiln --work FOLDER --faults"
            f" {options.faults} --trials {options.trials} --epochs {options.epochs}",
            "machine": "B",
            "commit": commit,
            "date": time.strftime("%Y-%m-%d"),
            "columns": [],
            "figures": [figures],
            "summary": "The study, a job and a node were killed, and a job was stopped by hand,"
            " {high[faults]} times in all: same journal as without engine, no complete evaluation done"
            " again."
            " A wrong token and an unknown certificate are refused. An empty job of Ray runs"
            " {high[empty_s]:.2f} s after the request; a job of Kiln takes its first request {high[kiln_s]:.2f} s"
            " after it.",
        }
        options.result.write_text(json.dumps(text, indent=1, ensure_ascii=False) + "\n")
    sys.exit(bool(problems))


if __name__ == "__main__":
    match sys.argv[1:2]:
        case ["ask"]:
            print(json.dumps(ask(*sys.argv[2:4])))
        case ["bare"]:
            print(json.dumps(bare(int(sys.argv[2]), sys.argv[3])))
        case ["proxy"]:
            proxy(*sys.argv[2:4])
        case _:
            main()
