#!/usr/bin/env python3
"""Compares Kiln's readers of data with Pillow, pandas and NumPy.

Writes files with these libraries, reads them with Kiln, and compares every value with what the library reads.
The check fails if a value differs, or if a reader of Kiln refuses more than 5 % of the variants. Kinds of
files that Kiln does not support, according to its README, are counted and listed as `outside`. Kiln must
refuse each with its own reason. Otherwise it counts as `refused`. With `--few`, a reader has too few variants
for a percentage, so the refusals of all readers are judged together.

    check.py [--few] [--kiln PROGRAM] [--markdown FILE] [--keep FOLDER]

PROGRAM is the built example `read_data`. Without it, cargo builds and runs it. `--few` takes every sixth
variant. The table goes to standard output, and as Markdown to FILE. Exit code 1 if a check fails.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
import PIL

import arrays
import image_variants
import images
import table_columns
import table_files
from tables import Tables
from variant import Answer, Difference, Few, Variant

# Percentage of a reader's variants, among the kinds of files that it reads.
REFUSED_MAX = 5.0
# Fewest variants, each of at least one file.
FEWEST = {True: 60, False: 300}
STEP = 6


@dataclass
class Result:
    """The result of a variant."""

    variant: Variant
    outcome: str
    # Why Kiln refused it, or what differs.
    reason: str = ""
    difference: float = 0.0


def make(folder: Path, is_few: bool) -> list[Variant]:
    """Writes the files of all variants, or of every `step`-th variant of each reader."""
    pick = Few(STEP if is_few else 1)
    tables = Tables(folder, pick)
    every = [
        image_variants.variants(folder, pick),
        table_files.variants(tables),
        table_columns.variants(tables),
        arrays.variants(folder, pick),
    ]
    made = [variant for library in every for variant in library if variant is not None]
    twice = [key for key, count in Counter(variant.key for variant in made).items() if count > 1]
    assert not twice, f"two variants are called {twice}"
    return made


def ask(program: list[str], variants: list[Variant], folder: Path) -> dict[str, Any]:
    """What Kiln reads, in one call for all variants."""
    jobs, answers = folder / "jobs.json", folder / "answers.json"
    named = [{"name": v.key, "folder": str(v.folder), "data": v.data} for v in variants]
    jobs.write_text(json.dumps(named), encoding="utf-8")
    subprocess.run([*program, jobs, answers], check=True)
    return json.loads(answers.read_text(encoding="utf-8"))


def judge(variant: Variant, answer: dict[str, Any], folder: Path) -> Result:
    if "error" in answer:
        reason = answer["error"].replace(f"{variant.folder}/", "").replace(str(variant.folder), "FOLDER")
        is_outside = variant.outside is not None and variant.outside in reason
        return Result(variant, "outside" if is_outside else "refused", reason.replace("\n", " "))
    try:
        difference = variant.compare(Answer.of(answer))
    except Difference as error:
        return Result(variant, "differs", str(error))
    if difference > variant.tolerance:
        reason = f"by {difference:.3g}, allowed are {variant.tolerance:g}"
        return Result(variant, "differs", reason, difference)
    return Result(variant, "equal", difference=difference)


def refused_share(results: list[Result]) -> float:
    """Percentage of the variants among the kinds of files that Kiln reads."""
    count = Counter(result.outcome for result in results)
    return 100 * count["refused"] / max(1, len(results) - count["outside"])


def summary(results: list[Result], is_few: bool) -> tuple[list[list[str]], list[str]]:
    """One line for each format, one for each reader, and the failures."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        variant = result.variant
        groups.setdefault((variant.library, variant.reader), []).append(result)
        groups.setdefault((variant.library, f"all `{variant.data['kind']}`"), []).append(result)
    rows, wrong = [], []
    for (library, reader), members in sorted(groups.items()):
        count = Counter(result.outcome for result in members)
        largest = max(result.difference for result in members)
        files = sum(result.variant.files for result in members)
        share = refused_share(members)
        counted = [len(members), files, count["equal"], count["differs"]]
        refused = f"{count['refused']} ({share:.1f} %)"
        rows.append([library, reader, *map(str, counted), refused, str(count["outside"]), f"{largest:.3g}"])
        if reader.startswith("all ") and share > REFUSED_MAX and not is_few:
            wrong.append(f"{library}, {reader}: {share:.1f} % are refused, allowed are {REFUSED_MAX:g} %")
    if refused_share(results) > REFUSED_MAX:
        wrong.append(f"{refused_share(results):.1f} % of all are refused, allowed are {REFUSED_MAX:g} %")
    wrong += [f"{result.variant.key}: {result.reason}" for result in results if result.outcome == "differs"]
    return rows, wrong


