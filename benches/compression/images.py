"""Data sets as IDX files, the format of MNIST: which exist, and their test splits as arrays."""

import gzip
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ["digits", "fashion-mnist", "mnist"]
TEST = "t10k"
TRAIN = "train"


def read_idx(path: Path) -> np.ndarray:
    """Reads an IDX file of bytes, plain or gzipped."""
    zipped = path.with_name(f"{path.name}.gz")
    content = path.read_bytes() if path.is_file() else gzip.decompress(zipped.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an IDX file of bytes")
    axes = content[3]
    shape = np.frombuffer(content, ">u4", count=axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def write_idx(path: Path, values: np.ndarray) -> None:
    """Writes an array of bytes as an IDX file. The file appears whole."""
    header = b"\0\0\x08" + bytes([values.ndim]) + np.array(values.shape, ">u4").tobytes()
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(header + np.ascontiguousarray(values, np.uint8).tobytes())
    part.replace(path)


def write_digits(folder: Path) -> None:
    """Writes the digits that Kiln embeds as four IDX files. Every fifth image of a class is a test image."""
    with gzip.open(ROOT / "evaluator/data/digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    pixels, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        is_test[np.flatnonzero(labels == label)[::5]] = True
    folder.mkdir(parents=True, exist_ok=True)
    for name, chosen in [(TRAIN, ~is_test), (TEST, is_test)]:
        write_idx(folder / f"{name}-images-idx3-ubyte", pixels[chosen])
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels[chosen])


def folder_of(name: str, data: Path | None, out: Path) -> Path:
    """The folder with the IDX files of a data set. The digits are written into `out`."""
    if name == "digits":
        folder = out / "digits-idx"
        write_digits(folder)
        return folder
    if data is None:
        raise SystemExit(f"{name}: name the folder that holds it by --data")
    return data / name


def test_split(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The test images, `[n, 1, height, width]` in single precision, and their labels."""
    images = read_idx(folder / f"{TEST}-images-idx3-ubyte")
    labels = read_idx(folder / f"{TEST}-labels-idx1-ubyte")
    return np.ascontiguousarray(images[:, None].astype(np.float32)), labels.astype(np.int64)
