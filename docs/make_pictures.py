"""Write `docs/pictures/`: networks as the project draws them, a few diagrams, one result.

python docs/make_pictures.py
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import yaml

from neuromas_env import Topology

FOLDER = Path(__file__).parent / "pictures"
RESULT = FOLDER.parent / "results" / "experiments" / "trained-smollm2.tar.xz"
ROOMS = Path(__file__).parent / "rooms.yaml"
BLUE, YELLOW, GREY, WHITE = "#dbeafe", "#fde68a", "#e2e8f0", "#ffffff"
NETWORKS = {
    "topology-dense": Topology.parse("2-2-1"),
    "topology-skip": Topology.parse("2-2-1:skip"),
    "rounds": Topology.parse("2-1:rounds=3"),
    "topology-tree": Topology.from_edges([(0, 4), (1, 4), (2, 5), (3, 5), (4, 6), (5, 6)]),
}
Box = tuple[str, float, float, float, str, str]
"""Name, left, top, width, colour and text; lines of the text are parted by `|`."""
Arrow = tuple[str, str, str]
"""From box, to box, and what is written beside the arrow."""


def pictures() -> dict[str, str]:
    """Return file name to SVG."""
    drawn = {name: topology.svg() for name, topology in NETWORKS.items()}
    floors = yaml.safe_load(ROOMS.read_text(encoding="utf-8"))
    drawn |= {"growth": growth("1", "2-1", "2-2-1")}
    drawn |= {"rooms": house([floor["rooms"].split() for floor in floors])}
    drawn |= {name: diagram(*content) for name, content in DIAGRAMS.items()}
    drawn |= {"result": learning(*trained(RESULT))}
    return {f"{name}.svg": svg for name, svg in drawn.items()}


def growth(*names: str) -> str:
    """Draw networks beside one another, and under each node's name from whom it inherits."""
    stages = [Topology.parse(name) for name in names]
    boxes: list[Box] = []
    arrows: list[Arrow] = []
    left = 10.0
    for number, topology in enumerate(stages):
        old = stages[number - 1].grow_to(topology) if number else {}
        origin = {new: node for node, new in old.items()}
        tallest = max(len(layer) for stage in stages for layer in stage.layers)
        for column, layer in enumerate(topology.layers):
            for row, node in enumerate(layer):
                top = 60 + 66 * (row + (tallest - len(layer)) / 2)
                text = f"{node}|from {origin[node]}" if node in origin else f"{node}|new"
                colour = YELLOW if node in origin else BLUE
                boxes.append((f"{number}{node}", left + 112 * column, top, 86, colour, text))
        arrows += [(f"{number}{a}", f"{number}{b}", "") for a, b in topology.edges]
        boxes.append((f"title{number}", left, 8, 86, WHITE, topology.name))
        left += 112 * len(topology.layers) + 34
    return diagram(boxes, arrows)


def house(floors: Sequence[Sequence[str]]) -> str:
    """Draw rooms on their floors, the first one at the bottom, and which way imports go."""
    widths = [[7.2 * len(room) + 18 for room in floor] for floor in floors]
    left, gap, rise, height = 70.0, 8.0, 34.0, 26.0
    width = left + max(sum(row) + gap * len(row) for row in widths)
    shapes = []
    for level, (floor, row) in enumerate(zip(reversed(floors), reversed(widths), strict=True)):
        x, y = left, 10 + rise * level
        for room, wide in zip(floor, row, strict=True):
            colour = YELLOW if room.startswith("agents") else BLUE
            shapes.append(_box(x, y, wide, colour, room, height))
            x += wide + gap
    bottom = rise * len(floors)
    shapes.append(f'<path d="M36 14L36 {bottom:g}" stroke="#64748b" marker-end="url(#arrow)"/>')
    middle = bottom / 2
    shapes.append(f'<text transform="translate(26 {middle:g}) rotate(-90)">imports</text>')
    return _svg(width, bottom + 10, shapes)


def diagram(boxes: Iterable[Box], arrows: Iterable[Arrow]) -> str:
    """Draw boxes of two lines and straight arrows between them."""
    place = {name: (x, y, w) for name, x, y, w, _, _ in boxes}
    width = max(x + w for x, _, w in place.values()) + 10
    height = max(y for _, y, _ in place.values()) + HEIGHT + 10
    shapes = [_arrow(place[a], place[b], text) for a, b, text in arrows]
    shapes += [_box(*box[1:]) for box in boxes]
    return _svg(width, height, shapes)


