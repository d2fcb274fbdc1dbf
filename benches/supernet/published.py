#!/usr/bin/env python3
"""Kendall's tau between what a supernet says of cells of NAS-Bench-201 and their published accuracy, beside the parameter count's.

    benches/supernet/published.py JOURNAL TABLE [COLUMN]

JOURNAL is the `journal.jsonl` of a study that has judged cells with a supernet, TABLE the published `nasbench201.csv.gz`, COLUMN the
accuracy that counts. Also by operation: by how much of the ranking a cell moves up for each edge with it, by the supernet and by the table.
"""

import csv
import gzip
import json
import math
import sys

OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def tau(a, b):
    """Kendall's tau-b."""
    agreed = known_a = known_b = 0
    for i in range(len(a)):
        for j in range(i):
            x, y = (a[i] > a[j]) - (a[i] < a[j]), (b[i] > b[j]) - (b[i] < b[j])
            agreed, known_a, known_b = agreed + x * y, known_a + x * x, known_b + y * y
    return agreed / math.sqrt(known_a * known_b)


def places(values):
    """From 0, the lowest value, to 1."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    for place, index in enumerate(order):
        found[index] = place / (len(values) - 1)
    return found


def slope(x, y):
    """Of the line through the points by least squares."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((value - mean_x) ** 2 for value in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / spread


def main(journal, table, column="e200_cifar10_test_acc_mean"):
    with gzip.open(table, "rt") as lines:
        published = {row["arch"]: row for row in csv.DictReader(lines)}
    cells, error, loss, parameters, accuracy = [], [], [], [], []
    with open(journal) as lines:
        entries = [json.loads(line) for line in lines]
    for trial in (entry["trial"] for entry in entries if entry["kind"] == "trial"):
        found = trial["outcome"].get("measured")
        if found is None:
            continue
        genes = trial["proposal"]["genotype"]
        a, b, c, d, e, f = (OPERATIONS[gene] for gene in genes)
        row = published[f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"]
        cells.append(genes)
        error.append(-found["error_percent"])
        loss.append(-found["loss_nats"])
        parameters.append(float(row["params_cifar10"]))
        accuracy.append(float(row[column]))
    print(f"{len(cells)} cells; tau with {column}:")
    for name, values in [("supernet error", error), ("supernet loss", loss), ("parameters", parameters)]:
        print(f"  {name:15} {tau(values, accuracy):.3f}")
    print("places for each edge: by supernet error, by table")
    for gene, operation in enumerate(OPERATIONS):
        count = [genes.count(gene) for genes in cells]
        print(f"  {operation:15} {slope(count, places(error)):+.3f} {slope(count, places(accuracy)):+.3f}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
