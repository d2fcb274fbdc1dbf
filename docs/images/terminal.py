#!/usr/bin/env python3
"""Draws a captured terminal screen as an SVG file.

    tmux capture-pane -p -e -t NAME | python3 docs/images/terminal.py >docs/images/screen.svg

Knows what Kiln's screen uses: 24-bit and 256 colors, bold, reverse. Exits with an error on anything else,
so that a picture never silently lacks a color.
"""

import html
import re
import sys

CELL_WIDTH, LINE_HEIGHT, MARGIN = 7.2, 15, 12
FOREGROUND, BACKGROUND = "#d8d8d8", "#16181c"
CUBE = [0, 95, 135, 175, 215, 255]


def color_256(index: int) -> str:
    if 16 <= index < 232:
        index -= 16
        return "#" + "".join(f"{CUBE[part]:02x}" for part in (index // 36, index // 6 % 6, index % 6))
    if index >= 232:
        return "#" + f"{8 + 10 * (index - 232):02x}" * 3
    raise ValueError(f"color {index} depends on the terminal")


class Style:
    def __init__(self) -> None:
        self.color, self.bold, self.reverse = FOREGROUND, False, False

    def apply(self, codes: list[int]) -> None:
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code == 1:
                self.bold = True
            elif code == 22:
                self.bold = False
            elif code in (7, 27):
                self.reverse = code == 7
            elif code == 39:
                self.color = FOREGROUND
            elif code == 38 and codes[0] == 5:
                self.color = color_256(codes[1])
                del codes[:2]
            elif code == 38 and codes[0] == 2:
                self.color = "#" + "".join(f"{part:02x}" for part in codes[1:4])
                del codes[:4]
            elif code != 49:
                raise ValueError(f"unknown code {code}")

    def key(self) -> tuple:
        return (self.color, self.bold, self.reverse)


def runs(line: str, style: Style) -> list[tuple[int, str, tuple]]:
    """Pieces of a line in one style: column, text, style."""
    found, column = [], 0
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b"):
            style.apply([int(code or 0) for code in part[2:-1].split(";")])
        elif part:
            found.append((column, part, style.key()))
            column += len(part)
    return found


def main() -> None:
    lines = sys.stdin.read().rstrip("\n").split("\n")
    style, rows = Style(), []
    for line in lines:
        rows.append(runs(line, style))
    columns = max(column + len(text) for row in rows for column, text, _ in row)
    width, height = columns * CELL_WIDTH + 2 * MARGIN, len(rows) * LINE_HEIGHT + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-size="12" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
    ]
    for number, row in enumerate(rows):
        y = MARGIN + (number + 0.75) * LINE_HEIGHT
        for column, text, (color, bold, reverse) in row:
            x, length = MARGIN + column * CELL_WIDTH, len(text) * CELL_WIDTH
            if reverse:
                top = MARGIN + number * LINE_HEIGHT
                out.append(f'<rect x="{x:.1f}" y="{top}" width="{length:.1f}" height="15" fill="{color}"/>')
                color = BACKGROUND
            # Words are placed one by one, so that a font of another width moves no column.
            for word in re.finditer(r"\S+(?: \S+)*", text):
                at, size = x + word.start() * CELL_WIDTH, len(word.group()) * CELL_WIDTH
                weight = ' font-weight="bold"' if bold else ""
                out.append(
                    f'<text x="{at:.1f}" y="{y:.1f}" fill="{color}"{weight} textLength="{size:.1f}" '
                    f'lengthAdjust="spacingAndGlyphs">{html.escape(word.group())}</text>'
                )
    out.append("</svg>")
    print("\n".join(out))


if __name__ == "__main__":
    main()
