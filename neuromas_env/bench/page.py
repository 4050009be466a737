"""One HTML file with tables, plots and every transcript drawn on its network.

It opens from disk and asks nothing of any other place: a content security policy forbids
it. What models wrote is data in it, never markup.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Any

from neuromas_env.bench.store import Store
from neuromas_env.bench.stored import read_said
from neuromas_env.bench.summary import Line
from neuromas_env.bench.tables import Grid, to_html
from neuromas_env.topology import Topology

_ANSWERS = """
SELECT row, row_id, answer, strict, extracted, reason, tie, error, transcript
FROM answers WHERE cell = ? AND row < ? ORDER BY row
"""


def make_page(
    store: Store,
    lines: Sequence[Line],
    grids: Sequence[Grid],
    plots: Mapping[str, str],
    notes: str,
    limit: int | None = None,
) -> str:
    """Write the page.

    Args:
        store: Whence the transcripts come.
        lines: The methods; their cells' transcripts are shown.
        grids: The tables.
        plots: Title to SVG.
        notes: What the numbers mean, as plain text.
        limit: Transcripts of so many questions of each task, None for all.
    """
    figures = "".join(
        f'<img alt="{escape(title)}" src="data:image/svg+xml;base64,'
        f'{base64.b64encode(svg.encode()).decode()}">'
        for title, svg in plots.items()
    )
    # Only `<` could end the script element that holds the data.
    data = json.dumps(_transcripts(store, lines, limit)).replace("<", "\\u003c")
    return _PAGE.substitute(
        title=escape(str(store.path.parent.resolve().name)),
        tables="".join(map(to_html, grids)),
        figures=figures,
        notes=escape(notes),
        style=_STYLE,
        data=data,
        script=_SCRIPT,
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


_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
  padding: 0 1rem; color: #0f172a; background: #fff }
table { border-collapse: collapse; margin: 1.5rem 0; display: block; overflow-x: auto }
caption { text-align: left; font-weight: 600; padding: .3rem 0; white-space: nowrap }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e2e8f0 }
th:first-child, td:first-child { text-align: left; white-space: nowrap }
td { font-variant-numeric: tabular-nums; white-space: nowrap }
img, svg { max-width: 100%; height: auto }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 }
section.said { border-left: 3px solid #cbd5e1; padding: .1rem .8rem; margin: .8rem 0 }
section.said.chosen { border-color: #d97706; background: #fffbeb }
svg .silent { opacity: .25 }
svg circle, svg text { cursor: pointer }
svg circle.chosen { stroke: #d97706; stroke-width: 4 }
select { max-width: 100%; font: inherit; margin: 0 .5rem .5rem 0 }
.right { color: #15803d } .partly { color: #a16207 } .wrong { color: #b91c1c }
small { color: #475569 }
"""

_SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const make = (tag, text, kind) => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
const fill = (select, texts) =>
  select.replaceChildren(...texts.map((text, i) => new Option(text, i)));
const tasks = [...new Set(data.runs.map((run) => run.task))];
const runsOf = (task) => data.runs.filter((run) => run.task === task);
const chosen = () => {
  const run = runsOf(tasks[byId("task").value])[byId("method").value];
  return [run, run.answers[byId("question").value]];
};
const credit = (answer) =>
  answer.error || !answer.extracted ? "wrong" : answer.extracted < 1 ? "partly" : "right";
const MARKS = { right: "\\u2713", partly: "\\u25d0", wrong: "\\u2717" };
const mark = (answer) => (answer.error ? "!" : MARKS[credit(answer)]);
const points = (score) => +score.toFixed(3);

function showTask() {
  fill(byId("method"), runsOf(tasks[byId("task").value]).map((run) => run.method));
  showMethod();
}
function showMethod() {
  const [run] = chosen();
  const kept = byId("question").value;
  fill(byId("question"), run.answers.map((a) => mark(a) + " " + a.row_id));
  if (kept && kept < run.answers.length) byId("question").value = kept;
  showQuestion();
}
function choose(node) {
  for (const element of document.querySelectorAll("[data-node]"))
    element.classList.toggle("chosen", element.dataset.node === node);
  const said = document.querySelector('section[data-node="' + node + '"]');
  if (said) said.scrollIntoView({ block: "nearest" });
}
function showQuestion() {
  const [run, answer] = chosen();
  const [question, target] = data.questions[run.task][answer.row_id];
  byId("network").innerHTML = data.networks[run.network];
  const spoke = new Map(answer.said.map((said) => [said.node, said]));
  for (const text of byId("network").querySelectorAll("svg > text")) {
    const node = text.textContent, circle = text.previousElementSibling;
    circle.dataset.node = node;
    for (const part of [circle, text]) {
      part.classList.toggle("silent", !spoke.has(node));
      part.addEventListener("click", () => choose(node));
    }
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = (run.labels[node] || node) + "\\n" +
      (spoke.has(node) ? spoke.get(node).text : "did not act");
    circle.append(title);
  }
  const verdict = answer.error ? "failed: " + answer.error
    : answer.reason + "; strict " + points(answer.strict) +
      ", extracted " + points(answer.extracted) +
      (answer.tie ? "; a tie was broken" : "");
  const parts = [make("h3", "Question"), make("pre", question),
    make("h3", "Answer"), make("pre", answer.answer),
    make("p", "Target: " + target + ". " + verdict, credit(answer)),
    make("h3", "Messages")];
  const rounds = answer.said.some((said) => said.round);
  for (const said of answer.said) {
    const section = make("section", "", "said");
    section.dataset.node = said.node;
    const tokens = said.tokens === undefined ? "no model call"
      : said.prompt_tokens + " prompt tokens, " + said.tokens + " completion tokens" +
        (said.cut ? ", cut off" : "");
    const label = run.labels[said.node] ? ", " + run.labels[said.node] : "";
    const round = rounds ? ", round " + ((said.round || 0) + 1) : "";
    section.append(make("strong", said.node + label + round + " "), make("small", tokens),
      make("pre", said.text));
    parts.push(section);
  }
  byId("transcript").replaceChildren(...parts);
}
if (data.runs.length) {
  byId("task").addEventListener("change", showTask);
  byId("method").addEventListener("change", showMethod);
  byId("question").addEventListener("change", showQuestion);
  fill(byId("task"), tasks);
  showTask();
} else {
  byId("transcripts").remove();
}
"""

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Benchmark $title</title>
<style>$style</style>
</head>
<body>
<h1>Benchmark $title</h1>
$tables
<p><small>$notes</small></p>
<h2>Accuracy and cost</h2>
$figures
<div id="transcripts">
<h2>Transcripts</h2>
<select id="task" aria-label="task"></select>
<select id="method" aria-label="method"></select>
<select id="question" aria-label="question"></select>
<p><small>A click on a node shows its message. Nodes that did not act are pale.</small></p>
<div id="network"></div>
<div id="transcript"></div>
</div>
<script type="application/json" id="data">$data</script>
<script>$script</script>
</body>
</html>
""")
