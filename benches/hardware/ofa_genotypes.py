"""Writes the rows of a latency table of Once-for-All networks as genotypes of `ofa-mbv3.toml`.

The table has the columns ks and e (20 numbers joined by `-`, four for each stage), d (five depths) and r (the
resolution), and a column of latencies for each device. A space has one resolution, so one file of networks
and one config are written.
"""

import argparse
import csv
import gzip
import pathlib

KERNELS, EXPANSIONS, DEPTHS = ["3", "5", "7"], ["3", "4", "6"], ["2", "3", "4"]
CONFIG = pathlib.Path(__file__).with_name("ofa-mbv3.toml")


def genotype(row):
    """Returns the genes: the depth of each stage, then kernel and expansion of each of its four blocks."""
    kernels, expansions, depths = (row[column].split("-") for column in ["ks", "e", "d"])
    if (len(kernels), len(expansions), len(depths)) != (20, 20, 5):
        raise SystemExit(f"row {row['id']}: expected 20 kernels, 20 expansions and 5 depths")
    genes = []
    for stage, depth in enumerate(depths):
        genes.append(DEPTHS.index(depth))
        for block in range(4 * stage, 4 * stage + 4):
            genes += [KERNELS.index(kernels[block]), EXPANSIONS.index(expansions[block])]
    # Blocks that a depth leaves out have gene 0, so that equal networks have equal genotypes.
    for stage, depth in enumerate(depths):
        start = stage * 9 + 1
        for gene in range(start + 2 * int(depth), start + 8):
            genes[gene] = 0
    return "-".join(map(str, genes))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=pathlib.Path, help="CSV file, plain or gzipped")
    parser.add_argument("--resolution", type=int, required=True, help="rows to write, such as 180")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for table and config")
    arguments = parser.parse_args()
    opened = gzip.open if arguments.table.suffix == ".gz" else open
    with opened(arguments.table, "rt", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["r"]) == arguments.resolution]
    if not rows:
        raise SystemExit(f"no network has the resolution {arguments.resolution}")
    devices = [name for name in rows[0] if name not in ["id", "ks", "e", "d", "r"]]
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"ofa-{arguments.resolution}"
    seen = set()
    with open(arguments.out / f"{name}.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arch", *devices])
        for row in rows:
            genes = genotype(row)
            if genes not in seen:
                seen.add(genes)
                writer.writerow([genes, *(row[device] for device in devices)])
    text, side = CONFIG.read_text(), arguments.resolution
    old = "input = [3, 224, 224]"
    if text.count(old) != 1:
        raise SystemExit(f"{CONFIG}: expected one line `{old}`")
    (arguments.out / f"{name}.toml").write_text(text.replace(old, f"input = [3, {side}, {side}]"))
    print(f"{len(seen)} networks of {len(rows)} rows")


if __name__ == "__main__":
    main()
