"""Draw docs/architecture.svg: the packages of genbench, and which imports which.

    python tests/architecture/draw_layers.py        after the imports have changed

It is read off the import statements and made of strings alone: the same imports give the same
bytes. An arrow that follows from two others is left out. A package stands one row above the
highest that it imports; an arrow over several rows runs through a gap in each.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from architecture.test_layers import PACKAGES, imports
from helpers.places import DOCS, ROOT

WIDTH, HEIGHT, GAP, ROW, GUTTER, MARGIN = 132, 46, 22, 104, 18, 24
SWEEPS = 12
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}"
 font-family="Helvetica, Arial, sans-serif" role="img">
<title>The packages of genbench: each imports only those below it</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto"><path d="M0 0L8 4L0 8z" fill="#5b6776"/></marker></defs>
<rect width="{w}" height="{h}" fill="#ffffff"/>
"""
ARROW = (
    'fill="none" stroke="#8a95a3" stroke-width="1.4" stroke-linejoin="round" marker-end="url(#tip)"'
)
LEGEND = "An arrow is an import; one that follows from two others is left out. In brackets: files."


def below(root):
    """{package: the packages that it imports}, and how many files each has."""
    found, files = {name: set() for name in PACKAGES.split()}, Counter()
    for file, others in imports(root).items():
        if "/" in file:
            files[file.split("/")[0]] += 1
            found[file.split("/")[0]] |= {one.split("/")[0] for one in others if "/" in one}
    return {name: others - {name} for name, others in found.items()}, files


def reduced(graph):
    """The graph without the edges that follow from others."""

    def reach(name):
        return graph[name] | {far for one in graph[name] for far in reach(one)}

    return {
        a: sorted(b for b in bs if not any(b in reach(c) for c in bs - {b}))
        for a, bs in graph.items()
    }


def rows_of(graph):
    """{package: its row, 0 at the bottom}; one without any import stands at the top."""
    level = {}

    def height(name):
        if name not in level:
            level[name] = 1 + max((height(one) for one in graph[name]), default=-1)
        return level[name]

    top = max(map(height, graph))
    lone = {
        name for name in graph if not graph[name] and not any(name in bs for bs in graph.values())
    }
    return {name: top if name in lone else level[name] for name in PACKAGES.split()}


def arranged(edges, level):
    """Rows of nodes, ordered so that few arrows cross; (a, b, row) is the gap of arrow a -> b."""
    rows = [[] for _ in range(max(level.values()) + 1)]
    for name in PACKAGES.split():
        rows[level[name]].append(name)
    chains = []
    for a, bs in edges.items():
        for b in bs:
            gaps = [(a, b, row) for row in range(level[a] - 1, level[b], -1)]
            for gap in gaps:
                rows[gap[2]].append(gap)
            chains.append([a, *gaps, b])
    near = {node: [] for row in rows for node in row}
    for chain in chains:
        for upper, lower in pairwise(chain):
            near[upper].append(lower)
            near[lower].append(upper)
    for sweep in range(SWEEPS):
        for row in range(len(rows)) if sweep % 2 else range(len(rows) - 1, -1, -1):
            x = positions(rows)
            rows[row].sort(
                key=lambda node: (
                    sum(x[one] for one in near[node]) / len(near[node]) if near[node] else 0,
                    str(node),
                )
            )
    return rows, chains


def positions(rows):
    """{node: the x of its middle}, every row centred on 0."""
    x = {}
    for row in rows:
        widths = [WIDTH if isinstance(node, str) else GUTTER for node in row]
        at = -(sum(widths) + GAP * (len(row) - 1)) / 2
        for node, width in zip(row, widths, strict=True):
            x[node] = at + width / 2
            at += width + GAP
    return x


def _text(x, y, size, colour, words):
    where = f'x="{x:.0f}" y="{y}" font-size="{size}" text-anchor="middle"'
    return f'<text {where} fill="{colour}">{words}</text>\n'


def drawn(root=ROOT):
    """The picture, as SVG."""
    graph, files = below(root)
    level = rows_of(graph)
    rows, chains = arranged(reduced(graph), level)
    x = positions(rows)
    left = min(x[row[0]] for row in rows) - WIDTH / 2 - MARGIN
    width = round(max(x[row[-1]] for row in rows) + WIDTH / 2 + MARGIN - left)
    top = {
        node: MARGIN + (len(rows) - 1 - place) * ROW
        for place, row in enumerate(rows)
        for node in row
    }
    out = [HEAD.format(w=width, h=2 * MARGIN + (len(rows) - 1) * ROW + HEIGHT + 30)]
    for chain in chains:
        points = []
        for node in chain:
            at = x[node] - left
            first, last = node == chain[0], node == chain[-1]
            points += [] if first else [(at, top[node] - (2 if last else 0))]
            points += [] if last else [(at, top[node] + HEIGHT)]
        line = " ".join(f"{a:.0f},{b:.0f}" for a, b in points)
        out.append(f'<polyline points="{line}" {ARROW}/>\n')
    for name in PACKAGES.split():
        at, y = x[name] - left, top[name]
        where = f'x="{at - WIDTH / 2:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}"'
        out.append(f'<rect {where} rx="6" fill="#eef3f9" stroke="#2f5d8c"/>\n')
        out.append(_text(at, y + 21, 15, "#12283f", name))
        out.append(_text(at, y + 37, 11, "#44566a", f"({files[name]})"))
    out.append(_text(width / 2, MARGIN + len(rows) * ROW - 20, 12, "#44566a", LEGEND) + "</svg>\n")
    return "".join(out)


if __name__ == "__main__":
    (DOCS / "architecture.svg").write_text(drawn(), encoding="utf-8")
