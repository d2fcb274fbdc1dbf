#!/usr/bin/env python3
"""Compares how well a supernet's estimates and other numbers rank networks, from the output of `kiln supernet
audit`.

    benches/supernet/lead.py RUN/audit.json ..

For each other number, it prints Kendall's tau of the supernet's estimate minus that of the number, as a mean
over the files, with a 95 % bootstrap interval. The bootstrap draws networks of each audit 4,000 times. All
predictors, and all files with the same networks, use the same draws.
"""

import json
import random
import sys

DRAWS = 4000


def signs(values):
    return [[(a > b) - (a < b) for b in values] for a in values]


def tau(a, b, chosen):
    """Kendall's tau-b of two matrices of signs, over the chosen items."""
    agreement = apart_a = apart_b = 0
    for i, x in enumerate(chosen):
        row_a, row_b = a[x], b[x]
        for y in chosen[:i]:
            p, q = row_a[y], row_b[y]
            agreement += p * q
            apart_a += p * p
            apart_b += q * q
    return agreement / ((apart_a * apart_b) ** 0.5 or 1.0)


def outcomes(network):
    """Everything that has to be measured for a network to count."""
    rivals = network.get("rivals")
    return [*network["trained"], network["estimated"], network["proxy"], *([rivals["shared"]] if rivals else [])]


def columns(networks, metric):
    value = lambda outcome, name: outcome["measured"][name]
    mean = lambda outcomes: sum(value(outcome, metric) for outcome in outcomes) / len(outcomes)
    estimates = {f"supernet {name}": [value(n["estimated"], name) for n in networks] for name in networks[0]["estimated"]["measured"]}
    others = {
        "parameters": [-n["parameters"] for n in networks],
        "macs": [-n["macs"] for n in networks],
        "naswot": [value(n["proxy"], "negative_naswot") for n in networks],
    }
    if networks[0].get("rivals"):
        others[f"uncorrected {metric}"] = [value(n["rivals"]["shared"], metric) for n in networks]
        others["corrected parameters"] = [n["rivals"]["parameters"] for n in networks]
    return [mean(n["trained"]) for n in networks], estimates, others


def main(paths):
    generator = random.Random(1)
    trained, numbers, draws, samples = [], [], [], {}
    for path in paths:
        with open(path) as file:
            audit = json.load(file)["audit"]
        networks = [n for n in audit["networks"] if all("measured" in outcome for outcome in outcomes(n))]
        measured, estimates, others = columns(networks, audit["metric"])
        trained.append(signs(measured))
        numbers.append([{name: signs(values) for name, values in part.items()} for part in (estimates, others)])
        sample, count = str([n["genotype"] for n in networks]), len(networks)
        if sample not in samples:
            samples[sample] = [list(range(count))] + [generator.choices(range(count), k=count) for _ in range(DRAWS)]
        draws.append(samples[sample])
    files = range(len(paths))
    taus = {
        name: [sum(tau(numbers[f][part][name], trained[f], draws[f][draw]) for f in files) / len(files) for draw in range(DRAWS + 1)]
        for part in (0, 1)
        for name in numbers[0][part]
    }
    count = sum(len(of[0]) for of in samples.values())
    for estimate in numbers[0][0]:
        print(f"{estimate}: tau {taus[estimate][0]:.3f} of {count} networks")
        for other in numbers[0][1]:
            leads = sorted(a - b for a, b in zip(taus[estimate][1:], taus[other][1:]))
            low, high = leads[round(0.025 * DRAWS)], leads[round(0.975 * DRAWS) - 1]
            print(f"    over {other} ({taus[other][0]:.3f}): {taus[estimate][0] - taus[other][0]:+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
