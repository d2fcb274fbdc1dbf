"""Tables that pandas writes with `to_csv`: separators, quotes, encodings, line ends, gaps, and every type of column."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from variant import Answer, Difference, Few, Variant, folder_of, in_single, largest_difference, same

ROWS = 60
NAMES = ["red", "green", "dark blue", "grey"]
# A mean over other sums than Kiln's may round otherwise.
MEAN = 1e-6


def frame() -> pd.DataFrame:
    """Two columns of numbers, one of truths, one of names, and the class."""
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
        **settings: Any,
    ) -> Variant | None:
        """`save` and `read` are what pandas is told, `settings` what Kiln is; `names` are columns of names that networks
        read, `target` what they learn to give, `time` the column by which the lines are divided."""
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
        data: dict[str, Any] = {"kind": "csv", "file": file, "target": target, **settings}
        if names:
            data["categorical"] = names
        if time:
            data["split"] = {"time": time}
        expected = Expected(numbers, texts, target, names, time, settings)
        return Variant("pandas", "csv", name, folder, data, expected.compare)


def read_frame(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    read = pd.read_csv(path, **options)
    if options.get("header", 0) is None:
        read.columns = range(1, len(read.columns) + 1)
    read.columns = ["" if str(column).startswith("Unnamed: ") else str(column) for column in read.columns]
    return read


class Expected:
    """What Kiln must make of a table that pandas reads as `numbers` (every type) and as `texts`."""

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
                raise Difference(
                    f"input `{name}`: a gap is filled with {found[is_filled][0]}, expected {values[is_filled][0]}"
                )
            largest = max(largest, exact)
        return largest

    def inputs(self, column: str, training: list[int]) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Name and values of each input that a column becomes, and which of them stand in for a gap."""
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
    """Numbers, with truths as 1 and 0 and gaps as NaN."""
    if column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
        column = column.map({True: 1.0, False: 0.0, "True": 1.0, "False": 0.0})
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def separators_and_quotes(tables: Tables) -> Iterator[Variant | None]:
    rules = {
        "minimal": csv.QUOTE_MINIMAL,
        "all": csv.QUOTE_ALL,
        "nonnumeric": csv.QUOTE_NONNUMERIC,
        "none": csv.QUOTE_NONE,
    }
    for shown, separator in (
        (",", ","),
        (";", ";"),
        ("tab", "\t"),
        ("|", "|"),
        (":", ":"),
        ("~", "~"),
        ("^", "^"),
    ):
        for rule, quoting in rules.items():
            save = {"sep": separator, "quoting": quoting}
            yield tables.variant(
                f"sep {shown}, quoting {rule}", save=save, read={"sep": separator}, separator=separator
            )
    save = {"sep": " ", "quoting": csv.QUOTE_NONNUMERIC}
    yield tables.variant("sep space, quoting nonnumeric", save=save, read={"sep": " "}, separator=" ")
    save = {"sep": "§"}
    yield tables.variant("sep §", save=save, read={"sep": "§", "engine": "python"}, separator="§")
    for quote in ("'", "|"):
        for rule in ("minimal", "all", "nonnumeric"):
            save = {"quotechar": quote, "quoting": rules[rule]}
            table = frame().replace("dark blue", "blue, dark")
            yield tables.variant(
                f"quotechar {quote}, quoting {rule}", table, save, {"quotechar": quote}, quote=quote
            )
    table = frame().replace({"red": 'a "red"', "green": '"green"', "grey": 'say ""'})
    yield tables.variant("quotes doubled", table)
    save = {"doublequote": False, "escapechar": "\\"}
    yield tables.variant("doublequote False, escapechar \\", table, save, save, escape="\\")
    save = {"quoting": csv.QUOTE_NONE, "escapechar": "\\"}
    table = frame().replace("dark blue", "blue, dark")
    yield tables.variant("quoting none, escapechar \\", table, save, {"escapechar": "\\"}, escape="\\")


