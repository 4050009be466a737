"""One HTML file with tables, plots and every transcript drawn on its network.

It opens from disk and asks nothing of any other place: a content security policy forbids
it. What models wrote is data in it, never markup.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from neuromas_env.bench.store import Store
from neuromas_env.bench.stored import read_said
from neuromas_env.bench.summary import Line
from neuromas_env.bench.tables import Grid, slug, to_html
from neuromas_env.topology import Topology

_ANSWERS = """
SELECT row, row_id, answer, strict, extracted, reason, tie, error, transcript
FROM answers WHERE cell = ? AND row < ? ORDER BY row
"""


def make_page(
    store: Store,
    lines: Sequence[Line],
    about: Mapping[str, str],
    grids: Sequence[Grid],
    plots: Mapping[str, str],
    notes: str,
    limit: int | None = None,
) -> str:
    """Write the page.

    Args:
        store: Whence the transcripts come.
        lines: The methods; their cells' transcripts are shown.
        about: What the page is a report of.
        grids: The tables.
        plots: Title to SVG.
        notes: What the numbers mean, as plain text.
        limit: Transcripts of so many questions of each task, None for all.
    """
    # Only `<` could end the script element that holds the data.
    data = json.dumps(_transcripts(store, lines, limit)).replace("<", "\\u003c")
    own = files("neuromas_env.bench")
    return Template(own.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title=escape(str(store.path.parent.resolve().name)),
        about="".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in about.items()),
        contents="".join(
            f'<li><a href="#{slug(grid)}">{escape(grid.title.partition(";")[0])}</a></li>'
            for grid in grids
        ),
        tables="".join(f'<section id="{slug(grid)}">{to_html(grid)}</section>' for grid in grids),
        figures="".join(
            f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,'
            f'{base64.b64encode(svg.encode()).decode()}">'
            for title, svg in plots.items()
        ),
        notes=escape(notes),
        style=own.joinpath("page.css").read_text(encoding="utf-8"),
        data=data,
        script=own.joinpath("page.js").read_text(encoding="utf-8"),
    )


def _transcripts(store: Store, lines: Sequence[Line], limit: int | None) -> dict[str, Any]:
    questions: dict[str, Any] = {}
    for row in store.rows("SELECT task, split, row_id, question, target FROM questions"):
        task = row["task"] + ("" if row["split"] == "test" else f" ({row['split']})")
        questions.setdefault(task, {})[row["row_id"]] = [row["question"], row["target"]]
    networks: dict[str, str] = {}
    runs: list[dict[str, Any]] = []
    for line in lines:
        key = json.dumps(line.topology)
        networks.setdefault(key, Topology.from_json(line.topology).svg())
        for cell, seed in zip(line.cells, line.seeds, strict=True):
            answers = store.rows(_ANSWERS, (cell, 2**62 if limit is None else limit))
            for answer in answers:
                answer["said"] = read_said(answer.pop("transcript"))
            if answers:
                runs.append(
                    {
                        "task": line.task,
                        "method": line.method + ("" if seed is None else f", seed {seed}"),
                        "network": list(networks).index(key),
                        "labels": line.labels,
                        "answers": answers,
                    }
                )
    asked = {(run["task"], answer["row_id"]) for run in runs for answer in run["answers"]}
    return {
        "questions": {
            task: {name: text for name, text in rows.items() if (task, name) in asked}
            for task, rows in questions.items()
        },
        "networks": list(networks.values()),
        "runs": runs,
    }
