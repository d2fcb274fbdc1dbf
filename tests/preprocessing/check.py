#!/usr/bin/env python3
"""Checks that a network's card suffices to use its ONNX file without Kiln.

    check.py --kiln PROGRAM

Trains small networks: one on a table with gaps, names and large numbers, two on images. Then prepares new
examples with NumPy and Pillow alone, as `card.json` describes, and runs the exported file in ONNX Runtime.
The results are compared with `kiln predict`, on lines with gaps and unseen names, and on images of every mode
of Pillow. Logarithms of probabilities may differ by 1e-4. The metadata of the ONNX file must describe the
same inputs. Exit code 1 if a check fails.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

TOLERANCE = 1e-4
COMMON = """
[space]
kind = "mlp"
layers = 1
width = [8, 16]
[[hardware]]
device = "cortex-m7"
[evaluator]
kind = "supernet"
epochs = 6
batch = 32
calibration = 64
[search]
strategy = "random"
trials = 2
objectives = ["error_percent", "latency_us"]
[finish]
networks = 1
epochs = 6
formats = ["onnx"]
"""
TABLE = """
[study]
name = "table"
[data]
kind = "csv"
file = "train.csv"
target = "kind"
categorical = ["soil", "slope"]
missing = "mean"
missing_values = ["-"]
decimal = ","
separator = ";"
"""
IMAGES = """
[study]
name = "images"
[data]
kind = "images"
size = [12, 10]
color = "%s"
background = [10, 200, 90]
"""


def table_values(row: dict[str, str], card: dict) -> np.ndarray:
    """One line of a table as input of the network, prepared as the card's `inputs` describe."""
    reading, inputs = card["preprocessing"]["reading"], card["preprocessing"]["inputs"]
    gaps = {"", "na", "nan", "null", "?", "n/a", "none", "<na>", "#n/a", *reading.get("missing_values", [])}
    known = {(i["column"], i["category"]) for i in inputs if i["kind"] == "category"}

    def value(i: dict) -> float:
        cell = row[i["column"]].strip()
        missing = cell.lower() in gaps
        if i["kind"] == "number":
            return i["fill"] if missing else float(cell.replace(reading.get("decimal", "."), "."))
        if i["kind"] == "category":
            return i.get("fill", False) if missing else cell == i["category"]
        return missing if i["kind"] == "missing" else not missing and (i["column"], cell) not in known

    return np.array([np.float64(value(i)) - i.get("offset", 0.0) for i in inputs]).astype(np.float32)


def image_values(path: Path, card: dict) -> np.ndarray:
    """One image as input of the network: `[channels, height, width]`."""
    reading = card["preprocessing"]["reading"]
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I;16"):
        planes = [np.asarray(image).astype(np.float32) / 257] * 3
        whole = False
    else:
        image, whole = image.convert("RGBA"), True
        background = Image.new("RGB", image.size, tuple(reading["background"]))
        background.paste(image, mask=image.getchannel("A"))
        planes = [np.asarray(plane).astype(np.float64) for plane in background.split()]
    if len(card["preprocessing"]["inputs"]) == 1:
        red, green, blue = planes
        gray = 0.299 * red + 0.587 * green + 0.114 * blue
        if whole:
            gray = np.floor((19595 * red + 38470 * green + 7471 * blue + 32768) / 65536)
        planes = [gray]
    height, width = reading["size"]
    images = [Image.fromarray(plane.astype(np.float32)) for plane in planes]
    small = [image.resize((width, height), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(plane) for plane in small]).astype(np.float32)


