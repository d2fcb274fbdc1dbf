"""Tables in every form of text: separators, quotes, encodings, line ends, headers, packed files."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tables import ROWS, Tables, frame
from variant import Variant


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
    for encoding, said, outside in (
        ("utf-32", {}, "text in UTF-32"),
        ("cp1251", {"encoding": "cp1251"}, "expected one of `unicode`, `latin-1`, `windows-1252`"),
        ("shift_jis", {"encoding": "shift_jis"}, "expected one of `unicode`, `latin-1`, `windows-1252`"),
    ):
        table = frame().replace({"red": "красный"} if encoding == "cp1251" else {"red": "赤い"})
        save = {"encoding": encoding}
        yield tables.variant(f"encoding {encoding}", table, save, save, outside=outside, **said)
    broken = frame().replace({"red": "red\nlight", "green": "a\r\nb"})
    for end in ("\n", "\r\n", "\r"):
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
            how = "minimal" if quoting == csv.QUOTE_MINIMAL else "all"
            save = {"lineterminator": end, "quoting": quoting}
            yield tables.variant(f"lines end with {end!r}, quoting {how}", save=save)
        # With `\r` as the line end, pandas writes cells with `\n` unquoted, and reads other values from them
        # itself.
        quoting = csv.QUOTE_NONNUMERIC if end == "\r" else csv.QUOTE_MINIMAL
        save = {"lineterminator": end, "quoting": quoting}
        yield tables.variant(f"lines end with {end!r}, line ends in quotes", broken, save)


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


def packed(tables: Tables) -> Iterator[Variant | None]:
    yield tables.variant("compression gzip", file="table.csv.gz")
    yield tables.variant(
        "compression gzip, level 1",
        save={"compression": {"method": "gzip", "compresslevel": 1}},
        file="table.csv.gz",
    )
    for method, outside in (
        ("bz2", "a file packed by bzip2"),
        ("zip", "a zip archive"),
        ("xz", "a file packed by xz"),
    ):
        yield tables.variant(f"compression {method}", file=f"table.csv.{method}", outside=outside)


def variants(tables: Tables) -> Iterator[Variant | None]:
    for maker in (separators_and_quotes, encodings_and_lines, index_and_header, packed):
        yield from maker(tables)