def encodings_and_lines(tables: Tables) -> Iterator[Variant | None]:
    table = frame().replace({"red": "rød", "green": "grün"}).rename(columns={"length": "longueur d'été"})
    for encoding, said in (
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", None),
        ("utf-16-le", None),
        ("utf-16-be", None),
        ("latin-1", "latin-1"),
        ("cp1252", "windows-1252"),
    ):
        for end in ("\n", "\r\n"):
            settings = {} if said is None else {"encoding": said}
            save = {"encoding": encoding, "lineterminator": end}
            yield tables.variant(
                f"encoding {encoding}, lines end with {end!r}",
                table,
                save,
                {"encoding": encoding},
                **settings,
            )
    wide = frame().replace({"red": "红", "green": "緑の", "grey": "🦊 e\u0301"})
    for encoding in ("utf-8", "utf-16"):
        yield tables.variant(
            f"letters of all planes, {encoding}", wide, {"encoding": encoding}, {"encoding": encoding}
        )
    euro = frame().replace({"red": "5 €", "green": "“green”"})
    yield tables.variant(
        "quotes of Windows, cp1252",
        euro,
        {"encoding": "cp1252"},
        {"encoding": "cp1252"},
        encoding="windows-1252",
    )
    yield tables.variant("encoding ascii", save={"encoding": "ascii"}, read={"encoding": "ascii"})
    for encoding in ("utf-32", "cp1251", "shift_jis"):
        table = frame().replace({"red": "красный"} if encoding == "cp1251" else {"red": "赤い"})
        yield tables.variant(
            f"encoding {encoding}", table, {"encoding": encoding}, {"encoding": encoding}, encoding=encoding
        )
    broken = frame().replace({"red": "red\nlight", "green": "a\r\nb"})
    for end in ("\n", "\r\n", "\r"):
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
            how = "minimal" if quoting == csv.QUOTE_MINIMAL else "all"
            save = {"lineterminator": end, "quoting": quoting}
            yield tables.variant(f"lines end with {end!r}, quoting {how}", save=save)
        yield tables.variant(f"lines end with {end!r}, line ends in quotes", broken, {"lineterminator": end})


def index_and_header(tables: Tables) -> Iterator[Variant | None]:
    yield tables.variant("index True", save={"index": True}, ignore=[""])
    yield tables.variant(
        "index True, taken as a feature",
        save={"index": True},
        features=["", "length", "count", "is wet", "color"],
    )
    yield tables.variant(
        "index True, index_label", save={"index": True, "index_label": "number"}, ignore=["number"]
    )
    yield tables.variant(
        "index True, index_label False",
        save={"index": True, "index_label": False},
        read={"index_col": False, "header": None, "skiprows": 1},
        ignore=[""],
    )
    labeled = frame().set_index(pd.Index([f"row {n}" for n in range(ROWS)], name="id"))
    yield tables.variant("index of names", labeled, {"index": True}, ignore=["id"])
    several = frame().set_index(["color", "count"])
    yield tables.variant("index of two levels", several, {"index": True})
    dated = frame().set_index(pd.date_range("2024-01-01", periods=ROWS, freq="h", name="time"))
    yield tables.variant("index of times", dated, {"index": True}, time="time")
    yield tables.variant(
        "header False", save={"header": False}, read={"header": None}, header=False, target="5", names=["4"]
    )
    yield tables.variant(
        "header False, index True",
        save={"header": False, "index": True},
        read={"header": None},
        header=False,
        target="6",
        names=["5"],
        ignore=["1"],
    )
    renamed = {"header": ["a", "b", "c", "d", "e"]}
    yield tables.variant("header of other names", save=renamed, target="e", names=["d"])
    for sep in (";", "\t"):
        shown = "tab" if sep == "\t" else sep
        yield tables.variant(
            f"header False, sep {shown}",
            save={"header": False, "sep": sep},
            read={"header": None, "sep": sep},
            header=False,
            separator=sep,
            target="5",
            names=["4"],
        )
    yield tables.variant("columns in another order", save={"columns": ["kind", "color", "count", "length"]})
    odd = {"length": 'a "length", in cm', "count": "Anzahl\nje Tag", "is wet": "größer als 5 %"}
    yield tables.variant("names with quotes, commas and line ends", frame().rename(columns=odd))
    numbered = frame().rename(columns={"length": "1", "count": "2.5", "is wet": "-3"})
    yield tables.variant("names that are numbers", numbered)
    levels = frame()
    levels.columns = pd.MultiIndex.from_product([["all"], levels.columns])
    yield tables.variant("header of two levels", levels, read={"header": 1})

    def append(table: pd.DataFrame, path: Path) -> None:
        table[:30].to_csv(path, index=False)
        table[30:].to_csv(path, index=False, header=False, mode="a")

    yield tables.variant("mode a", save=append)
    yield tables.variant("chunksize 7", save={"chunksize": 7})


def gaps(tables: Tables) -> Iterator[Variant | None]:
    table = with_gaps()
    for text in ("", "NA", "NaN", "nan", "null", "NULL", "N/A", "n/a", "None", "<NA>", "#N/A"):
        for missing in ("mean", "most_frequent"):
            shown = text or "empty"
            yield tables.variant(
                f"na_rep {shown}, missing {missing}", table, {"na_rep": text}, missing=missing
            )
    for text in ("?", "-", ".", "-999", "missing", "unbekannt"):
        yield tables.variant(
            f"na_rep {text}, missing_values",
            table,
            {"na_rep": text},
            {"na_values": [text]},
            missing="mean",
            missing_values=[text],
        )
    yield tables.variant("na_rep empty, quoting all", table, {"quoting": csv.QUOTE_ALL}, missing="mean")
    yield tables.variant(
        "na_rep NA, decimal ,",
        table,
        {"na_rep": "NA", "decimal": ",", "sep": ";"},
        {"decimal": ",", "sep": ";"},
        separator=";",
        decimal=",",
        missing="mean",
    )
    truths = frame()
    truths["is wet"] = truths["is wet"].astype("boolean")
    truths.loc[::9, "is wet"] = None
    yield tables.variant("truths with gaps", truths, missing="most_frequent")


