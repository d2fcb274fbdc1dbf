"""Times Optuna's samplers on a space of equal categories, and prints them beside what Kiln measured of itself."""

import json
import sys
import time

import optuna

trials, genes, options = map(int, sys.argv[1:4])
optuna.logging.set_verbosity(optuna.logging.ERROR)


def cost(at, before, gene):
    """A number between 0 and 1 without meaning; what is timed does not depend on it."""
    return ((at * 2654435761 + before * 40503 + gene * 97) % 10007) / 10007


def measure(sampler):
    """Milliseconds of ask and tell: the mean over all trials, and over the last tenth."""
    study = optuna.create_study(sampler=sampler)
    seconds = []
    for _ in range(trials):
        began = time.perf_counter()
        trial = study.ask()
        drawn = [trial.suggest_categorical(f"gene{at}", list(range(options))) for at in range(genes)]
        asked = time.perf_counter()
        value = sum(cost(at, *pair) for at, pair in enumerate(zip(drawn, drawn[1:])))
        evaluated = time.perf_counter()
        study.tell(trial, value)
        seconds.append(time.perf_counter() - evaluated + asked - began)
    last = seconds[-(len(seconds) // 10 or 1):]
    return 1e3 * sum(seconds) / len(seconds), 1e3 * sum(last) / len(last)


print(f"{trials} trials, {genes} genes of {options} options; ms of ask and tell for each trial: all, last tenth")
for found in json.load(open(sys.argv[4]))["strategies"]:
    print(f"  kiln {found['strategy']:<24} {found['ask_tell_ms']:9.4f} {found['last_ask_tell_ms']:9.4f}", flush=True)
for sampler in (optuna.samplers.NSGAIISampler(seed=1), optuna.samplers.TPESampler(seed=1)):
    whole, last = measure(sampler)
    print(f"  optuna {type(sampler).__name__:<22} {whole:9.4f} {last:9.4f}", flush=True)
