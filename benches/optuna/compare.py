"""Times ask and tell of Kiln's strategies and of Optuna's samplers on a space of equal categories, one by
one.

Every process has one thread, so the processor time of a trial does not depend on other running work.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time

import optuna

kiln, strategies = sys.argv[1], sys.argv[2].split(",")
trials, genes, options, limit_s = map(int, sys.argv[3:7])
WINDOW = 50
optuna.logging.set_verbosity(optuna.logging.ERROR)


def cost(at, before, gene):
    """An arbitrary number between 0 and 1. The timed code does not depend on it."""
    return ((at * 2654435761 + before * 40503 + gene * 97) % 10007) / 10007


def value(drawn):
    return sum(cost(at, *pair) for at, pair in enumerate(zip(drawn, drawn[1:])))


def ask_and_tell(study):
    """Seconds of one trial without the objective: processor time and wall time."""
    clocks = time.process_time, time.perf_counter
    began = [clock() for clock in clocks]
    trial = study.ask()
    drawn = [trial.suggest_categorical(f"gene{at}", list(range(options))) for at in range(genes)]
    asked = [clock() for clock in clocks]
    found = value(drawn)
    evaluated = [clock() for clock in clocks]
    study.tell(trial, found)
    told = [clock() for clock in clocks]
    return [t - e + a - b for b, a, e, t in zip(began, asked, evaluated, told)]


def measure(sampler):
    """Seconds of each trial, until the limit of processor time is reached."""
    study, seconds, spent = optuna.create_study(sampler=sampler), [], 0.0
    while len(seconds) < trials and spent < limit_s:
        seconds.append(ask_and_tell(study))
        spent += seconds[-1][0]
    return seconds


def measure_last(sampler):
    """Seconds of each of the last trials, after random trials that are only recorded."""
    study = optuna.create_study(sampler=sampler)
    names = [f"gene{at}" for at in range(genes)]
    kinds = {name: optuna.distributions.CategoricalDistribution(list(range(options))) for name in names}
    generator = random.Random(1)
    for _ in range(trials - WINDOW):
        drawn = [generator.randrange(options) for _ in names]
        params = dict(zip(names, drawn))
        study.add_trial(optuna.trial.create_trial(params=params, distributions=kinds, value=value(drawn)))
    return [ask_and_tell(study) for _ in range(WINDOW)]


def measure_kiln(strategy):
    """Milliseconds per trial: processor time of the whole program, wall time, and that of the last tenth."""
    used = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    command = [kiln, "bench", "functions", "--function", "chained", "--decisions", str(genes), "--options", str(options)]
    command += ["--budget", str(trials), "--strategy", strategy, "--seeds", "1", "--json"]
    began = used()
    said = subprocess.run(command, env=dict(os.environ, RAYON_NUM_THREADS="1"), check=True, capture_output=True)
    found = json.loads(said.stdout)["strategies"][0]
    return 1e3 * (used() - began) / trials, found["ask_tell_ms"], found["last_ask_tell_ms"]


def mean_ms(seconds, clock):
    return 1e3 * sum(both[clock] for both in seconds) / len(seconds)


print(f"{trials} trials, {genes} genes of {options} options; ms of ask and tell for each trial:")
print(f"  {'':<31} {'processor':>10} {'clock':>10} {'last tenth':>10}")
for strategy in strategies:
    numbers = "".join(f" {ms:10.4f}" for ms in measure_kiln(strategy))
    print(f"  kiln {strategy:<26}{numbers}", flush=True)
for sampler in (optuna.samplers.NSGAIISampler, optuna.samplers.TPESampler):
    seconds, note = measure(sampler(seed=1)), ""
    last = seconds[-(len(seconds) // 10 or 1):]
    if len(seconds) < trials:
        note = f"  (all: {len(seconds)} trials, in {limit_s} s; last: the {WINDOW} after {trials - WINDOW} random ones)"
        last = measure_last(sampler(seed=1))
    numbers = f" {mean_ms(seconds, 0):10.4f} {mean_ms(seconds, 1):10.4f} {mean_ms(last, 1):10.4f}"
    print(f"  optuna {sampler.__name__:<24}{numbers}{note} (last, processor: {mean_ms(last, 0):.4f})", flush=True)
