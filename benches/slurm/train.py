"""Stands in for a training program: takes some time for each epoch, and keeps a checkpoint.

The error follows from the architecture and the seed alone. Only `faults.py` uses it.
"""

import argparse
import hashlib
import json
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("architecture", "epochs", "seed", "checkpoint", "result"):
    parser.add_argument(f"--{name}", required=True)
given = parser.parse_args()
described = json.loads(Path(given.architecture).read_text())
key = f"{described['genotype']} {given.seed}"
share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32
state = Path(given.checkpoint) / "epoch"
epoch = int(state.read_text()) if state.exists() else 0
while epoch < int(given.epochs):
    time.sleep(float(os.environ.get("PAUSE_S", "0")))
    epoch += 1
    draft = state.with_suffix(".draft")
    draft.write_text(str(epoch))
    draft.replace(state)
    print(json.dumps({"epoch": epoch, "error_percent": 100 * share / epoch}), flush=True)
Path(given.result).write_text(json.dumps({"error_percent": 100 * share / epoch}))
