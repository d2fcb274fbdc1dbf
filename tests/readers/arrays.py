"""Arrays that NumPy writes: every type, order of bytes and axes, shape and version of the format."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from variant import Answer, Few, Variant, folder_of, in_single, largest_difference, same

ROWS = 40
WHOLE = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
REAL = ["f2", "f4", "f8"]

Save = Callable[[Path, np.ndarray], None]


def numbers(shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Numbers that use the range of a type."""
    random = np.random.default_rng(len(shape) * 1000 + shape[-1])
    if kind.endswith("b1") or kind == "?":
        return random.random(shape) < 0.5
    if kind[-2] in "iu":
        information = np.iinfo(kind)
        return random.integers(
            information.min, information.max, shape, dtype=kind.lstrip("<>=|"), endpoint=True
        ).astype(kind)
    return random.normal(0, 100, shape).astype(kind)


class Arrays:
    """Collects variants, each of a file of inputs and one of targets."""

    def __init__(self, out: Path, pick: Few):
        self.out, self.pick = out, pick

    def variant(
        self,
        name: str,
        x: np.ndarray | None = None,
        y: np.ndarray | None = None,
        save: Save = np.save,
        *,
        inputs: str = "x.npy",
        targets: str = "y.npy",
        read: Callable[[Path], np.ndarray] = np.load,
        **settings: Any,
    ) -> Variant | None:
        if not self.pick.takes("npy"):
            return None
        folder = folder_of(self.out, "npy", name)
        x = numbers((ROWS, 5), "<f4") if x is None else x
        y = np.arange(ROWS) % 3 if y is None else y
        for array, file in ((x, inputs), (y, targets)):
            save(folder / file.split(":")[0], array)
        truth, goal = (read(folder / file.split(":")[0]) for file in (inputs, targets))
        data: dict[str, Any] = {"kind": "npy", **settings}
        if inputs != "x.npy":
            data |= {"x": inputs, "y": targets}

        def compare(answer: Answer) -> float:
            values = truth
            if settings.get("channels") == "last":
                values = np.moveaxis(values, -1, 1)
            if values.ndim < 4:
                values = values.reshape(
                    len(values), *((-1, 1, 1) if values.ndim == 2 else (1, *values.shape[1:]))
                )
            same("shape", answer.shape, values.shape[1:])
            expected = in_single(values, answer.offsets.reshape(1, -1, 1, 1))
            return max(
                largest_difference("inputs", answer.inputs, expected), compare_targets(answer, goal, settings)
            )

        return Variant("NumPy", "npy", name, folder, data, compare, 2)


def compare_targets(answer: Answer, goal: np.ndarray, settings: dict[str, Any]) -> float:
    if settings.get("task") == "regression":
        values = goal.reshape(len(goal), -1)
        return largest_difference("targets", answer.values, in_single(values, answer.target_offsets))
    if goal.ndim == 2 and goal.shape[1] > 1:
        same("labels", answer.labels.tolist(), goal.argmax(axis=1).tolist())
        same("classes", answer.outputs, [str(number) for number in range(goal.shape[1])])
        return 0.0
    goal = goal.reshape(-1)
    if goal.dtype.kind == "S":
        goal = np.char.decode(goal, "utf-8")
    shown = [str(label) if goal.dtype.kind == "U" else str(int(label)) for label in goal]
    same("labels", [answer.outputs[label] for label in answer.labels], shown)
    same("classes", sorted(answer.outputs), sorted(set(shown)))
    return 0.0


def types(arrays: Arrays) -> Iterator[Variant | None]:
    for kind in ["b1", *WHOLE, *REAL]:
        for order in ("<", ">") if kind[-1] != "1" else ("|",):
            for layout in ("C", "F"):
                x = np.asarray(numbers((ROWS, 5), order + kind), order=layout)
                yield arrays.variant(f"{order}{kind}, order {layout}", x)
    for kind in ("c8", "c16", "g"):
        yield arrays.variant(f"inputs of {np.dtype(kind).name}", numbers((ROWS, 5), "f4").astype(kind))
    days = np.arange(ROWS * 5).reshape(ROWS, 5)
    yield arrays.variant("inputs of datetime64", days.astype("M8[D]"))
    yield arrays.variant("inputs of timedelta64", days.astype("m8[s]"))
    pair = np.zeros((ROWS,), dtype=[("a", "<f4"), ("b", "<i2")])
    yield arrays.variant("inputs with named fields", pair)
    for what, value in (("NaN", np.nan), ("inf", np.inf)):
        x = numbers((ROWS, 5), "f4")
        x[3, 2] = value
        yield arrays.variant(f"inputs with {what}", x)
    for kind in ("f2", "f8"):
        x = (
            (10.0 ** np.linspace(-7 if kind == "f2" else -37, 4 if kind == "f2" else 37, ROWS * 5))
            .reshape(ROWS, 5)
            .astype(kind)
        )
        yield arrays.variant(f"{kind} over its range", x)
    stamps = 1.7e9 + np.arange(ROWS * 3).reshape(ROWS, 3) * 0.125
    yield arrays.variant("seconds since 1970, f8", stamps)
    yield arrays.variant("seconds since 1970, i8", stamps.astype(np.int64))
    yield arrays.variant("2^53 and more, i8", 2**53 + np.arange(ROWS * 2).reshape(ROWS, 2))
    yield arrays.variant(
        "2^63 and more, u8", np.uint64(2**63) + np.arange(ROWS * 2, dtype=np.uint64).reshape(ROWS, 2)
    )


