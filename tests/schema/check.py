#!/usr/bin/env python3
"""Checks configs against the JSON schema that `kiln schema` prints.

    check.py SCHEMA CONFIG...

The schema itself must be valid, every config must match it, and it must reject each of the changed configs
below. Exit code 1 if a check fails.
"""

import copy
import json
import sys
import tomllib
from pathlib import Path

import jsonschema


def wrong(config: dict) -> dict[str, dict]:
    """Copies of the config with one mistake each, by the name of the mistake."""
    mistakes = {
        "a table that there is not": lambda c: c.update(serch={}),
        "a missing table": lambda c: c.pop("space"),
        "a key that there is not": lambda c: c["study"].update(sede=1),
        "a name that is a number": lambda c: c["study"].update(name=7),
        "a strategy that there is not": lambda c: c["search"].update(strategy="best"),
        "a strategy without its name": lambda c: c["search"].update(strategy={"population": 8}),
        "no trials": lambda c: c["search"].update(trials=0),
        "five objectives": lambda c: c["search"].update(objectives=list("abcde")),
        "a space that there is not": lambda c: c["space"].update(kind="stage"),
        "a limit below zero": lambda c: c.update(hardware=[{"device": "cortex-a72", "latency_max_us": -1}]),
        "a device and a file": lambda c: c.update(hardware=[{"device": "cortex-a72", "file": "mine.toml"}]),
        "a weight of a class that is zero": lambda c: c["evaluator"].update(class_weights={"rare": 0}),
        "a word for class weights that there is not": lambda c: c["evaluator"].update(class_weights="even"),
        "a setting that the strategy does not have": lambda c: c["search"].update(
            strategy={"kind": "random", "population": 3}
        ),
        "a setting that the data do not have": lambda c: c.update(data={"kind": "digits", "file": "a.csv"}),
        "a setting that the evaluator does not have": lambda c: c.update(
            evaluator={"kind": "scratch", "epochs": 1, "anchors": {"networks": 3}}
        ),
        "a setting that the space does not have": lambda c: c["space"].update(stems=1),
        "a learning rate that is a word": lambda c: c.update(
            finish={"optimizer": {"kind": "sgd", "learning_rate": "high"}}
        ),
        "a format that there is not": lambda c: c.update(finish={"formats": ["onyx"]}),
    }
    changed = {}
    for name, change in mistakes.items():
        changed[name] = copy.deepcopy(config)
        change(changed[name])
    return changed


def main() -> int:
    schema_path, *configs = [Path(argument) for argument in sys.argv[1:]]
    if not configs:
        print("usage: check.py SCHEMA CONFIG...", file=sys.stderr)
        return 1
    schema = json.loads(schema_path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    problems = 0
    for path in configs:
        config = tomllib.loads(path.read_text())
        for error in validator.iter_errors(config):
            print(f"{path}: {error.json_path}: {error.message}", file=sys.stderr)
            problems += 1
        for mistake, changed in wrong(config).items():
            if validator.is_valid(changed):
                print(f"{path}: {mistake} goes unnoticed", file=sys.stderr)
                problems += 1
    print(f"{len(configs)} configs, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