def numbers(tables: Tables) -> Iterator[Variant | None]:
    for form in ("%.3f", "%.6g", "%e", "%.17g", "%.0f", "%+.2f", "%10.4f", "%G"):
        yield tables.variant(f"float_format {form}", save={"float_format": form})
    yield tables.variant("float_format {:.2f}", save={"float_format": "{:.2f}".format})
    yield tables.variant(
        "float_format {:,.1f}", large(1000.0), {"float_format": "{:,.1f}".format}, {"thousands": ","}
    )
    for sep, shown in ((";", ";"), ("\t", "tab"), ("|", "|")):
        for form in (None, "%.4f"):
            save = {"decimal": ",", "sep": sep, "float_format": form}
            yield tables.variant(
                f"decimal ,, sep {shown}, float_format {form}",
                save=save,
                read={"decimal": ",", "sep": sep},
                separator=sep,
                decimal=",",
            )
    yield tables.variant(
        "decimal ,, quoting all",
        save={"decimal": ",", "sep": ";", "quoting": csv.QUOTE_ALL},
        read={"decimal": ",", "sep": ";"},
        separator=";",
        decimal=",",
    )
    for scale in (1e-30, 1e-12, 1e12, 1e30):
        yield tables.variant(f"numbers about {scale:g}", large(scale))
    stamps = frame()
    stamps["length"] = 1.7e9 + np.arange(ROWS)[::-1] * 0.25
    yield tables.variant("seconds since 1970", stamps)
    wide = frame()
    wide["count"] = 2**53 + np.arange(ROWS)[::-1] * 3
    yield tables.variant("whole numbers beyond 2^53", wide)


def large(scale: float) -> pd.DataFrame:
    table = frame()
    table["length"] *= scale
    return table