def shapes(arrays: Arrays) -> Iterator[Variant | None]:
    for what, shape, settings in (
        ("(n, 1)", (ROWS, 1), {}),
        ("(n, 300)", (ROWS, 300), {}),
        ("(n, height, width)", (ROWS, 4, 7), {}),
        ("(n, channels, height, width)", (ROWS, 3, 4, 5), {}),
        ("(n, height, width, channels)", (ROWS, 4, 5, 3), {"channels": "last"}),
        ("(n, 1, height, width)", (ROWS, 1, 4, 5), {}),
        ("(n, height, width, 1)", (ROWS, 4, 5, 1), {"channels": "last"}),
    ):
        for kind in ("|u1", "<f4", ">f8"):
            for layout in ("C", "F"):
                x = np.asarray(numbers(shape, kind), order=layout)
                yield arrays.variant(f"shape {what}, {kind}, order {layout}", x, **settings)
    yield arrays.variant("a view with steps", numbers((2 * ROWS, 10), "f4")[::2, ::-2])
    yield arrays.variant("a transposed view", numbers((5, ROWS), "f8").T)
    yield arrays.variant("a broadcast view", np.broadcast_to(numbers((ROWS, 1), "f4"), (ROWS, 4)))
    yield arrays.variant("matrix", np.asmatrix(numbers((ROWS, 5), "f4")))
    yield arrays.variant("masked array", np.ma.masked_less(numbers((ROWS, 5), "f4"), 0).filled(0))


def with_version(version: tuple[int, int]) -> Save:
    def save(path: Path, array: np.ndarray) -> None:
        with path.open("wb") as file:
            npy.write_array(file, array, version=version)

    return save


def by_memory(path: Path, array: np.ndarray) -> None:
    mapped = npy.open_memmap(path, "w+", array.dtype, array.shape, fortran_order=np.isfortran(array))
    mapped[...] = array
    mapped.flush()


def files(arrays: Arrays) -> Iterator[Variant | None]:
    for version in ((1, 0), (2, 0), (3, 0)):
        for kind in ("|u1", "<f4", ">f8"):
            for layout in ("C", "F"):
                x = np.asarray(numbers((ROWS, 5), kind), order=layout)
                yield arrays.variant(
                    f"version {version[0]}, {kind}, order {layout}", x, save=with_version(version)
                )
    yield arrays.variant("open_memmap", numbers((ROWS, 5), "<f8"), save=by_memory)
    yield arrays.variant("open_memmap, order F", np.asfortranarray(numbers((ROWS, 5), "<f8")), save=by_memory)
    for what, write in (("savez", np.savez), ("savez_compressed", np.savez_compressed)):
        for kind in ("|u1", "<f8"):

            def save(path: Path, array: np.ndarray, write: Any = write) -> None:
                write(path, data=array, other=np.arange(3))

            yield arrays.variant(
                f"{what}, {kind}",
                numbers((ROWS, 5), kind),
                save=save,
                inputs="x.npz:data",
                targets="y.npz:data",
                read=lambda path: np.load(path)["data"],
            )


def targets(arrays: Arrays) -> Iterator[Variant | None]:
    labels = np.random.default_rng(5).integers(0, 4, ROWS)
    for kind in [*WHOLE, *REAL, ">i4", ">f8"]:
        yield arrays.variant(f"labels of {kind}", y=labels.astype(kind))
    yield arrays.variant("labels of b1", y=labels % 2 == 1)
    for kind in ("u1", "i8", "f4"):
        yield arrays.variant(f"labels (n, 1) of {kind}", y=labels.astype(kind)[:, None])
        yield arrays.variant(f"labels from 1 on, {kind}", y=(labels + 1).astype(kind))
    for kind in ("b1", "u1", "i8", "f2", "f4", "f8"):
        for layout in ("C", "F"):
            yield arrays.variant(
                f"one-hot rows of {kind}, order {layout}",
                y=np.asarray(np.eye(4)[labels].astype(kind), order=layout),
            )
    names = np.array(["ash", "beech", "oak", "hornbeam tree"])[labels]
    odd = np.array(["Ärger", "猫", "🐕🐕", ""])[labels]
    yield arrays.variant("names of U", y=names)
    yield arrays.variant("names of >U", y=names.astype(">U20"))
    yield arrays.variant("names (n, 1) of U", y=names[:, None])
    yield arrays.variant("names of S", y=names.astype("S"))
    yield arrays.variant("names of S, with room", y=names.astype("S40"))
    yield arrays.variant("names of all planes", y=odd)
    yield arrays.variant("names of UTF-8 in S", y=np.char.encode(odd, "utf-8"))
    yield arrays.variant("numbers as names", y=(labels * 5).astype(str))
    for kind in ["i4", "u8", *REAL, ">f4"]:
        for shape in ((ROWS,), (ROWS, 1), (ROWS, 3)):
            yield arrays.variant(
                f"values of {kind}, shape {shape}", y=numbers(shape, kind), task="regression"
            )
    far = 1.7e9 + np.random.default_rng(6).normal(0, 170, (ROWS, 2))
    yield arrays.variant("values far from zero", y=far, task="regression")
    yield arrays.variant(
        "values of order F", y=np.asfortranarray(numbers((ROWS, 3), "f8")), task="regression"
    )


def variants(out: Path, pick: Few) -> Iterator[Variant | None]:
    arrays = Arrays(out, pick)
    for maker in (types, shapes, files, targets):
        yield from maker(arrays)
