"""Tables that pandas writes with `to_csv`, and what Kiln must read from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from variant import Answer, Difference, Few, Variant, folder_of, in_single, largest_difference, same

ROWS = 60
NAMES = ["red", "green", "dark blue", "grey"]
# A mean that is summed in another order than Kiln's may round differently.
MEAN = 1e-6


def frame() -> pd.DataFrame:
    """Two columns of numbers, one of booleans, one of names, and the class."""
    random = np.random.default_rng(17)
    return pd.DataFrame(
        {
            "length": random.normal(5, 2, ROWS),
            "count": random.integers(-5, 200, ROWS),
            "is wet": random.random(ROWS) < 0.4,
            "color": random.choice(NAMES, ROWS),
            "kind": random.choice(["ash", "beech", "oak"], ROWS),
        }
    )


def with_gaps() -> pd.DataFrame:
    table = frame()
    table["count"] = table["count"].astype("Int64")
    for step, column in enumerate(["length", "count", "color"]):
        table.loc[step::7, column] = None
    return table


def by_value(name: str) -> tuple[int, float, str]:
    """The order of names: numbers by value, then others."""
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)


class Tables:
    """Collects variants, each of one file or of files with the same columns."""

    def __init__(self, out: Path, pick: Few):
        self.out, self.pick = out, pick

    def variant(
        self,
        name: str,
        table: pd.DataFrame | None = None,
        save: dict[str, Any] | Callable[[pd.DataFrame, Path], None] | None = None,
        read: dict[str, Any] | None = None,
        *,
        file: str = "table.csv",
        target: str | list[str] = "kind",
        names: list[str] | None = None,
        time: str | None = None,
        outside: str | None = None,
        **settings: Any,
    ) -> Variant | None:
        """Writes a table with the options `save`, if the variant is selected.

        `read` are the options with which pandas reads it, `settings` those of Kiln. `names` are columns of
        names that networks read, `target` is what they learn to give, `time` the column by which lines are
        divided, `outside` words of the refusal of a kind of file that Kiln does not read.
        """
        if not self.pick.takes("csv"):
            return None
        folder = folder_of(self.out, "csv", name)
        path = folder / file
        table = frame() if table is None else table
        if callable(save):
            save(table, path)
        else:
            table.to_csv(path, **{"index": False, **(save or {})})
        read = read or {}
        exact = {} if read.get("engine") == "python" else {"float_precision": "round_trip"}
        numbers = read_frame(path, read | exact)
        texts = read_frame(
            path, {k: v for k, v in read.items() if k not in ("decimal", "thousands")} | {"dtype": str}
        )
        names = [column for column in ["color"] if column in numbers] if names is None else names
        # Kiln strips spaces around a cell.
        texts = texts.apply(lambda column: column.str.strip())
        data: dict[str, Any] = {"kind": "csv", "file": file, "target": target, **settings}
        if names:
            data["categorical"] = names
        if time:
            data["split"] = {"time": time}
        expected = Expected(numbers, texts, target, names, time, settings)
        return Variant("pandas", "csv", name, folder, data, expected.compare, outside=outside)


def read_frame(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    read = pd.read_csv(path, **options)
    if options.get("header", 0) is None:
        read.columns = range(1, len(read.columns) + 1)
    read.columns = ["" if str(column).startswith("Unnamed: ") else str(column) for column in read.columns]
    return read


class Expected:
    """What Kiln must read from a table that pandas reads as `numbers` (every type) and as `texts`."""

    def __init__(
        self,
        numbers: pd.DataFrame,
        texts: pd.DataFrame,
        target: str | list[str],
        names: list[str],
        time: str | None,
        settings: dict[str, Any],
    ):
        self.numbers, self.texts, self.names, self.time, self.settings = numbers, texts, names, time, settings
        self.targets = [target] if isinstance(target, str) else target
        ignored = settings.get("ignore", [])
        features = [column for column in numbers.columns if column not in self.targets + ignored + [time]]
        self.features = settings.get("features", features)

    def compare(self, answer: Answer) -> float:
        self.compare_splits(answer)
        columns = [column for feature in self.features for column in self.inputs(feature, answer.splits[0])]
        same("inputs", answer.names, [name for name, _, _ in columns])
        largest = self.compare_targets(answer)
        for place, (name, values, is_filled) in enumerate(columns):
            found, expected = answer.inputs[:, place, 0, 0], in_single(values, answer.offsets[place])
            exact = largest_difference(f"input `{name}`", found[~is_filled], expected[~is_filled])
            filled = largest_difference(f"input `{name}`", found[is_filled], expected[is_filled])
            if filled > MEAN * max(1.0, float(np.abs(values).max())):
                wrong, right = found[is_filled][0], values[is_filled][0]
                raise Difference(f"input `{name}`: a gap is filled with {wrong}, expected {right}")
            largest = max(largest, exact)
        return largest

    def inputs(self, column: str, training: list[int]) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Name and values of each input that a column becomes, and which values fill a gap."""
        whole = np.zeros(len(self.numbers), dtype=bool)
        if column not in self.names:
            values = as_numbers(self.numbers[column])
            gaps = np.isnan(values)
            if not gaps.any():
                return [(column, values, whole)]
            known = pd.Series(values[training]).dropna()
            fill = known.mean() if self.settings.get("missing") == "mean" else known.mode().min()
            return [(column, np.where(gaps, fill, values), gaps), (f"{column} is missing", gaps * 1.0, whole)]
        texts = self.texts[column].tolist()
        gaps = self.texts[column].isna().to_numpy()
        known = [texts[row] for row in training if not gaps[row]]
        order = sorted(set(known), key=by_value)
        frequent = max(order, key=known.count)
        made = []
        for name in order:
            values = np.array([text == name for text in texts]) | (gaps & (name == frequent))
            made.append((f"{column}={name}", values * 1.0, whole))
        unseen = np.array([not gap and text not in order for text, gap in zip(texts, gaps)])
        made.append((f"{column} is unseen", unseen * 1.0, whole))
        if gaps.any():
            made.append((f"{column} is missing", gaps * 1.0, whole))
        return made

    def compare_targets(self, answer: Answer) -> float:
        if self.settings.get("task") != "regression":
            texts = self.texts[self.targets[0]].tolist()
            same("classes", answer.outputs, sorted(set(texts), key=by_value))
            same("labels", [answer.outputs[label] for label in answer.labels], texts)
            return 0.0
        same("outputs", answer.outputs, self.targets)
        values = np.stack([as_numbers(self.numbers[target]) for target in self.targets], axis=1)
        return largest_difference("targets", answer.values, in_single(values, answer.target_offsets))

    def compare_splits(self, answer: Answer) -> None:
        rows = len(self.numbers)
        same("examples", sorted(row for split in answer.splits for row in split), list(range(rows)))
        if self.time is None:
            return
        times = pd.to_datetime(self.numbers[self.time], utc=True, format="ISO8601")
        order = times.argsort(kind="stable").tolist()
        test = round(rows * 0.2)
        validation = round((rows - test) * 0.2)
        expected = [
            order[: rows - test - validation],
            order[rows - test - validation : rows - test],
            order[rows - test :],
        ]
        same("splits", answer.splits, [sorted(split) for split in expected])


def as_numbers(column: pd.Series) -> np.ndarray:
    """Numbers, with booleans as 1 and 0, and gaps as NaN."""
    if column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
        column = column.map({True: 1.0, False: 0.0, "True": 1.0, "False": 0.0})
    return column.to_numpy(dtype=np.float64, na_value=np.nan)