def types(tables: Tables) -> Iterator[Variant | None]:
    whole = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    for kind in [
        *whole,
        *(name.replace("i", "I", 1).replace("uI", "UI") for name in whole),
        "float16",
        "float32",
        "float64",
        "Float32",
        "Float64",
    ]:
        table = frame()
        table["count"] = table["count"].clip(0, 100).astype(kind)
        yield tables.variant(f"column of {kind}", table)
    for kind in ("bool", "boolean", "object"):
        table = frame()
        table["is wet"] = table["is wet"].astype(kind)
        yield tables.variant(f"truths as {kind}", table)
    for kind in ("object", "string", "category"):
        table = frame()
        table["color"] = table["color"].astype(kind)
        table["kind"] = table["kind"].astype(kind)
        yield tables.variant(f"names as {kind}", table)
    ordered = frame()
    ordered["color"] = pd.Categorical(ordered["color"], NAMES[::-1], ordered=True)
    yield tables.variant("names as ordered category", ordered)
    for what, column in (
        ("category of numbers", pd.Categorical(np.arange(ROWS) * 7 % 11)),
        ("names like 007", [f"{n * 5 % 12:03}" for n in range(ROWS)]),
        ("names like 1e3", [f"{n % 4}e3" for n in range(ROWS)]),
        ("names with spaces around them", [" red", "red", "red "] * (ROWS // 3)),
        ("long names", ["x" * (50 + n % 5) for n in range(ROWS)]),
        ("names in several cases", ["Red", "red", "RED", "True", "true"] * (ROWS // 5)),
    ):
        table = frame()
        table["color"] = column
        yield tables.variant(what, table)
    parts = pd.cut(frame()["length"], 4)
    for what, column in (
        ("column of intervals", parts),
        ("column of periods", pd.period_range("2024-01", periods=12, freq="M").to_list() * (ROWS // 12)),
        ("column of time spans", pd.to_timedelta([n % 6 for n in range(ROWS)], unit="h")),
        ("column of complex numbers", [complex(n % 3, 1) for n in range(ROWS)]),
    ):
        table = frame()
        table["color"] = np.asarray(column, dtype=object) if what.endswith("intervals") else column
        yield tables.variant(f"{what}, as names", table)


def times(tables: Tables) -> Iterator[Variant | None]:
    order = np.random.default_rng(23).permutation(ROWS)
    for what, column, save in (
        ("dates", pd.date_range("2024-02-20", periods=ROWS), {}),
        ("hours", pd.date_range("2024-02-28 20:00", periods=ROWS, freq="37min"), {}),
        ("milliseconds", pd.date_range("2024-02-28", periods=ROWS, freq="1ms"), {}),
        ("nanoseconds", pd.date_range("2024-02-28", periods=ROWS, freq="1000ns"), {}),
        ("with a zone", pd.date_range("2024-02-28", periods=ROWS, freq="h", tz="Europe/Berlin"), {}),
        (
            "over a change of the clock",
            pd.date_range("2024-10-26 20:00", periods=ROWS, freq="20min", tz="Europe/Berlin"),
            {},
        ),
        ("in UTC", pd.date_range("2024-02-28", periods=ROWS, freq="h", tz="UTC"), {}),
        ("years before 1970", pd.date_range("1901-05-01", periods=ROWS, freq="YS"), {}),
        (
            "date_format %Y-%m-%dT%H:%M:%S",
            pd.date_range("2024-02-28", periods=ROWS, freq="h"),
            {"date_format": "%Y-%m-%dT%H:%M:%S"},
        ),
        (
            "date_format %Y-%m-%dT%H:%M:%SZ",
            pd.date_range("2024-02-28", periods=ROWS, freq="h"),
            {"date_format": "%Y-%m-%dT%H:%M:%SZ"},
        ),
        (
            "date_format %Y-%m-%d %H:%M",
            pd.date_range("2024-02-28", periods=ROWS, freq="h"),
            {"date_format": "%Y-%m-%d %H:%M"},
        ),
        (
            "date_format %Y-%m-%dT%H:%M:%S%z",
            pd.date_range("2024-02-28", periods=ROWS, freq="h", tz="Asia/Kolkata"),
            {"date_format": "%Y-%m-%dT%H:%M:%S%z"},
        ),
        ("date_format %Y%m%d", pd.date_range("2024-02-20", periods=ROWS), {"date_format": "%Y%m%d"}),
    ):
        table = frame()
        table["at"] = column[order]
        yield tables.variant(f"split by times, {what}", table, save, {"dtype": {"at": str}}, time="at")
    table = frame()
    table["at"] = pd.date_range("2024-02-28", periods=ROWS)
    yield tables.variant("column of times, left out", table, ignore=["at"])


def packed(tables: Tables) -> Iterator[Variant | None]:
    yield tables.variant("compression gzip", file="table.csv.gz")
    yield tables.variant(
        "compression gzip, level 1",
        save={"compression": {"method": "gzip", "compresslevel": 1}},
        file="table.csv.gz",
    )
    for method, ending in (("bz2", "bz2"), ("zip", "zip"), ("xz", "xz")):
        yield tables.variant(f"compression {method}", file=f"table.csv.{ending}")


def targets(tables: Tables) -> Iterator[Variant | None]:
    random = np.random.default_rng(31)
    for what, column in (
        ("whole numbers", random.integers(0, 12, ROWS)),
        ("numbers from 1 on", random.integers(1, 4, ROWS)),
        ("numbers with a fraction", random.choice([0.5, 1.0, 10.0, 2.0], ROWS)),
        ("negative numbers", random.choice([-1, 1], ROWS)),
        ("truths", random.random(ROWS) < 0.5),
        ("names with commas", random.choice(["a, b", "c, d"], ROWS)),
        ("letters of all planes", random.choice(["猫", "🐕", "naïve"], ROWS)),
        ("names such as none", random.choice(["none", "some", "all"], ROWS)),
        ("categories", pd.Categorical(random.choice(["low", "high"], ROWS))),
    ):
        table = frame()
        table["kind"] = column
        read = {"keep_default_na": False} if what.startswith("names such") else {}
        yield tables.variant(f"classes: {what}", table, read=read)
    for what, column in (
        ("numbers", random.normal(0, 1, ROWS)),
        ("whole numbers", random.integers(0, 1000, ROWS)),
        ("far from zero", 1.7e9 + random.normal(0, 170, ROWS)),
        ("float32", random.normal(0, 1, ROWS).astype(np.float32)),
    ):
        table = frame().drop(columns="kind")
        table["y"] = column
        yield tables.variant(f"values: {what}", table, target="y", task="regression")
    table = frame().drop(columns="kind")
    table["u"], table["v"] = random.normal(0, 1, ROWS), random.normal(1e6, 3, ROWS)
    yield tables.variant("values: two of them", table, target=["u", "v"], task="regression")


def variants(out: Path, pick: Few) -> Iterator[Variant | None]:
    tables = Tables(out, pick)
    for maker in (
        separators_and_quotes,
        encodings_and_lines,
        index_and_header,
        gaps,
        numbers,
        types,
        times,
        packed,
        targets,
    ):
        yield from maker(tables)
