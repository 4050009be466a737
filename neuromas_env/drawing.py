"""Pictures of a network: in the terminal and as SVG."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from neuromas_env.text import visible

WIDTH = 80
_MAX_LABEL = 24
# Box-drawing characters by the directions in which they lead.
_LINES = {
    "": " ", "ud": "│", "lr": "─", "ur": "└", "ul": "┘", "dr": "┌", "dl": "┐",
    "udr": "├", "udl": "┤", "ulr": "┴", "dlr": "┬", "udlr": "┼",
}  # fmt: skip

Layers = Sequence[Sequence[str]]
Sources = Mapping[str, Sequence[str]]


def draw_svg(
    layers: Layers,
    edges: Iterable[tuple[str, str]],
    title: str,
    feedback: Iterable[tuple[str, str]] = (),
) -> str:
    """Draw layers of nodes as an SVG document, input side on the left.

    Args:
        layers: Node names; the last layer holds the output node.
        edges: `(source, reader)` pairs of them.
        title: Of the document.
        feedback: Such pairs of which messages go into the next round: dashed, below the nodes.
    """
    step, gap, radius = 150, 74, 26
    tallest = max(map(len, layers))
    width, height = step * len(layers), gap * tallest + 10
    place = {
        node: (step * (layer + 0.5), height / 2 + gap * (row - (len(nodes) - 1) / 2))
        for layer, nodes in enumerate(layers)
        for row, node in enumerate(nodes)
    }
    depth = {node: layer for layer, nodes in enumerate(layers) for node in nodes}
    shapes, headroom = [], 0.0
    for source, reader in edges:
        (x1, y1), (x2, y2) = place[source], place[reader]
        # An edge over several layers bends, so that it does not run through the nodes between.
        bend = 1.5 * gap * (depth[reader] - depth[source] - 1)
        middle = f"{(x1 + x2) / 2:g} {(y1 + y2) / 2 - bend:g}"
        headroom = max(headroom, (bend - y1 - y2) / 2 + 10)
        shapes.append(
            f'<path d="M{x1 + radius:g} {y1:g} Q{middle} {x2 - radius - 4:g} {y2:g}" '
            'fill="none" stroke="#64748b" stroke-width="1.5" marker-end="url(#arrow)"/>'
        )
    footroom = 0.0
    for source, reader in feedback:
        (x1, y1), (x2, y2) = place[source], place[reader]
        low = max(y1, y2) + gap * (0.8 + 0.3 * abs(depth[source] - depth[reader]))
        footroom = max(footroom, low - height)
        shapes.append(
            f'<path d="M{x1 + 0.7 * radius:g} {y1 + 0.7 * radius:g} C{x1 + gap / 2:g} {low:g} '
            f'{x2 - 0.9 * gap:g} {low:g} {x2 - 0.8 * radius - 3:g} {y2 + 0.7 * radius:g}" '
            'fill="none" stroke="#b45309" stroke-width="1.5" stroke-dasharray="5 4" '
            'marker-end="url(#arrow)"/>'
        )
    tall = height + headroom + footroom
    for node, (x, y) in place.items():
        fill = "#fde68a" if node in layers[-1] else "#dbeafe"
        shapes.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius}" fill="{fill}" stroke="#334155"/>'
            f'<text x="{x:g}" y="{y + 4:g}">{escape(node)}</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {-headroom:g} {width} '
        f'{tall:g}" width="{width}" height="{tall:g}" '
        f'font-family="sans-serif" font-size="11" text-anchor="middle" fill="#0f172a">\n'
        f"<title>{escape(title)}</title>\n"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def picture(layers: Layers, sources: Sources, labels: Mapping[str, str] | None = None) -> str:
    """Draw layers of nodes for a terminal, input side on top.

    A line between two layers means that every node below reads every node above;
    all other edges are listed under the picture.

    Args:
        layers: Node names.
        sources: Whom each node reads.
        labels: What stands in a node's box instead of its name.
    """
    labels = labels or {}
    rows = [_cells([_label(labels.get(node, node)) for node in layer]) for layer in layers]
    total = max(_row_width(row) for row in rows)
    full = [
        all(source in sources[node] for node in below for source in above)
        for above, below in zip(layers, layers[1:], strict=False)
    ]
    lines = []
    for number, row in enumerate(rows):
        left = (total - _row_width(row)) // 2
        top, bottom = number > 0 and full[number - 1], number < len(full) and full[number]
        boxes = _boxes(row, top, bottom)
        lines += [(" " * left + line).rstrip() for line in boxes]
        if bottom:
            below = (total - _row_width(rows[number + 1])) // 2
            lines.append(_bus(_centres(row, left), _centres(rows[number + 1], below)))
    return "\n".join(lines + _unseen(layers, sources, full))


def rounds_lines(rounds: int, feedback: Iterable[tuple[str, str]], memory: bool) -> list[str]:
    """Say under a picture what goes from round to round; nothing for a single round."""
    if rounds == 1:
        return []
    heard: dict[str, list[str]] = {}
    for source, reader in feedback:
        heard.setdefault(reader, []).append(source)
    lines = [f"{rounds} rounds" + ", every node remembers what it read and said" * memory]
    for reader, sources in heard.items():
        text = f"{reader} hears {', '.join(sources)} of the round before"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return lines


def _unseen(layers: Layers, sources: Sources, full: Sequence[bool]) -> list[str]:
    """List the edges that no line of the picture stands for."""
    lines = []
    for number, layer in enumerate(layers):
        seen = set(layers[number - 1]) if number and full[number - 1] else set()
        for node in layer:
            rest = [source for source in sources[node] if source not in seen]
            if rest:
                text = f"{node} {'also reads' if seen else 'reads'} {', '.join(rest)}"
                lines += textwrap.wrap(text, WIDTH, subsequent_indent="  ")
    return lines


def _cells(labels: Sequence[str]) -> list[list[str]]:
    """Return the text lines of each box: a box per node, or one for a layer that is too wide."""
    cells = [[label] for label in labels]
    if _row_width(cells) <= WIDTH:
        return cells
    wrapped = textwrap.wrap("  ".join(label.replace(" ", "\xa0") for label in labels), WIDTH - 4)
    return [[line.replace("\xa0", " ") for line in wrapped]]


def _boxes(cells: Sequence[Sequence[str]], top: bool, bottom: bool) -> list[str]:
    height = len(cells[0])
    lines = [""] * (height + 2)
    for cell in cells:
        inner = _cell_width(cell) - 2
        edge = "─" * ((inner - 1) // 2), "─" * (inner - 1 - (inner - 1) // 2)
        lines[0] += "┌" + ("┴" if top else "─").join(edge) + "┐ "
        for i, text in enumerate(cell, start=1):
            lines[i] += f"│ {text.ljust(inner - 2)} │ "
        lines[-1] += "└" + ("┬" if bottom else "─").join(edge) + "┘ "
    return lines


def _bus(above: Iterable[int], below: Iterable[int]) -> str:
    ups, downs = set(above), set(below)
    first, last = min(ups | downs), max(ups | downs)
    line = ""
    for column in range(last + 1):
        leads = "u" * (column in ups) + "d" * (column in downs)
        leads += "l" * (first < column <= last) + "r" * (first <= column < last)
        line += _LINES[leads]
    return line


def _centres(cells: Sequence[Sequence[str]], left: int) -> list[int]:
    centres = []
    for cell in cells:
        centres.append(left + 1 + (_cell_width(cell) - 3) // 2)
        left += _cell_width(cell) + 1
    return centres


def _cell_width(cell: Sequence[str]) -> int:
    return max(map(len, cell)) + 4


def _row_width(cells: Sequence[Sequence[str]]) -> int:
    return sum(_cell_width(cell) + 1 for cell in cells) - 1


def _label(text: str) -> str:
    text = plain(text) or " "
    return text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"


def said(who: str, text: str) -> str:
    """Write what somebody said as lines that no text in it can disturb."""
    return f"{who}:\n{textwrap.indent(visible(text), '  ')}"


def plain(text: str) -> str:
    """Return a text as one line that can neither move a cursor nor break a picture."""
    return visible(" ".join(text.splitlines())).replace("\t", " ")
