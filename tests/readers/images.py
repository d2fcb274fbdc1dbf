"""Images in every mode of Pillow, and what Kiln must read from the files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

from variant import Answer, Few, Variant, folder_of, in_single, largest_difference, same

WIDTH, HEIGHT = 19, 13
BACKGROUND = [30, 200, 120]
ORIENTATION = 0x0112
# Folders of the four images of a variant, in the order in which Kiln reads them.
PLACES = ["train/a", "train/b", "val/a", "test/b"]
# Largest difference between JPEG decoders. ITU-T T.83 lets the inverse transform be off by one, the
# conversion of colors rounds once more, and the standard does not define how chroma of half the size is
# enlarged.
JPEG = 4.0

Save = Callable[[Image.Image, Path], None]
At = tuple[Path, Few]


def colors(index: int) -> np.ndarray:
    """Red, green, blue and opacity of the base images: gradients, blocks, noise, and gradients with noise."""
    random = np.random.default_rng(100 + index)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([13 * x, 19 * y, 255 - 7 * (x + y), 14 * x], axis=-1).clip(0, 255)
    blocks = 255 * np.stack([x // 4 % 2, y // 3 % 2, (x // 5 + y // 5) % 2, (x // 6) % 2], axis=-1)
    noise = random.integers(0, 256, (HEIGHT, WIDTH, 4))
    rough = (smooth + random.integers(-25, 26, smooth.shape)).clip(0, 255)
    return [smooth, blocks, noise, rough][index].astype(np.uint8)


def image(mode: str, index: int) -> Image.Image:
    """A base image in a mode of Pillow."""
    base = Image.fromarray(colors(index), "RGBA")
    rgb = base.convert("RGB")
    random = np.random.default_rng(200 + index)
    wide = random.integers(0, 65_536, (HEIGHT, WIDTH))
    match mode:
        case "1" | "L" | "CMYK" | "YCbCr" | "RGBX":
            return rgb.convert(mode)
        case "RGB":
            return rgb
        case "RGBA":
            return base
        case "LA":
            return Image.merge("LA", [rgb.convert("L"), base.getchannel("A")])
        case "P":
            return rgb.quantize(64)
        case "PA":
            return base.convert("PA")
        case "I;16":
            return Image.fromarray(wide.astype(np.uint16))
        case "I;16B":
            return Image.frombytes("I;16B", (WIDTH, HEIGHT), wide.astype(">u2").tobytes())
        case "I":
            return Image.fromarray(wide.astype(np.int32))
        case "F":
            return Image.fromarray((wide / 257).astype(np.float32))
        case "LAB":
            srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
            return ImageCms.profileToProfile(rgb, srgb, lab, outputMode="LAB")
    raise ValueError(mode)


def shown(path: Path, background: list[int] | None) -> np.ndarray:
    """Red, green and blue from 0 to 255 as a viewer shows them, `[3, height, width]`."""
    with Image.open(path) as opened:
        opened.load()
        transparent = opened.info.get("transparency")
        turned = ImageOps.exif_transpose(opened)
    if turned.mode.startswith("I;16") or (turned.mode == "I" and path.suffix == ".png"):
        values = np.asarray(turned).astype(np.float64)
        if transparent is not None:
            behind = np.array(background, dtype=np.float64).reshape(3, 1, 1)
            return np.where(values == transparent, behind, values / 257)
        return np.repeat(values[None] / 257, 3, axis=0)
    if turned.mode in ("I", "F"):
        return np.repeat(np.asarray(turned).astype(np.float64)[None], 3, axis=0)
    if turned.mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        turned = ImageCms.profileToProfile(turned, lab, srgb, outputMode="RGB")
    if turned.has_transparency_data:
        rgba = turned.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, tuple(background or (0, 0, 0)))
        rgb.paste(rgba, mask=rgba.getchannel("A"))
    else:
        rgb = turned.convert("RGB")
    return np.asarray(rgb).astype(np.float64).transpose(2, 0, 1)


class Images:
    """Collects variants of one format, each of four images."""

    def __init__(self, at: At, reader: str, ending: str | None = None):
        (self.out, self.pick), self.reader, self.ending = at, reader, ending or reader

    def variant(
        self,
        name: str,
        mode: str,
        save: Save | None = None,
        *,
        background: list[int] | None = None,
        is_gray: bool = False,
        tolerance: float = 0.0,
        outside: str | None = None,
        **options: Any,
    ) -> Variant | None:
        """Writes images with `save`, or with Pillow's `save` and the options, if the variant is selected."""
        if not self.pick.takes(self.reader):
            return None
        folder = folder_of(self.out, self.reader, name)
        expected = []
        for index, place in enumerate(PLACES):
            path = folder / place / f"{index}.{self.ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = image(mode, index)
            if save is None:
                picture.save(path, **options)
            else:
                save(picture, path)
            planes = shown(path, background)
            if is_gray:
                rgb = Image.fromarray(planes.astype(np.uint8).transpose(1, 2, 0), "RGB")
                planes = np.asarray(rgb.convert("L")).astype(np.float64)[None]
            expected.append(in_single(planes))
        truth = np.stack(expected)

        def compare(answer: Answer) -> float:
            same("classes", answer.outputs, ["a", "b"])
            same("labels", answer.labels.tolist(), [0, 1, 0, 1])
            same("splits", answer.splits, [[0, 1], [2], [3]])
            return largest_difference("pixels", answer.inputs, truth)

        data: dict[str, Any] = {"kind": "images"}
        if background is not None:
            data["background"] = background
        if is_gray:
            data["color"] = "gray"
        return Variant("Pillow", self.reader, name, folder, data, compare, len(PLACES), tolerance, outside)


def exif(orientation: int) -> Image.Exif:
    metadata = Image.Exif()
    metadata[ORIENTATION] = orientation
    return metadata


def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