def _svg(width: float, height: float, shapes: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-family="sans-serif" font-size="12" '
        'text-anchor="middle" fill="#0f172a">\n'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>\n'
        f'<rect width="{width:g}" height="{height:g}" fill="{WHITE}"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


HEIGHT = 44


def _box(x: float, y: float, width: float, colour: str, text: str, height: float = HEIGHT) -> str:
    lines = text.split("|")
    middle, first = x + width / 2, y + height / 2 + 4 - 7.5 * (len(lines) - 1)
    frame = "none" if colour == WHITE else "#334155"
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" ' + (
        f'fill="{colour}" stroke="{frame}"/>'
        + "".join(
            f'<text x="{middle:g}" y="{first + 15 * i:g}">{escape(line)}</text>'
            for i, line in enumerate(lines)
        )
    )


def _arrow(a: tuple[float, ...], b: tuple[float, ...], text: str) -> str:
    """Lead from box to box: sideways where they stand apart, else up or down."""
    if a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0]:
        right = a[0] < b[0]
        x1, x2 = (a[0] + a[2], b[0]) if right else (a[0], b[0] + b[2])
        y1, y2 = a[1] + HEIGHT / 2, b[1] + HEIGHT / 2
    else:
        x1, x2 = a[0] + a[2] / 2, b[0] + b[2] / 2
        y1, y2 = (a[1] + HEIGHT, b[1]) if a[1] < b[1] else (a[1], b[1] + HEIGHT)
    label = ""
    if text:
        x, y = ((x1 + x2) / 2, (y1 + y2) / 2 - 6) if y1 == y2 else (x1 + 6, (y1 + y2) / 2 + 4)
        anchor = "middle" if y1 == y2 else "start"
        label = f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#475569">{text}</text>'
    line = f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="#64748b" marker-end="url(#arrow)"/>'
    return line + label


Point = tuple[float, float]


def trained(archive: Path) -> tuple[list[list[Point]], list[float], float]:
    """Read the joint learner's runs of a published experiment.

    Returns:
        For each seed the share of right answers by questions trained on, and that of held-out
        questions after training; the best share without messages.
    """
    with tarfile.open(archive) as tar:
        names = [name for name in tar.getnames() if "/joint/seed_" in name]
        curves = [
            json.load(tar.extractfile(name))["result"]["curve"]  # type: ignore[arg-type]
            for name in sorted(names)
            if name.endswith("outcome.json")
        ]
        [store] = [name for name in tar.getnames() if name.endswith("bench.sqlite")]
        with sqlite3.connect(":memory:") as db:
            db.deserialize(tar.extractfile(store).read())  # type: ignore[union-attr]
            rows = db.execute(
                "SELECT AVG(extracted), MIN(facts ->> '$.blind') FROM results JOIN cells"
                " ON cells.id = cell WHERE results.method = 'joint' GROUP BY results.seed"
            ).fetchall()
    return curves, [right for right, _ in rows], rows[0][1]


