#!/usr/bin/env python3
"""Checks that the health check warns of the supernets that mislead, and of no others.

    benches/supernet/health.py KILN DATA OUT [digits|fashion] ..

KILN is the program, DATA the folder of Fashion-MNIST's four files. The script trains supernets with several
learning rates and lengths, one at a time, with benches/supernet/health-digits.toml and health-fashion.toml.
It compares the result of the check with `kiln supernet audit`. The networks of an audit are trained once for
each data set. After an interruption, run the script again to continue.

A supernet misleads if at least one of these holds:
- order: the 95 % interval of Kendall's tau includes 0 (a random order would do as well), or tau is more than
  0.2 below that of the supernet with the most training on the same data (a longer training would rank clearly
  better). Tau compares the supernet's estimates with the errors of the same networks trained on their own;
- result: the network that its study finished has a lower test accuracy than that of the supernet with the
  most training on the same data. The difference exceeds two standard errors.
The check is wrong if it warns of a supernet that does not mislead, or if it is silent about one that does.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NETWORKS = "32"
# Learning rate and epochs. The last case has the most training.
SUPERNETS = {
    "digits": [
        (0.05, 8), (0.05, 40), (0.05, 120), (0.15, 3), (0.15, 12),
        (0.15, 30), (0.15, 90), (0.5, 10), (0.5, 80), (0.15, 160),
    ],
    "fashion": [
        (0.05, 1), (0.05, 4), (0.05, 10), (0.15, 1), (0.15, 2),
        (0.15, 6), (0.4, 1), (0.4, 3), (0.4, 8), (0.15, 16),
    ],
}
TEST_IMAGES = {"digits": 359, "fashion": 10000}


def run(command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done


def config(data, name, rate, epochs):
    text = (HERE / f"health-{data}.toml").read_text()
    text = text.replace(f'name = "health-{data}"', f'name = "{name}"')
    before, supernet = text.split('kind = "supernet"')
    supernet = re.sub(r"epochs = \d+", f"epochs = {epochs}", supernet, count=1)
    supernet = re.sub(r"learning_rate = [\d.]+", f"learning_rate = {rate}", supernet, count=1)
    return before + 'kind = "supernet"' + supernet


def supernet(kiln, folder, out, data, rate, epochs):
    name = f"{data}-{rate}-{epochs}"
    said, audited = out / f"{name}.search.json", out / f"{name}.audit.json"
    common = ["--data", str(folder), "--runs", str(out), "--json"]
    if not said.exists():
        file = out / f"{name}.toml"
        file.write_text(config(data, name, rate, epochs))
        said.write_text(run([kiln, "search", str(file), *common]).stdout)
    known = out / f"{data}.jsonl"
    if not audited.exists():
        records = out / name / "audit.jsonl"
        if known.exists() and not records.exists():
            shutil.copy(known, records)
        audited.write_text(run([kiln, "supernet", "audit", name, "--networks", NETWORKS, *common]).stdout)
        shutil.copy(records, known)
    return json.loads(said.read_text()), json.loads(audited.read_text())["audit"]


def error(outcome):
    return outcome["measured"]["error_percent"]


def row(data, rate, epochs, said, audit):
    tau = next(p["correlation"] for p in audit["predictors"] if p["name"] == "supernet error_percent")
    networks = [n for n in audit["networks"] if all("measured" in o for o in [*n["trained"], n["estimated"]])]
    trained = sum(error(n["trained"][0]) for n in networks) / len(networks)
    estimated = sum(error(n["estimated"]) for n in networks) / len(networks)
    return {
        "data": data,
        "rate": rate,
        "epochs": epochs,
        "tau": tau or {"tau": 0.0, "low": 0.0, "high": 0.0},
        "trained": trained,
        "estimated": estimated,
        "test": said["finished"][0]["test_accuracy_percent"],
        "health": said["supernet_health"],
    }


def misleads(found, reference):
    """The reason for the warning. Empty without a warning."""
    why = []
    if found["tau"]["low"] <= 0.0 or found["tau"]["tau"] < reference["tau"]["tau"] - 0.2:
        why.append("order")
    share = [found["test"] / 100.0, reference["test"] / 100.0]
    errors = (sum(p * (1.0 - p) for p in share) / TEST_IMAGES[found["data"]]) ** 0.5
    if share[1] - share[0] > 2.0 * errors:
        why.append("result")
    return why


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    kiln, folder, out = (Path(argument).resolve() for argument in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    wrong = count = 0
    headings = ["data", "rate", "epochs", "estimated", "alone", "tau", "test", "misleads", "check", ""]
    print("| " + " | ".join(headings) + " |\n|" + "---|" * len(headings))
    for data in sys.argv[4:] or SUPERNETS:
        rows = [row(data, *way, *supernet(str(kiln), folder, out, data, *way)) for way in SUPERNETS[data]]
        for found in rows:
            why = misleads(found, rows[-1])
            failed = [check["question"] for check in found["health"]["checks"] if not check["passed"]]
            is_wrong = bool(why) != bool(failed)
            wrong, count = wrong + is_wrong, count + 1
            tau = found["tau"]
            cells = [
                data,
                found["rate"],
                found["epochs"],
                f"{found['estimated']:.1f} %",
                f"{found['trained']:.1f} %",
                f"{tau['tau']:.2f} ({tau['low']:.2f} to {tau['high']:.2f})",
                f"{found['test']:.1f}",
                ", ".join(why) or "no",
                "warns: " + ", ".join(failed) if failed else "silent",
                "wrong" if is_wrong else "",
            ]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"\n{wrong} of {count} are wrong.")


main()
