#!/usr/bin/env python3
"""Takes the plot of the Pareto front out of a report, as an SVG file that stands alone.

    kiln report RUN && python3 docs/images/front.py RUN.html >docs/images/front.svg

The page's own colors for light pages are put in place of its variables. Texts that a page shows under the
pointer are left out: they are most of the plot's bytes.
"""

import re
import sys

SIZES = "svg text { fill: var(--soft); font: 14px system-ui, sans-serif; }"


def main() -> None:
    page = open(sys.argv[1], encoding="utf-8").read()
    style = re.search(r"<style>(.*?)</style>", page, re.S).group(1)
    colors = dict(re.findall(r"(--\w+): (#\w+);", re.search(r":root \{(.*?)\}", style, re.S).group(1)))
    rules = re.findall(r"(?:^|(?<=\} ))(?:svg |path)?\.[\w., -]+ \{[^}]*\}", style, re.M)
    plot = re.search(r"<h3>Pareto front</h3>\s*(<svg .*?</svg>)", page, re.S).group(1)
    plot = re.sub(r"<title>[^<]*</title>", "", plot)
    used = set(" ".join(re.findall(r'class="([^"]+)"', plot)).split())
    rules = [rule for rule in rules if used & set(re.findall(r"\.(\w+)", rule.split("{")[0]))]
    css = "\n".join([SIZES, *rules])
    css = re.sub(r"var\((--\w+)\)", lambda name: colors[name.group(1)], css)
    back = f'<rect width="100%" height="100%" rx="8" fill="{colors["--card"]}"/>'
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 380"'
    plot = re.sub(r'<svg viewBox="0 0 560 380"', head, plot, count=1)
    print(re.sub(r"(</desc>)", rf"\1\n<style>\n{css}\n</style>\n{back}", plot, count=1))


if __name__ == "__main__":
    main()