def learning(curves: Sequence[Sequence[Point]], held_out: Sequence[float], blind: float) -> str:
    """Draw each seed's share of right answers while it is trained, their mean, and afterwards."""
    last = curves[0][-1][0]

    def at(x: float, y: float) -> str:
        return f"{60 + 440 * x / last:.1f} {250 - 220 * y:.1f}"

    def line(points: Iterable[Point], style: str) -> str:
        return f'<path d="M{"L".join(at(*point) for point in points)}" fill="none" {style}/>'

    mean = [
        (column[0][0], sum(y for _, y in column) / len(column))
        for column in zip(*curves, strict=True)
    ]
    grid = [line([(0, y / 4), (last * 1.12, y / 4)], 'stroke="#e2e8f0"') for y in range(5)]
    numbers = [
        f'<text x="50" y="{254 - 55 * y}" text-anchor="end">{25 * y} %</text>' for y in range(5)
    ] + [
        f'<text x="{60 + 110 * x}" y="270" text-anchor="middle">{last * x / 4:g}</text>'
        for x in range(5)
    ]
    after = sum(held_out) / len(held_out)
    dots = [at(last * 1.06, right).split() for right in held_out]
    shapes = [
        *grid,
        *numbers,
        *(line(curve, 'stroke="#93c5fd"') for curve in curves),
        line(mean, 'stroke="#1d4ed8" stroke-width="2.5"'),
        line([(0, blind), (last * 1.12, blind)], 'stroke="#b45309" stroke-dasharray="6 4"'),
        *(f'<circle cx="{x}" cy="{y}" r="4.5" fill="#fde68a" stroke="#334155"/>' for x, y in dots),
        f'<text x="60" y="18">right answers of 2-1 on hierarchy/max, {len(curves)} seeds</text>',
        '<text x="280" y="290" text-anchor="middle">training questions</text>',
        f'<text x="562" y="58">held out: {100 * after:.1f} %</text>',
        '<text x="562" y="150" fill="#1d4ed8">mean of the seeds,</text>',
        '<text x="562" y="165" fill="#1d4ed8">as they are trained</text>',
        f'<text x="562" y="232" fill="#b45309">best without</text>'
        f'<text x="562" y="247" fill="#b45309">messages: {100 * blind:.1f} %</text>',
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 690 300" width="690" height="300" '
        'font-family="sans-serif" font-size="12" fill="#0f172a">\n'
        f'<rect width="690" height="300" fill="{WHITE}"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


DIAGRAMS: dict[str, tuple[list[Box], list[Arrow]]] = {
    "episode": (
        [
            ("task", 10, 70, 110, GREY, "task|question"),
            ("a", 210, 10, 110, BLUE, "node_0|part 1"),
            ("b", 210, 130, 110, BLUE, "node_1|part 2"),
            ("c", 430, 70, 110, YELLOW, "node_2|query and inbox"),
            ("score", 640, 70, 110, GREY, "task|score"),
            ("reward", 640, 160, 110, WHITE, "one reward|for every node"),
        ],
        [
            ("task", "a", ""),
            ("task", "b", ""),
            ("a", "c", ""),
            ("b", "c", ""),
            ("c", "score", "answer"),
            ("score", "reward", ""),
        ],
    ),
    "policy": (
        [
            ("env", 10, 70, 120, GREY, "environment|observations"),
            ("p0", 220, 10, 130, BLUE, "policy of node_0|request"),
            ("p1", 220, 70, 130, BLUE, "policy of node_1|request"),
            ("p2", 220, 130, 130, BLUE, "scripted policy|message"),
            ("engine", 450, 40, 120, YELLOW, "engine|one batch, cost"),
            ("read", 660, 40, 110, BLUE, "policies|read"),
            ("next", 660, 150, 110, GREY, "environment|next layer"),
        ],
        [
            ("env", "p0", ""),
            ("env", "p1", ""),
            ("env", "p2", ""),
            ("p0", "engine", ""),
            ("p1", "engine", ""),
            ("engine", "read", "replies"),
            ("read", "next", ""),
            ("p2", "next", ""),
        ],
    ),
    "joint-learning": (
        [
            ("question", 10, 130, 100, GREY, "question"),
            ("e1", 190, 10, 120, BLUE, "episode 1|reward 1"),
            ("e2", 190, 90, 120, BLUE, "episode 2|reward 0"),
            ("e3", 190, 170, 120, BLUE, "episode 3|reward 0"),
            ("e4", 190, 250, 120, BLUE, "episode 4|reward 1"),
            ("a1", 380, 10, 120, BLUE, "1 - 1/3|= +2/3"),
            ("a2", 380, 90, 120, BLUE, "0 - 2/3|= -2/3"),
            ("a3", 380, 170, 120, BLUE, "0 - 2/3|= -2/3"),
            ("a4", 380, 250, 120, BLUE, "1 - 1/3|= +2/3"),
            ("loss", 570, 130, 130, YELLOW, "every node's|tokens, weighed"),
            ("step", 770, 130, 110, GREY, "one step of|all adapters"),
        ],
        [
            *(("question", f"e{i}", "") for i in range(1, 5)),
            *((f"e{i}", f"a{i}", "") for i in range(1, 5)),
            *((f"a{i}", "loss", "") for i in range(1, 5)),
            ("loss", "step", ""),
        ],
    ),
    "fair-comparison": (
        [
            ("methods", 10, 10, 120, BLUE, "methods|topology, policies"),
            ("tasks", 10, 80, 120, BLUE, "tasks|same questions"),
            ("seeds", 10, 150, 120, BLUE, "seeds"),
            ("loop", 210, 80, 120, YELLOW, "one loop|cost counted"),
            ("store", 410, 80, 120, GREY, "store|every answer"),
            ("stats", 610, 80, 130, GREY, "paired tests|intervals"),
            ("report", 810, 80, 100, GREY, "report|scores, cost"),
            ("matched", 410, 170, 120, BLUE, "control matched|in tokens"),
        ],
        [
            ("methods", "loop", ""),
            ("tasks", "loop", ""),
            ("seeds", "loop", ""),
            ("loop", "store", ""),
            ("store", "stats", ""),
            ("stats", "report", ""),
            ("store", "matched", ""),
            ("matched", "loop", ""),
        ],
    ),
}


def main() -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name, svg in pictures().items():
        (FOLDER / name).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
