#!/usr/bin/env python3
"""How far a supernet's estimates order networks better than other numbers do, by what `kiln supernet audit` wrote.

    lead.py RUN/audit.json ..

For each other number: Kendall's tau of the supernet's estimate minus that of the number, and the interval that holds 95 % of it when networks are drawn again from those
of the audit (4,000 times, all predictors on the same draws). Of several files with the same networks, the mean over them.
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
    audits = []
    for path in paths:
        with open(path) as file:
            audit = json.load(file)["audit"]
        usable = [n for n in audit["networks"] if all("measured" in trained for trained in n["trained"])]
        audits.append(columns(usable, audit["metric"]))
    count = len(audits[0][0])
    trained = [signs(trained) for trained, _, _ in audits]
    matrices = [[{name: signs(values) for name, values in part.items()} for part in audit[1:]] for audit in audits]
    generator = random.Random(1)
    draws = [range(count)] + [generator.choices(range(count), k=count) for _ in range(DRAWS)]
    mean = lambda values: sum(values) / len(values)
    taus = {
        name: [mean([tau(own[part][name], of, list(chosen)) for own, of in zip(matrices, trained)]) for chosen in draws]
        for part in (0, 1)
        for name in matrices[0][part]
    }
    for estimate in matrices[0][0]:
        print(f"{estimate}: tau {taus[estimate][0]:.3f} of {count} networks")
        for other in matrices[0][1]:
            leads = sorted(a - b for a, b in zip(taus[estimate][1:], taus[other][1:]))
            low, high = leads[round(0.025 * DRAWS)], leads[round(0.975 * DRAWS) - 1]
            print(f"    over {other} ({taus[other][0]:.3f}): {taus[estimate][0] - taus[other][0]:+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
