"""Images that Pillow writes: every mode and option of the formats that Kiln reads."""

import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from images import BACKGROUND, HEIGHT, JPEG, WIDTH, At, Images, exif, profile
from variant import Few, Variant


def png(at: At) -> Iterator[Variant | None]:
    files = Images(at, "png")
    for mode in ("1", "L", "P", "RGB", "I;16", "I;16B"):
        yield files.variant(f"mode {mode}", mode)
    for mode in ("LA", "RGBA"):
        yield files.variant(f"mode {mode}", mode, background=BACKGROUND)
    for bits in (1, 2, 4, 8):
        write = (
            lambda picture, path, bits=bits: picture.convert("RGB").quantize(1 << bits).save(path, bits=bits)
        )
        yield files.variant(f"palette of {bits} bits", "RGB", write)
    for level in (0, 1, 6, 9):
        yield files.variant(f"mode RGB, compress_level {level}", "RGB", compress_level=level)
    for strategy in range(5):
        yield files.variant(f"mode RGB, compress_type {strategy}", "RGB", compress_type=strategy)
    for mode in ("1", "L", "P", "RGB"):
        yield files.variant(f"mode {mode}, optimize", mode, optimize=True)
    yield files.variant("mode RGBA, optimize", "RGBA", background=BACKGROUND, optimize=True)
    for mode in ("1", "L", "RGB", "P", "I;16"):

        def write(picture: Image.Image, path: Path) -> None:
            color = picture.getpixel((5, 4))
            picture.save(path, transparency=color if isinstance(color, tuple) else int(color))

        yield files.variant(f"mode {mode}, one transparent color", mode, write, background=BACKGROUND)
    opacities = bytes(range(0, 256, 4))
    yield files.variant("mode P, opacity of each color", "P", background=BACKGROUND, transparency=opacities)
    for orientation in range(1, 9):
        yield files.variant(f"EXIF orientation {orientation}", "RGB", exif=exif(orientation))
    yield files.variant("mode RGBA, EXIF orientation 6", "RGBA", background=BACKGROUND, exif=exif(6))
    yield files.variant("mode I;16, EXIF orientation 8", "I;16", exif=exif(8))
    for what, chunk, content in (
        ("gamma 1/2.2", b"gAMA", (45_455).to_bytes(4, "big")),
        ("gamma 1", b"gAMA", (100_000).to_bytes(4, "big")),
        ("sRGB", b"sRGB", b"\0"),
        (
            "chromaticities",
            b"cHRM",
            b"".join(n.to_bytes(4, "big") for n in (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        ),
        ("a private chunk", b"prVt", b"anything"),
    ):
        chunks = PngImagePlugin.PngInfo()
        chunks.add(chunk, content)
        yield files.variant(f"mode RGB, {what}", "RGB", pnginfo=chunks)
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "a title")
    texts.add_text("Comment", "long " * 100, zip=True)
    texts.add_itxt("Author", "Åsa", lang="sv", tkey="Författare")
    yield files.variant("mode RGB, texts", "RGB", pnginfo=texts)
    yield files.variant("mode RGB, color profile", "RGB", icc_profile=profile())
    yield files.variant("mode RGB, resolution", "RGB", dpi=(300, 300))
    turned = lambda picture: [picture.transpose(Image.Transpose.ROTATE_180)]
    for mode, is_default in (("RGB", False), ("RGB", True), ("P", False)):

        def write(picture: Image.Image, path: Path) -> None:
            picture.save(
                path, save_all=True, append_images=turned(picture), duration=100, default_image=is_default
            )

        yield files.variant(f"animation of mode {mode}{', default image' if is_default else ''}", mode, write)
    for mode, channels, depth in (("L", 1, 8), ("RGB", 3, 8), ("RGBA", 4, 8), ("1", 1, 1)):
        write = lambda picture, path, c=channels, d=depth: path.write_bytes(interlaced(picture, c, d))
        background = BACKGROUND if mode == "RGBA" else None
        yield files.variant(f"mode {mode}, interlaced (read only)", mode, write, background=background)
    for mode in ("RGB", "P", "L"):
        yield files.variant(f"mode {mode}, read as grey", mode, is_gray=True)
    yield files.variant("mode RGBA, read as grey", "RGBA", is_gray=True, background=BACKGROUND)


def interlaced(picture: Image.Image, channels: int, depth: int) -> bytes:
    """An interlaced PNG (Adam7), which Pillow reads but does not write: seven images on ever finer grids."""
    values = np.asarray(picture).astype(np.uint8).reshape(HEIGHT, WIDTH, channels)
    rows = b""
    for y, x, down, right in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        for row in values[y::down, x::right]:
            if row.size:
                rows += b"\0" + (np.packbits(row.astype(bool)).tobytes() if depth == 1 else row.tobytes())
    kind = {1: 0, 3: 2, 4: 6}[channels]
    head = WIDTH.to_bytes(4, "big") + HEIGHT.to_bytes(4, "big") + bytes([depth, kind, 0, 0, 1])
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    file.seek(0, io.SEEK_END)
    for name, content in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        PngImagePlugin.putchunk(file, name, content)
    return file.getvalue()


def jpeg(at: At) -> Iterator[Variant | None]:
    for ending in ("jpg", "jpeg", "jpe", "jfif"):
        yield _jpg(Images(at, "jpeg", ending), f"default options, `.{ending}`", "RGB")
    files = Images(at, "jpeg", "jpg")
    for mode in ("1", "L", "RGBX", "CMYK", "YCbCr"):
        yield _jpg(files, f"mode {mode}", mode)
    for quality in (1, 10, 25, 50, 90, 95, 100):
        yield _jpg(files, f"quality {quality}", "RGB", quality=quality)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            kind = "progressive" if progressive else "baseline"
            yield _jpg(
                files,
                f"subsampling {subsampling}, {kind}",
                "RGB",
                quality=92,
                subsampling=subsampling,
                progressive=progressive,
            )
    yield _jpg(files, "subsampling 4:1:1 (read only)", "RGB", quality=92, subsampling="4:1:1")
    yield _jpg(files, "mode L, progressive", "L", progressive=True)
    yield _jpg(files, "mode CMYK, progressive", "CMYK", progressive=True)
    yield _jpg(files, "mode CMYK, quality 100", "CMYK", quality=100, subsampling=0)
    yield _jpg(files, "optimize", "RGB", optimize=True)
    yield _jpg(files, "colors kept as RGB", "RGB", keep_rgb=True, quality=95)
    yield _jpg(files, "smooth 50", "RGB", smooth=50)
    for tables in ("web_low", "web_high", "web_very_high"):
        yield _jpg(files, f"tables {tables}", "RGB", quality=tables)
    yield _jpg(files, "tables of its own", "RGB", qtables=[[1 + i // 4 for i in range(64)]] * 2)
    yield _jpg(files, "restart every 2 blocks", "RGB", restart_marker_blocks=2)
    yield _jpg(files, "restart every row", "RGB", restart_marker_rows=1)
    yield _jpg(files, "restart every 2 blocks, progressive", "RGB", restart_marker_blocks=2, progressive=True)
    for orientation in range(1, 9):
        yield _jpg(files, f"EXIF orientation {orientation}", "RGB", exif=exif(orientation))
    yield _jpg(files, "mode L, EXIF orientation 5", "L", exif=exif(5))
    yield _jpg(files, "color profile", "RGB", icc_profile=profile())
    yield _jpg(files, "resolution", "RGB", dpi=(72, 72))
    yield _jpg(files, "comment", "RGB", comment=b"made for a test")
    yield _jpg(files, "XMP", "RGB", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    yield _jpg(files, "read as grey", "RGB", quality=95, is_gray=True)


def _jpg(files: Images, name: str, mode: str, **options: Any) -> Variant | None:
    return files.variant(name, mode, tolerance=JPEG, format="JPEG", **options)


def gif(at: At) -> Iterator[Variant | None]:
    files = Images(at, "gif")
    for mode in ("1", "L", "P", "RGB"):
        yield files.variant(f"mode {mode}", mode)
    for mode in ("LA", "RGBA"):
        yield files.variant(f"mode {mode}", mode, background=BACKGROUND)
    for interlace in (0, 1):
        yield files.variant(f"mode P, interlace {interlace}", "P", interlace=interlace)
        yield files.variant(f"mode L, interlace {interlace}", "L", interlace=interlace)
    yield files.variant("mode P, optimize", "P", optimize=True)
    yield files.variant("mode L, optimize", "L", optimize=True)
    for mode in ("P", "L"):
        write = lambda picture, path: picture.save(path, transparency=picture.getpixel((5, 4)))
        yield files.variant(f"mode {mode}, one transparent color", mode, write, background=BACKGROUND)
    for few in (2, 4, 16, 256):
        write = lambda picture, path, few=few: picture.quantize(few).save(path)
        yield files.variant(f"{few} colors", "RGB", write)
    for disposal in (0, 1, 2, 3):

        def write(picture: Image.Image, path: Path) -> None:
            later = [picture.transpose(Image.Transpose.ROTATE_180)]
            picture.save(path, save_all=True, append_images=later, duration=50, loop=0, disposal=disposal)

        yield files.variant(f"animation, disposal {disposal}", "P", write)

    def write(picture: Image.Image, path: Path) -> None:
        picture.save(path, save_all=True, append_images=[picture.transpose(Image.Transpose.ROTATE_180)])

    yield files.variant("animation of mode RGBA", "RGBA", write, background=BACKGROUND)
    yield files.variant("animation of mode RGB", "RGB", write)
    yield files.variant("comment", "P", comment="made for a test")
    write = lambda picture, path: picture.save(path, background=3)
    yield files.variant("background 3", "P", write)
    yield files.variant("mode P, read as grey", "P", is_gray=True)


def bmp(at: At) -> Iterator[Variant | None]:
    files = Images(at, "bmp")
    for mode in ("1", "L", "P", "RGB"):
        yield files.variant(f"mode {mode}", mode)
    yield files.variant("mode RGBA", "RGBA", background=BACKGROUND)
    yield files.variant("resolution", "RGB", dpi=(300, 300))
    for few in (2, 16, 200):
        write = lambda picture, path, few=few: picture.quantize(few).save(path)
        yield files.variant(f"palette of {few} colors", "RGB", write)
    yield files.variant("mode RGB, read as grey", "RGB", is_gray=True)


def webp(at: At) -> Iterator[Variant | None]:
    files = Images(at, "webp")
    # A filter enlarges chroma of half the size. libwebp and Kiln's decoder may round differently.
    lossy = {"tolerance": JPEG}
    for mode in ("1", "L", "P", "RGB"):
        yield files.variant(f"mode {mode}, lossless", mode, lossless=True)
        yield files.variant(f"mode {mode}, lossy", mode, **lossy)
    for mode in ("LA", "RGBA"):
        yield files.variant(f"mode {mode}, lossless", mode, background=BACKGROUND, lossless=True)
        yield files.variant(f"mode {mode}, lossy", mode, background=BACKGROUND, **lossy)
    for quality in (0, 30, 60, 90, 100):
        yield files.variant(f"quality {quality}", "RGB", quality=quality, **lossy)
    for method in (0, 2, 6):
        yield files.variant(f"lossless, method {method}", "RGB", lossless=True, method=method)
        yield files.variant(f"lossy, method {method}", "RGB", method=method, **lossy)
    yield files.variant("lossless, quality 100", "RGB", lossless=True, quality=100)
    yield files.variant("lossless, exact", "RGBA", background=BACKGROUND, lossless=True, exact=True)
    for quality in (0, 50):
        yield files.variant(
            f"alpha_quality {quality}", "RGBA", background=BACKGROUND, alpha_quality=quality, **lossy
        )
    yield files.variant("sharp colors", "RGB", use_sharp_yuv=True, **lossy)
    for orientation in range(1, 9):
        yield files.variant(f"EXIF orientation {orientation}", "RGB", lossless=True, exif=exif(orientation))
    yield files.variant("color profile", "RGB", lossless=True, icc_profile=profile())
    yield files.variant("XMP", "RGB", lossless=True, xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    for mode, is_lossless in (("RGB", True), ("RGBA", True), ("RGB", False)):

        def write(picture: Image.Image, path: Path) -> None:
            later = [picture.transpose(Image.Transpose.ROTATE_180)]
            picture.save(path, save_all=True, append_images=later, duration=50, lossless=is_lossless)

        yield files.variant(
            f"animation of mode {mode}, {'lossless' if is_lossless else 'lossy'}",
            mode,
            write,
            background=BACKGROUND if mode == "RGBA" else None,
            tolerance=0.0 if is_lossless else JPEG,
        )
    yield files.variant("lossless, read as grey", "RGB", lossless=True, is_gray=True)


def tiff(at: At) -> Iterator[Variant | None]:
    files = Images(at, "tiff")
    for mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I", "F"):
        outside = {"LAB": "CIE Lab", "I": "signed numbers", "F": "numbers in floating point"}.get(mode)
        tolerance = JPEG if mode in ("LAB", "YCbCr") else 0.0
        yield files.variant(f"mode {mode}", mode, tolerance=tolerance, outside=outside)
    for mode in ("LA", "PA", "RGBA"):
        yield files.variant(f"mode {mode}", mode, background=BACKGROUND)
    for compression in ("packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "lzma", "zstd"):
        for mode in ("1", "L", "RGB", "RGBA", "I;16", "P", "CMYK"):
            background = BACKGROUND if mode == "RGBA" else None
            yield files.variant(
                f"mode {mode}, {compression}",
                mode,
                background=background,
                outside={"lzma": "LZMA", "zstd": "Zstandard"}.get(compression),
                compression=compression,
            )
    for compression, outside in (("group3", "fax group 3"), ("group4", None), ("tiff_ccitt", "(CCITT)")):
        yield files.variant(f"mode 1, {compression}", "1", outside=outside, compression=compression)
    for mode in ("L", "RGB", "CMYK", "YCbCr"):
        yield files.variant(f"mode {mode}, jpeg", mode, tolerance=JPEG, compression="jpeg")
    yield files.variant("mode RGB, jpeg, quality 100", "RGB", tolerance=JPEG, compression="jpeg", quality=100)
    for mode in ("L", "RGB", "RGBA", "I;16"):
        background = BACKGROUND if mode == "RGBA" else None
        for compression in ("tiff_lzw", "tiff_adobe_deflate"):
            yield files.variant(
                f"mode {mode}, {compression}, predictor",
                mode,
                background=background,
                compression=compression,
                tiffinfo={317: 2},
            )
    for mode in ("L", "RGB", "I;16"):
        yield files.variant(f"mode {mode}, big_tiff", mode, big_tiff=True)
    for compression in ("raw", "tiff_lzw"):
        yield files.variant(
            f"strips of 100 bytes, {compression}", "RGB", compression=compression, strip_size=100
        )
    for orientation in range(1, 9):
        yield files.variant(f"EXIF orientation {orientation}", "RGB", exif=exif(orientation))
    yield files.variant(
        "resolution and texts", "RGB", dpi=(300, 300), description="made for a test", software="a test"
    )
    yield files.variant("color profile", "RGB", icc_profile=profile())

    def write(picture: Image.Image, path: Path) -> None:
        picture.save(path, save_all=True, append_images=[picture.transpose(Image.Transpose.ROTATE_180)])

    yield files.variant("two pages", "RGB", write)
    yield files.variant("mode RGB, read as grey", "RGB", is_gray=True)
    yield Images(at, "tiff", "tif").variant("default options, `.tif`", "RGB")


def variants(out: Path, pick: Few) -> Iterator[Variant | None]:
    for maker in (png, jpeg, gif, bmp, webp, tiff):
        yield from maker((out, pick))
