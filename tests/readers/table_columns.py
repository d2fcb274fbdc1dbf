"""Columns of every type that pandas writes: gaps, numbers, names, times, and targets."""

import csv
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tables import NAMES, ROWS, Tables, frame, with_gaps
from variant import Variant


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
        ("names with blanks around them", [" red", "red", "red "] * (ROWS // 3)),
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


def variants(tables: Tables) -> Iterator[Variant | None]:
    for maker in (gaps, numbers, types, times, targets):
        yield from maker(tables)