def kiln(program: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"kiln {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def trained(program: Path, folder: Path, config: str) -> tuple[Path, dict]:
    """A finished network's folder and its card."""
    (folder / "study.toml").write_text(config + COMMON)
    said = json.loads(kiln(program, folder, "search", "study.toml", "--data", ".", "--json"))
    study = "table" if config == TABLE else "images"
    network = folder / "runs" / study / "models" / str(said["finished"][0]["trial"])
    card = json.loads((network / "card.json").read_text())
    return network, card


def compare(
    program: Path, folder: Path, network: Path, card: dict, files: list[str], values: np.ndarray
) -> float:
    session = onnxruntime.InferenceSession(str(network / "model.onnx"), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    for key in ["inputs", "reading"]:
        if json.loads(metadata[key]) != card["preprocessing"][key]:
            sys.exit(f"{network}: the metadata's `{key}` is not that of the card")
    takes = session.get_inputs()[0]
    shape = [len(values), *[int(size) for size in takes.shape[1:]]]
    outputs = session.run(None, {takes.name: values.reshape(shape)})[0]
    logits = outputs.reshape(len(values), -1).astype(np.float64)
    ours = np.exp(logits - logits.max(axis=1, keepdims=True))
    ours /= ours.sum(axis=1, keepdims=True)
    said = json.loads(kiln(program, folder, "predict", str(network), *files, "--json"))["predictions"]
    theirs = np.array([[one["probabilities"][name] for name in card["classes"]] for one in said])
    if theirs.shape != ours.shape:
        sys.exit(f"{network}: {theirs.shape} probabilities, expected {ours.shape}")
    # Logarithms equal logits up to a constant, so they show differences in probabilities near 0 and 1 too.
    worst = np.abs(np.log(theirs) - np.log(ours)).max(axis=1)
    for index in np.flatnonzero(worst > TOLERANCE):
        print(f"{said[index]['file']}, row {said[index].get('row')}: {theirs[index]} and {ours[index]}")
    return float(worst.max())


def table(program: Path, folder: Path) -> float:
    chance = np.random.default_rng(1)

    def lines(count: int, soils: list[str]) -> list[list[str]]:
        kinds = chance.integers(0, 3, count)
        cells = []
        for kind in kinds:
            time, slope = 1.7e9 + 3600 * chance.random(), chance.choice(["flat", "steep", "-"])
            wet = "NA" if chance.random() < 0.1 else f"{kind + chance.random():.3f}".replace(".", ",")
            soil = chance.choice(soils)
            cells.append([f"{time:.1f}".replace(".", ","), wet, soil, slope, ["bog", "heath", "fen"][kind]])
        return cells

    header = ["time", "wet", "soil", "slope", "kind"]
    for name, body in [("train", lines(300, ["sand", "clay"])), ("new", lines(60, ["sand", "clay", "peat"]))]:
        drop = 1 if name == "new" else 0
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerows(row[: len(row) - drop] for row in [header, *body])
    network, card = trained(program, folder, TABLE)
    with (folder / "new.csv").open(newline="") as file:
        values = np.stack([table_values(row, card) for row in csv.DictReader(file, delimiter=";")])
    kinds = {i["kind"] for i in card["preprocessing"]["inputs"]}
    if kinds != {"number", "category", "unseen", "missing"}:
        sys.exit(f"the table should need every kind of input, and needs {kinds}")
    return compare(program, folder, network, card, ["new.csv"], values)


def picture(mode: str, shade: int, size: tuple[int, int]) -> Image.Image:
    chance = np.random.default_rng(shade)
    height, width = size[1], size[0]
    if mode == "I;16":
        return Image.fromarray(chance.integers(0, 65536, (height, width)).astype(np.uint16))
    pixels = chance.integers(0, 256, (height, width, 4)).astype(np.uint8)
    pixels[..., :3] = pixels[..., :3] // 3 + (shade % 2) * 150
    return Image.fromarray(pixels, "RGBA").convert(mode)


def images(program: Path, folder: Path, color: str) -> float:
    for shade in range(60):
        place = folder / "train" / ["dark", "light"][shade % 2]
        place.mkdir(parents=True, exist_ok=True)
        picture("RGB", shade, (10, 12)).save(place / f"{shade}.png")
    network, card = trained(program, folder, IMAGES % color)
    files = []
    modes = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]
    for number, mode in enumerate(modes * 2):
        size = (10, 12) if number < len(modes) else (37, 23)
        files.append(f"{number}.png")
        picture(mode, 100 + number, size).save(folder / files[-1])
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        files.append(f"turned{orientation}.png")
        picture("RGB", 200 + orientation, (20, 30)).save(folder / files[-1], exif=exif)
    values = np.stack([image_values(folder / file, card) for file in files])
    return compare(program, folder, network, card, files, values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kiln", type=Path, required=True)
    program = parser.parse_args().kiln.resolve()
    wrong = False
    for name, run in [
        ("table", table),
        ("color images", lambda *where: images(*where, "rgb")),
        ("gray images", lambda *where: images(*where, "gray")),
    ]:
        with tempfile.TemporaryDirectory() as folder:
            worst = run(program, Path(folder))
        print(f"{name}: largest difference of a logarithm of a probability {worst:.1e}")
        wrong |= worst > TOLERANCE
    sys.exit(int(wrong))


main()
