#!/usr/bin/env python3
"""Compares a search of 8-bit networks with a search in single precision whose results are compressed.

    joint.py --kiln target/release/kiln --data FOLDER --out OUT [--seeds 5] [--arms sequential,joint]

FOLDER holds Fashion-MNIST's four files. Every arm runs the study of `joint.toml`: the same space, epochs and
number of trials. It then finishes the same number of networks of its front, evenly spaced by error, and
compresses each by the same recipe. The arms differ in how the search judges candidates:

- sequential: in single precision;
- joint: rounded to 8 bits;
- aware: rounded to 8 bits, and the supernet is trained on rounded weights and values.

Results are the test error, the bytes of the ONNX file and the latency that the device file predicts, of the
compressed networks. An arm's result is the hypervolume of (error, bytes) and of (error, latency), as a share
of the rectangle below the reference point. The reference point is 1.1 times the largest value of all networks
of all arms and seeds. Arms are compared with the first one by an exact permutation test on the differences of
equal seeds: all signs are flipped, and p is the share of the sums that are at least as large as the one found
(one-sided), or as large in size (two-sided). With 5 seeds, the smallest values are 1/32 and 2/32.

What is done is kept in OUT. After an interruption, run the script again to continue. OUT/joint.md has the
result.
"""

import argparse
import itertools
import statistics
import sys
from pathlib import Path

import studies

HERE = Path(__file__).resolve().parent
ARMS = {
    "sequential": ('"int8"', '"f32"'),
    "joint": None,
    "aware": ("quantization_aware = false", "quantization_aware = true"),
}
SECONDS = 480


def config(arm: str, out: Path) -> Path:
    """Writes the config of an arm."""
    text = (HERE / "joint.toml").read_text()
    if change := ARMS[arm]:
        if change[0] not in text:
            raise SystemExit(f"joint.toml: there is no {change[0]} for the arm {arm}")
        text = "\n".join(line if line.startswith("#") else line.replace(*change) for line in text.split("\n"))
    path = out / f"{arm}.toml"
    path.write_text(text)
    return path


def spread(front: list[dict], count: int) -> list[int]:
    """Trials of the front, evenly spaced from the smallest error to the largest."""
    ordered = sorted(front, key=lambda one: (one["objectives"]["error_percent"], one["trial"]))
    places = [round(at * (len(ordered) - 1) / max(1, count - 1)) for at in range(count)]
    return [ordered[place]["trial"] for place in dict.fromkeys(places)]


def result(arguments: argparse.Namespace, arm: str, seed: int) -> dict:
    """The compressed networks of an arm, and the seconds that it took."""
    runs = arguments.out / f"seed-{seed}" / arm
    done = studies.study(arguments.kiln, config(arm, arguments.out), arguments.data, runs, seed)
    run, seconds, front, networks = runs / "arm", done["seconds"], done["said"]["front"], []
    trials = spread(front, arguments.networks)
    common = ["--data", arguments.data, "--runs", runs]
    for trial in trials:
        if not (run / f"models/{trial}/model.kiln").is_file():
            call = ["finish", run, trial, *common]
            done = studies.kept(runs / f"{trial}.finish.json", lambda: studies.kiln(arguments.kiln, *call))
            seconds += done["seconds"]
        call = ["compress", run, trial, "--recipe", arguments.recipe, "--seconds", 0, *common]
        done = studies.kept(runs / f"{trial}.compress.json", lambda: studies.kiln(arguments.kiln, *call))
        seconds += done["seconds"]
        (before,) = (row for row in done["said"] if row["recipe"] == "none")
        (after,) = (row for row in done["said"] if row["recipe"] == arguments.recipe)
        networks.append({
            "trial": trial,
            "error_before": 100 - before["test_accuracy_percent"],
            "error": 100 - after["test_accuracy_percent"],
            "bytes": after["file_bytes"],
            "latency": next(iter(after["latency_us"].values())),
        })
    return {"arm": arm, "seed": seed, "seconds": seconds, "front": len(front), "networks": networks}


def hypervolume(points: list[tuple[float, float]], reference: tuple[float, float]) -> float:
    """The area that points dominate below the reference point, as a share of the rectangle from zero."""
    area, best = 0.0, reference[1]
    for error, cost in sorted(points):
        if error < reference[0] and cost < best:
            area += (reference[0] - error) * (best - cost)
            best = cost
    return area / (reference[0] * reference[1])


