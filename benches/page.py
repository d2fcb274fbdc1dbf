#!/usr/bin/env python3
"""Writes docs/benchmarks.md, and tables of other pages, from the measurements in benches/results/.

    benches/page.py            writes the pages
    benches/page.py --check    fails if a page is not what would be written

A measurement is one JSON file: `what` was measured, with which `command` (or several), on which `machine`,
at which `commit`, on which `date`, and the `figures`, a list of records. `columns` says how a record
becomes a row of the page: heading, and a format string of Python. Records may hold more than the page
shows. In place of columns, `summary` is one sentence, which may name the `low` and the `high` of each
figure. `section` and `order` say where it stands. `machines.json` describes the machines.

Other pages have blocks that begin with `<!-- figures NAME -->` and end with `<!-- end of figures -->`. The
first line may select what the table has: `rows=random,clustered` (by the first value of a record) and
`columns=0,1`. A measurement whose table such a page holds names it in `shown_in`.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "benches/results", ROOT / "docs/benchmarks.md"
FILLED = [ROOT / "README.md", ROOT / "docs/strategies.md"]
BLOCK = re.compile(r"(<!-- figures ([\w-]+)((?: \w+=\S+)*) -->\n)(.*?)(<!-- end of figures -->)", re.S)
MACHINES = "machines.json"
NEEDED = ["what", "section", "order", "command", "machine", "commit", "date", "figures"]
WIDTH = 110

TITLE = """# Benchmarks

`benches/page.py` writes this page from `benches/results/`, one JSON file for each measurement. Every figure
has its command, machine and commit. A figure whose code has changed since is removed. What was tried on the
way stands in the [notes](notes/README.md).
"""
# Sections in their order, with what stands in each before its measurements.
SECTIONS = {
    "Whole studies": "",
    "Exported networks": "",
    "Your own program, and trackers": "Guide: [your own training code](guide/src/command.md),"
    " [trackers and notebooks](guide/src/tracking.md).",
    "Training on the CPU": "Kernel by kernel: [kernels](../evaluator/kernels/README.md).",
    "GPUs": "No figure: no GPU has been measured yet. What a software device showed stands in the"
    " [note on training speed](notes/2026-11-training-speed.md#gpus).",
    "Weight sharing": "Kendall's tau compares two orders of networks: 1 is the same order, 0 is chance.",
    "Hardware models": "Errors on held-out networks stand with each model:"
    " [roofline](../hw-models/docs/roofline.md), [calibration](../hw-models/docs/calibration.md).",
    "Strategies": "[Strategies](strategies.md) explains the protocols and says which strategy to take.",
}


class Wrong(Exception):
    """A measurement that cannot be shown."""


def read(path: Path, machines: dict) -> dict:
    """A measurement that has all that it must have."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if bool(found.get("columns")) == bool(found.get("summary")):
        raise Wrong(f"{path.name}: has columns or a summary, not both")
    missing = [key for key in NEEDED if not found.get(key) and found.get(key) != 0]
    if missing:
        raise Wrong(f"{path.name}: lacks {', '.join(missing)}")
    if found["section"] not in SECTIONS:
        raise Wrong(f"{path.name}: no section {found['section']!r}")
    if found["machine"] not in machines:
        raise Wrong(f"{path.name}: no machine {found['machine']!r} in {MACHINES}")
    if not re.fullmatch(r"[0-9a-f]{7,40}", found["commit"]):
        raise Wrong(f"{path.name}: {found['commit']!r} is no commit")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"]):
        raise Wrong(f"{path.name}: {found['date']!r} is no date")
    return found


def wrap(text: str) -> str:
    """Lines of at most the usual width. A link is not broken."""
    words = re.findall(r"(?:\[[^\]]*\]\([^)]*\)|\S)+", text)
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if len(longer) > WIDTH and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def table(found: dict, name: str) -> list[str]:
    headings = [heading for heading, _ in found["columns"]]
    rows = [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings)]
    for figure in found["figures"]:
        try:
            cells = [form.format_map(figure) for _, form in found["columns"]]
        except (KeyError, ValueError, TypeError) as error:
            raise Wrong(f"{name}: {figure}: {error!r}") from error
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def summary(found: dict) -> str:
    """The sentence in place of a table, with the range of each figure over all records."""
    values: dict[str, list] = {}
    for figure in found["figures"]:
        for key, value in figure.items():
            if isinstance(value, int | float):
                values.setdefault(key, []).append(value)
    low, high = ({key: end(all_) for key, all_ in values.items()} for end in (min, max))
    return found["summary"].format(low=low, high=high)


def shown(found: dict, name: str) -> list[str]:
    commands = [found["command"]] if isinstance(found["command"], str) else found["command"]
    where = f"Machine {found['machine']}, commit {found['commit']}, {found['date']}."
    ran = ", ".join(f"`{command}`" for command in commands)
    head = f"**{found['what']}** {ran}. {where}"
    if found.get("shown_in"):
        return [wrap(f"{head} The table stands in [{found['shown_in']}]({found['shown_in']})."), ""]
    if found.get("summary"):
        return [wrap(f"{head} {summary(found)}"), *map(wrap, notes(found)), ""]
    return [wrap(head), "", *table(found, name), *map(wrap, notes(found)), ""]


def notes(found: dict) -> list[str]:
    return ["", " ".join(found["notes"])] if found.get("notes") else []


def filled(path: Path) -> str:
    """A page of another author, its blocks of figures written anew."""
    machines = json.loads((RESULTS / MACHINES).read_text(encoding="utf-8"))

    def block(match: re.Match) -> str:
        begin, name, selection, _, end = match.groups()
        found = read(RESULTS / f"{name}.json", machines)
        chosen = dict(part.split("=") for part in selection.split())
        if rows := chosen.get("rows"):
            by_name = {next(iter(figure.values())): figure for figure in found["figures"]}
            if unknown := set(rows.split(",")) - set(by_name):
                raise Wrong(f"{path.name}: {name} has no rows {unknown}")
            found["figures"] = [by_name[row] for row in rows.split(",")]
        if columns := chosen.get("columns"):
            found["columns"] = [found["columns"][int(column)] for column in columns.split(",")]
        return begin + "\n" + "\n".join(table(found, name)) + "\n\n" + end

    return BLOCK.sub(block, path.read_text(encoding="utf-8"))


def page() -> str:
    machines = json.loads((RESULTS / MACHINES).read_text(encoding="utf-8"))
    files = sorted(path for path in RESULTS.glob("*.json") if path.name != MACHINES)
    measured = [(path.name, read(path, machines)) for path in files]
    described = "; ".join(f"**{name}**: {text}" for name, text in machines.items())
    out = [TITLE, wrap(f"Machines: {described}."), ""]
    for section, text in SECTIONS.items():
        out += [f"## {section}", ""] + ([wrap(text), ""] if text else [])
        mine = [(name, found) for name, found in measured if found["section"] == section]
        for name, found in sorted(mine, key=lambda one: one[1]["order"]):
            out += shown(found, name)
    return "\n".join(out).rstrip("\n") + "\n"


def main() -> int:
    try:
        pages = {PAGE: page(), **{path: filled(path) for path in FILLED}}
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    stale = [
        path
        for path, text in pages.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" not in sys.argv[1:]:
        for path in stale:
            path.write_text(pages[path], encoding="utf-8")
        return 0
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not what benches/page.py writes: run it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
