"""A variant of files: what another library wrote, how Kiln must read it, and how the values are compared."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


class Difference(Exception):
    """A difference between Kiln and the library, in one line."""


@dataclass
class Answer:
    """The values that Kiln read in the order of the files, and what was subtracted from them."""

    shape: tuple[int, int, int]
    names: list[str]
    offsets: np.ndarray
    inputs: np.ndarray
    outputs: list[str]
    labels: np.ndarray
    values: np.ndarray
    target_offsets: np.ndarray
    splits: list[list[int]]
    notes: list[str]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Answer":
        shape = tuple(answer["shape"])
        outputs = answer["outputs"]
        return cls(
            shape=shape,
            names=answer["names"],
            offsets=np.array(answer["offsets"], dtype=np.float64),
            inputs=np.array(answer["inputs"], dtype=np.float64).reshape(-1, *shape),
            outputs=outputs,
            labels=np.array(answer["labels"], dtype=np.int64),
            values=np.array(answer["values"], dtype=np.float64).reshape(-1, len(outputs)),
            target_offsets=np.array(answer["target_offsets"], dtype=np.float64),
            splits=answer["splits"],
            notes=answer["notes"],
        )


@dataclass
class Variant:
    """Files of one kind, and the settings with which Kiln reads them."""

    library: str
    reader: str
    name: str
    folder: Path
    data: dict[str, Any]
    compare: Callable[[Answer], float]
    files: int = 1
    # Largest allowed difference. Decoders of lossy formats may round differently.
    tolerance: float = 0.0
    # For a kind of file that Kiln's README says it does not read: words with which Kiln must refuse it.
    outside: str | None = None

    @property
    def key(self) -> str:
        return f"{self.reader}: {self.name}"


class Few:
    """Selects every `step`-th variant of a reader."""

    def __init__(self, step: int):
        self.step, self.counts = step, Counter()

    def takes(self, reader: str) -> bool:
        self.counts[reader] += 1
        return (self.counts[reader] - 1) % self.step == 0


def in_single(values: np.ndarray, offset: float | np.ndarray = 0.0) -> np.ndarray:
    """Values in single precision, after an offset is subtracted in double precision."""
    values = np.asarray(values, dtype=np.float64)
    return (values - offset).astype(np.float32).astype(np.float64) + offset


def largest_difference(what: str, found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference between two arrays of the same shape."""
    if found.shape != expected.shape:
        raise Difference(f"{what}: shape {found.shape}, expected {expected.shape}")
    if not np.isfinite(found).all():
        raise Difference(f"{what}: a value that is not finite")
    return float(np.abs(found - expected).max(initial=0.0))


def same(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise Difference(f"{what}: {shortened(found)}, expected {shortened(expected)}")


def shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:160] + "..."


def folder_of(out: Path, reader: str, name: str) -> Path:
    """A folder for a variant. Its name has only characters that every system allows."""
    safe = "".join(c if c.isalnum() else "-" for c in name.lower())
    folder = out / reader / safe
    number = 2
    while folder.exists():
        folder = out / reader / f"{safe}-{number}"
        number += 1
    folder.mkdir(parents=True)
    return folder
