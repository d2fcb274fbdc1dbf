"""Stands in for a training program: takes some time for each epoch, and keeps a checkpoint.

The error follows from the architecture and the seed alone. While the disk is full, it waits. Only `faults.py`
uses it.
"""

import argparse
import hashlib
import json
import os
import select
from pathlib import Path


def pause(seconds):
    """Waits. `time.sleep` fails beside `faketime`."""
    select.select([], [], [], seconds)


def write(path, text):
    """Writes a whole file, as soon as there is room."""
    draft = path.with_name(f"{path.name}.draft")
    while True:
        try:
            draft.write_text(text)
            draft.replace(path)
            return
        except OSError:
            pause(0.5)


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
    pause(float(os.environ.get("PAUSE_S", "0")))
    epoch += 1
    write(state, str(epoch))
    print(json.dumps({"epoch": epoch, "error_percent": 100 * share / epoch}), flush=True)
write(Path(given.result), json.dumps({"error_percent": 100 * share / epoch}))
