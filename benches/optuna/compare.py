"""Times Optuna's samplers on a space of equal categories, and prints them beside what Kiln measured of itself."""

import json
import random
import sys
import time

import optuna

trials, genes, options, limit_s = map(int, sys.argv[1:5])
WINDOW = 50
optuna.logging.set_verbosity(optuna.logging.ERROR)


def cost(at, before, gene):
    """A number between 0 and 1 without meaning; what is timed does not depend on it."""
    return ((at * 2654435761 + before * 40503 + gene * 97) % 10007) / 10007


def value(drawn):
    return sum(cost(at, *pair) for at, pair in enumerate(zip(drawn, drawn[1:])))


def ask_and_tell(study):
    """Seconds of one trial, without the objective."""
    began = time.perf_counter()
    trial = study.ask()
    drawn = [trial.suggest_categorical(f"gene{at}", list(range(options))) for at in range(genes)]
    asked = time.perf_counter()
    found = value(drawn)
    evaluated = time.perf_counter()
    study.tell(trial, found)
    return time.perf_counter() - evaluated + asked - began


def measure(sampler):
    """Seconds of each trial, as many as fit into the limit."""
    study, seconds = optuna.create_study(sampler=sampler), []
    while len(seconds) < trials and sum(seconds) < limit_s:
        seconds.append(ask_and_tell(study))
    return seconds


def measure_last(sampler):
    """Seconds of each of the last trials alone, after random ones that are only entered."""
    study = optuna.create_study(sampler=sampler)
    names = [f"gene{at}" for at in range(genes)]
    kinds = {name: optuna.distributions.CategoricalDistribution(list(range(options))) for name in names}
    generator = random.Random(1)
    for _ in range(trials - WINDOW):
        drawn = [generator.randrange(options) for _ in names]
        params = dict(zip(names, drawn))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=value(drawn)))
    return [ask_and_tell(study) for _ in range(WINDOW)]


def mean_ms(seconds):
    return 1e3 * sum(seconds) / len(seconds)


print(f"{trials} trials, {genes} genes of {options} options; ms of ask and tell for each trial: all, last tenth")
for found in json.load(open(sys.argv[5]))["strategies"]:
    print(f"  kiln {found['strategy']:<24} {found['ask_tell_ms']:9.4f} {found['last_ask_tell_ms']:9.4f}", flush=True)
for sampler in (optuna.samplers.NSGAIISampler, optuna.samplers.TPESampler):
    seconds, note = measure(sampler(seed=1)), ""
    last = mean_ms(seconds[-(len(seconds) // 10 or 1):])
    if len(seconds) < trials:
        note = f"  (all: {len(seconds)} trials, in {limit_s} s; last: the {WINDOW} after {trials - WINDOW} random ones)"
        last = mean_ms(measure_last(sampler(seed=1)))
    print(f"  optuna {sampler.__name__:<22} {mean_ms(seconds):9.4f} {last:9.4f}{note}", flush=True)
