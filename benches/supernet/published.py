#!/usr/bin/env python3
"""Kendall's tau between a supernet's estimates of networks in a published table and their accuracy there,
beside predictors that cost nothing.

    benches/supernet/published.py JOURNAL TABLE [COLUMN]

JOURNAL is the `journal.jsonl` of a study that judged networks of `nasbench201` or `nasbench_macro` with a
supernet. TABLE is the published `nasbench201.csv.gz` or `nas_bench_macro_cifar10.csv.gz`, and COLUMN its
accuracy. For cells, it also prints an effect of each operation: by how much of the ranking a cell moves up
for each edge with it, according to the supernet and according to the table.
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
    """Ranks, scaled from 0 (lowest value) to 1."""
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


def arch(genes):
    """The name of a network in its table."""
    if len(genes) == 8:
        return "".join(map(str, genes))
    a, b, c, d, e, f = (OPERATIONS[gene] for gene in genes)
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def main(journal, table, column=None):
    with gzip.open(table, "rt") as lines:
        published = {row["arch"]: row for row in csv.DictReader(lines)}
    columns = next(iter(published.values())).keys()
    column = column or ("mean_acc" if "mean_acc" in columns else "e200_cifar10_test_acc_mean")
    with open(journal) as lines:
        trials = [entry["trial"] for entry in map(json.loads, lines) if entry["kind"] == "trial"]
    judged = [(trial["proposal"]["genotype"], trial["outcome"].get("measured")) for trial in trials]
    judged = [(genes, published[arch(genes)], found) for genes, found in judged if found]
    accuracy = [float(row[column]) for _, row, _ in judged]
    error = [-found["error_percent"] for _, _, found in judged]
    predictors = {"supernet error": error, "supernet loss": [-found["loss_nats"] for _, _, found in judged]}
    counts = {"parameters": ("params", "params_cifar10"), "macs": ("flops", "flops_cifar10")}
    for name, keys in counts.items():
        key = next(key for key in keys if key in columns)
        predictors[name] = [float(row[key]) for _, row, _ in judged]
    print(f"{len(judged)} networks; tau with {column}:")
    for name, values in predictors.items():
        print(f"  {name:15} {tau(values, accuracy):.3f}")
    if "mean_acc" in columns:
        return
    print("places for each edge: by supernet error, by table")
    for gene, operation in enumerate(OPERATIONS):
        count = [genes.count(gene) for genes, _, _ in judged]
        print(f"  {operation:15} {slope(count, places(error)):+.3f} {slope(count, places(accuracy)):+.3f}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