COUNTS = ["variants", "files", "equal", "differ", "refused", "outside"]
HEADS = ["library", "reader", *COUNTS, "largest difference"]
COLUMNS = ["library", "variant", "result", "largest difference"]
GROUPED = ["library", "variants", "message"]


def line(result: Result) -> list[str]:
    # For a folder of images, the reason for the first image suffices.
    first, *others = result.reason.split("), `")
    is_shortened = others and result.variant.data["kind"] == "images"
    reason = f"{first}), ..." if is_shortened else result.reason
    outcome = result.outcome if result.outcome == "equal" else f"{result.outcome}: {reason}"
    return [result.variant.library, result.variant.key, outcome, f"{result.difference:.3g}"]


def grouped(results: list[Result]) -> list[list[str]]:
    """A line for each reason, with the variants that are refused for it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for result in results:
        library, key, outcome, _ = line(result)
        reason = outcome.split(": ", 1)[1]
        # What stands in brackets behind the name of the first image is the reason for all.
        if "files cannot be read" in reason:
            reason = reason[reason.index("(") + 1 : reason.rindex(")")]
        groups.setdefault((library, reason), []).append(key)
    return [[library, "; ".join(keys), reason] for (library, reason), keys in groups.items()]


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    escaped = lambda cells: "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    return "\n".join([escaped(heads), "|" + "---|" * len(heads), *map(escaped, rows)])


def plain(heads: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    widths[2] = min(widths[2], 60)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [heads, *rows]
    )


PAGE = """# Readers of data

Kiln reads the files that Pillow, pandas and NumPy write. This page says how often both read the same values,
and what Kiln refuses. `tests/readers/check.py` writes the files and this page:

```console
$ pip install -r tests/onnx/requirements.txt
$ python tests/readers/check.py --markdown docs/readers.md
```

{versions}

- Images are compared as a viewer shows them: turned by their EXIF orientation, on the stated background.
- Numbers are equal when single precision holds the same value. Where Kiln subtracts an offset in double
  precision, it is subtracted from the other value too.
- Decoders of JPEG and of lossy WebP may differ by up to {jpeg:g} of 255. The standards leave open how the
  last step rounds and how colors at half the size are enlarged.
- Kiln ignores blanks around the cells of a table.

{summary}

`outside` counts variants of kinds of files that the [guide](guide/src/data.md) says Kiln does not read. Kiln
refuses each with a reason of its own. The percentage of `refused` is that of the other variants. Of all
{count} variants, {not_read} are not read ({share:.1f} %). Without `--markdown` the script lists all variants.

## Refused variants

{refused}

## Kinds of files that Kiln does not read

{outside}
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--few", action="store_true", help=f"every {STEP}th variant")
    parser.add_argument("--kiln", type=Path, help="the built example `read_data`")
    parser.add_argument("--markdown", type=Path, help="file for the tables")
    parser.add_argument("--keep", type=Path, help="new folder for the files, which then stay")
    arguments = parser.parse_args()
    cargo = ["cargo", "run", "--release", "--locked", "--quiet", "--example", "read_data", "--"]
    program = cargo if arguments.kiln is None else [str(arguments.kiln.resolve())]
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        variants = make(folder, arguments.few)
        answers = ask(program, variants, folder)
        results = [judge(variant, answers[variant.key], folder) for variant in variants]
    rows, wrong = summary(results, arguments.few)
    if len(results) < FEWEST[arguments.few]:
        wrong.append(f"{len(results)} variants, expected at least {FEWEST[arguments.few]}")
    versions = f"Pillow {PIL.__version__}, pandas {pandas.__version__}, NumPy {numpy.__version__}."
    print(plain(COLUMNS, [line(result) for result in results]), versions, plain(HEADS, rows), sep="\n\n")
    if arguments.markdown:
        not_read = sum(result.outcome in ("refused", "outside") for result in results)
        listed = lambda outcome: grouped([result for result in results if result.outcome == outcome])
        text = PAGE.format(
            versions=versions,
            jpeg=images.JPEG,
            count=len(results),
            not_read=not_read,
            share=100 * not_read / len(results),
            summary=markdown(HEADS, rows),
            refused=markdown(GROUPED, listed("refused")),
            outside=markdown(GROUPED, listed("outside")),
        )
        arguments.markdown.write_text(text, encoding="utf-8")
    for problem in wrong:
        print(f"does not hold: {problem}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