def sign_flip_test(differences: list[float]) -> tuple[float, float]:
    """One-sided and two-sided p of the exact permutation test that flips signs."""
    found = sum(differences)
    slack = 1e-12 * sum(map(abs, differences))
    sums = [
        sum(sign * difference for sign, difference in zip(signs, differences))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    one = sum(value >= found - slack for value in sums) / len(sums)
    two = sum(abs(value) >= abs(found) - slack for value in sums) / len(sums)
    return one, two


def volumes(results: dict, cost: str) -> dict[tuple[str, int], float]:
    """Hypervolume of (error, cost) for each arm and seed, with one reference point for all."""
    networks = [network for found in results.values() for network in found["networks"]]
    reference = tuple(1.1 * max(network[key] for network in networks) for key in ("error", cost))
    return {
        key: hypervolume([(network["error"], network[cost]) for network in found["networks"]], reference)
        for key, found in results.items()
    }


def write(arguments: argparse.Namespace, results: dict) -> None:
    seeds = range(1, arguments.seeds + 1)
    lines = ["# Search of 8-bit networks and compression after the search", ""]
    lines += [f"Recipe `{arguments.recipe}`, {arguments.networks} networks of each front.", ""]
    headings = ["arm", "seed", "minutes", "least error, %", "least bytes", "least latency, µs",
                "(error, bytes)", "(error, latency)"]  # fmt: skip
    lines += [f"| {' | '.join(headings)} |", "|---|" + "---:|" * (len(headings) - 1)]
    by_cost = {cost: volumes(results, cost) for cost in ("bytes", "latency")}
    for (arm, seed), found in results.items():
        keys = ("error", "bytes", "latency")
        least = {key: min(network[key] for network in found["networks"]) for key in keys}
        cells = [arm, seed, f"{found['seconds'] / 60:.1f}", f"{least['error']:.2f}", f"{least['bytes']:,}"]
        cells += [f"{least['latency']:.0f}", *(f"{volume[arm, seed]:.4f}" for volume in by_cost.values())]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines.append("")
    first = arguments.arms[0]
    for arm in arguments.arms[1:]:
        for cost, volume in by_cost.items():
            differences = [volume[arm, seed] - volume[first, seed] for seed in seeds]
            one, two = sign_flip_test(differences)
            shown = ", ".join(f"{difference:+.4f}" for difference in differences)
            lines.append(
                f"- {arm} - {first}, hypervolume of (error, {cost}): mean "
                f"{statistics.fmean(differences):+.4f} ({shown}); exact sign-flip test, "
                f"p = {one:.3f} one-sided, {two:.3f} two-sided"
            )
    slow = [f"{arm} {seed}" for (arm, seed), found in results.items() if found["seconds"] > SECONDS]
    if slow:
        lines.append(f"- took more than {SECONDS // 60} minutes: {', '.join(slow)}")
    lines += ["", f"{studies.commit(arguments.kiln)}."]
    text = "\n".join(lines) + "\n"
    (arguments.out / "joint.md").write_text(text)
    print(text, end="")


def main() -> int:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--kiln", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of Fashion-MNIST's four files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--networks", type=int, default=5, help="networks of each front")
    parser.add_argument("--recipe", default="qat-int8")
    parser.add_argument("--arms", default="sequential,joint", help=f"of {', '.join(ARMS)}")
    arguments = parser.parse_args()
    arguments.arms = arguments.arms.split(",")
    if unknown := set(arguments.arms) - set(ARMS):
        parser.error(f"no arm {', '.join(sorted(unknown))}; there are {', '.join(ARMS)}")
    for name in ("kiln", "data", "out"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {}
    # Seed by seed, so that an interrupted comparison has as many pairs as possible.
    for seed in range(1, arguments.seeds + 1):
        for arm in arguments.arms:
            place = arguments.out / f"{arm}-{seed}.json"
            try:
                results[arm, seed] = studies.kept(place, lambda: result(arguments, arm, seed))
            except studies.Failed as failed:
                sys.exit(f"{arm}, seed {seed}: {failed}")
            print(f"{arm}, seed {seed}: {results[arm, seed]['seconds']:.0f} s", file=sys.stderr, flush=True)
    write(arguments, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
