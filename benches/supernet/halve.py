#!/usr/bin/env python3
"""Halves the resolution of 28 x 28 images in IDX files: each pixel is the mean of four, with a black border
of one pixel, which gives 16 x 16.

    benches/supernet/halve.py FROM TO

FROM is a folder with the four `.gz` files of MNIST or Fashion-MNIST. TO is the folder to write, for `kiln
--data`.
"""

import gzip
import os
import shutil
import struct
import sys


def halved(raw):
    """The file `raw` with smaller images."""
    magic, count, height, width = struct.unpack(">4I", raw[:16])
    row = lambda index: raw[16 + index * width : 16 + (index + 1) * width]
    border = bytes(width // 2 + 2)
    out = bytearray(struct.pack(">4I", magic, count, height // 2 + 2, width // 2 + 2))
    for image in range(count):
        out += border
        for y in range(image * height, (image + 1) * height, 2):
            upper, lower = row(y), row(y + 1)
            four = zip(upper[::2], upper[1::2], lower[::2], lower[1::2])
            out += bytes(1) + bytes((sum(pixels) + 2) // 4 for pixels in four) + bytes(1)
        out += border
    return bytes(out)


def main(source, target):
    os.makedirs(target, exist_ok=True)
    for name in sorted(os.listdir(source)):
        path, into = os.path.join(source, name), os.path.join(target, name)
        if name.endswith("images-idx3-ubyte.gz"):
            with gzip.open(path) as file, gzip.open(into, "wb", 6) as out:
                out.write(halved(file.read()))
        elif name.endswith("labels-idx1-ubyte.gz"):
            shutil.copyfile(path, into)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
