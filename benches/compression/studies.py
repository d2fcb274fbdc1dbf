"""Calls of `kiln`, and results that are kept so that an interrupted script goes on."""

import ctypes
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np


class Failed(Exception):
    """A call of `kiln` that failed, with what it said."""


def end_with_parent() -> None:
    """Ends the child with the script, so that a script that is started again finds no locked folder."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def kiln(program: Path, *arguments: object) -> dict:
    """Runs a command of `kiln` with `--json`. Returns what it `said`, and the `seconds` that it took."""
    command = [str(program), *map(str, arguments), "--json"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=end_with_parent)
    if done.returncode != 0:
        said = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise Failed(f"{' '.join(command[1:])}: exit code {done.returncode}: {said}")
    return {"said": json.loads(done.stdout), "seconds": time.monotonic() - began}


def write_json(path: Path, content: object) -> None:
    """Writes a file that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("w") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def kept(path: Path, make) -> dict:
    """The content of a JSON file, which is made if there is none yet."""
    if not path.is_file():
        write_json(path, make())
    return json.loads(path.read_text())


def file_name(recipe: str) -> str:
    """The folder of a recipe, as Kiln names it."""
    return "".join(c if c.isascii() and c.isalnum() or c in "+-.=" else "_" for c in recipe)


def study(program: Path, config: Path, data: Path, runs: Path, seed: int) -> dict:
    """Runs a study once, and returns what `kiln search` said, and its seconds."""
    call = ["search", config, "--plain", "--data", data, "--runs", runs, "--seed", seed]
    return kept(runs / f"{config.stem}.search.json", lambda: kiln(program, *call))


def commit(program: Path) -> str:
    """The version line of the program, which names its commit."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip().replace("\n", "; ")


def log_probabilities(program: Path, model: Path, images: np.ndarray, place: Path) -> np.ndarray:
    """Logarithms of the probabilities that Kiln predicts for raw images, `[n, classes]`."""
    if not place.is_file():
        np.save(place, images)
    said = kiln(program, "predict", model, place)["said"]["predictions"]
    values = np.array([list(one["probabilities"].values()) for one in said])
    with np.errstate(divide="ignore"):
        return np.log(values)
