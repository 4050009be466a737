"""Writes the generated part of the pages in `results/` and their figures, from their archives.

    python docs/make_results.py                # all pages
    python docs/make_results.py growth credit  # some

The part stands between the marks BEGIN and END; what is written by hand around it stays.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

from neuromas_env.bench.plots import to_svg
from neuromas_env.bench.report import write_report
from neuromas_env.bench.store import FILE
from neuromas_env.experiments.run import HEAD
from neuromas_env.experiments.verify import remake, unpacked
from neuromas_env.files import read

RESULTS = Path(__file__).resolve().parent / "results"
ROOT = RESULTS.parent.parent
BEGIN, END = "<!-- made by docs/make_results.py -->", "<!-- end of what is made -->"
READER = "neuromas"
STEPS = 30  # of the main job, whose tries are drawn
COLUMNS = 3  # of the figure of tries
PART = re.compile(r"(--seeds|--tasks)[= ](\S+)")  # options without which a command does more


def archives() -> dict[str, Path]:
    """Return every archive of results by the name of its page."""
    found = sorted([*RESULTS.rglob("*.tar.xz"), *RESULTS.rglob("*.sqlite.xz")])
    return {re.sub(r"(-answers)?\.(tar|sqlite)\.xz$", "", path.name): path for path in found}


def experiment(head: Path, archive: Path, page: Path) -> str:
    """Return an experiment's report, its figures put beside the page."""
    known = read(head)  # as the last command left it: what follows adds one of its own
    report = remake(head.parent)
    for drawn in [*head.parent.glob("*.svg"), *head.parent.glob("*.csv")]:
        shutil.copy(drawn, page.with_name(drawn.name))
    up = "../" * (len(page.relative_to(RESULTS).parts) - 1)
    text = report.read_text(encoding="utf-8").replace("(log.md)", f"({up}log/{page.name})")
    scale = known.get("scale", "tiny")
    command = f"neuromas experiment {known['name']}{'' if scale == 'tiny' else f' --scale {scale}'}"
    last = known["made"][-1]["command"]
    command += "".join(f" {option} {value}" for option, value in PART.findall(last))
    checked = f"neuromas verify {archive.relative_to(ROOT)}"
    check = f"{checked} \\\n        --page {page.relative_to(ROOT)}"
    return (
        f"{text}\nAll answers and outcomes: [{archive.name}]({archive.name}). Unpacked, the first "
        "command makes this report from them; the second checks the page against its archive:\n\n"
        f"    {command} --out {head.parent.name}\n    {check}\n"
    )


def benchmark(store: Path, page: Path) -> str:
    """Return the tables of a benchmark, its figure put beside the page."""
    write_report(Console(quiet=True), store.parent, reader=READER)
    drawn = store.parent / f"accuracy-tokens-{READER}.svg"
    shutil.copy(drawn, page.with_name(f"{page.stem}-accuracy-tokens.svg"))
    text = (store.parent / f"report-{READER}.md").read_text(encoding="utf-8")
    return text[text.index("\n\n**") + 2 :]


def verdicts() -> str:
    """Return the table of all claims and their verdicts, as the pages of experiments have them."""
    found: dict[str, dict[str, str]] = {}
    for page in sorted((RESULTS / "experiments").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        [title, *_] = re.findall(r"^# ([^:\n]*)", text, re.M)
        [claim] = re.findall(r"^\*\*Claim\.\*\* (.*)$", text, re.M)
        [line] = re.findall(r"^\*\*Verdict\.\*\* (.*)$", text, re.M)
        row = found.setdefault(title, {"claim": claim})
        for networks, verdict in re.findall(r"([^.*]+): \*\*(.+?)\*\*", line):
            row[networks.strip()] = f"[{verdict}](experiments/{page.name})"
    heads = list(dict.fromkeys(head for row in found.values() for head in row))
    lines = [["experiment", *heads], ["---"] * (len(heads) + 1)]
    lines += [[title, *(row.get(head, "") for head in heads)] for title, row in found.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speed() -> str:
    """Return a table for each kind of machine of what benchmarks/run.py has measured there."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for run in json.loads((RESULTS / "speed.json").read_text(encoding="utf-8")):
        kinds.setdefault(f"{run['machine']}, {run['instructions']}", []).append(run)
    return "\n\n".join(f"## {kind}\n\n{_speed(runs)}" for kind, runs in kinds.items())


def _speed(runs: list[dict[str, Any]]) -> str:
    found: dict[str, dict[str, str]] = {}
    notes = []
    for run in runs:
        scripts = run["scripts"].values()
        for row in (row for script in scripts for row in script["rows"]):
            if row["verdict"] == "left out":
                continue
            missed = row["verdict"] in ("MISSED", "FAILED")
            value = row["measured"] or ("missed" if missed else "reached")
            line = found.setdefault(row["what"], {"target": row["target"]})
            line[run["size"]] = f"**{value}**" if missed else value
        seconds = [script["seconds"] for script in scripts]
        of = [", ".join(f"{name} {one}" for name, one in run["versions"].items())]
        of.append("commit " + ", ".join(dict.fromkeys(script["commit"] for script in scripts)))
        if None not in seconds:
            of.append(f"{sum(seconds) / 60:.0f} minutes")
        notes.append(f"- {run['size']}: {'; '.join(filter(None, of))}")
    sizes = [run["size"] for run in runs]
    lines = [["what", *sizes, "target"], ["---", *["---:"] * len(sizes), "---"]]
    for what, row in found.items():
        lines.append([what, *(row.get(size, "-") for size in sizes), row["target"]])
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *notes])


def recipe(folder: Path) -> str:
    """Return the tables of the recipe; write the figure of its tries to the folder of the data."""
    with (folder / "recipe.csv").open(encoding="utf-8") as file:
        tries = list(csv.DictReader(file))
    best: dict[tuple[str, str], float] = {}
    for one in tries:
        place = one["task"], one["topology"]
        best[place] = max(best.get(place, 0), float(one["last_strict"] or 0))
    head = ("try", "task, network, seed", "imitates", "rollouts, temperature, rate", "steps")
    lines = [[*head, "before", "end", "constant"], [*["---"] * 4, *["---:"] * 4]]
    for one in tries:
        taken, steps = one["taken"], one["steps"]
        before = f"{_percent(one['before_strict'])}, {_percent(one['before_extracted'])}"
        end = "-"
        if taken == steps:
            last = one["last_strict"]
            end = f"{_percent(last)}, {_percent(one['last_extracted'])}"
            if float(last) == best[one["task"], one["topology"]]:
                end = f"**{end}**"
        lines.append(
            [
                one["try"],
                f"{one['task'].split('/')[1].split(':')[0]}, `{one['topology']}`, {one['seed']}",
                f"{one['imitates']}, {one['warm_up']} steps",
                f"{one['questions']} x {one['rollouts']}, {one['temperature']}, "
                f"{one['learning_rate']}",
                steps if taken == steps else f"{taken} of {steps}, stopped",
                before,
                end,
                _percent(one["constant"]),
            ]
        )
    (folder / "recipe.svg").write_text(_tries(folder / "recipe-steps.csv"), encoding="utf-8")
    made = "All tries, also those that failed:"
    tables = _tasks(folder / "recipe-tasks.csv"), _learners(folder / "recipe-learners.csv")
    return "\n\n".join([*tables, made, _markdown(lines)])


def _learners(path: Path) -> str:
    """Return the table of what other learners reach with the recipe, a line for each."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    with path.open(encoding="utf-8") as file:
        for one in csv.DictReader(file):
            scores = ", ".join(map(_percent, dict.fromkeys([one["strict"], one["extracted"]])))
            found.setdefault((one["learner"], one["topology"]), {})[one["learning_rate"]] = scores
    rates = next(iter(found.values()))
    lines = [["learner, network", *(f"rate {rate}" for rate in rates)]]
    lines.append(["---", *["---:"] * len(rates)])
    lines += [[f"{name}, `{shape}`", *scores.values()] for (name, shape), scores in found.items()]
    said = (
        "All learners on the main job, seed 1000, right answers in % of 128 validation questions:"
    )
    return f"{said}\n\n{_markdown(lines)}"


def _tasks(path: Path) -> str:
    """Return the table of what the defaults reach on many tasks, a line for each network."""
    runs: dict[tuple[str, str], list[dict[str, str]]] = {}
    with path.open(encoding="utf-8") as file:
        for one in csv.DictReader(file):
            runs.setdefault((one["task"].removesuffix(":level=1"), one["topology"]), []).append(one)
    head = ("task, network", "before", "test, seed 0", "95 %", "seeds 1 and 2", "constant")
    lines = [[*head, "same answer", "s"], ["---", *["---:"] * 7]]
    for (task, topology), seeds in runs.items():
        scores = []
        for one in seeds:
            score = ", ".join(map(_percent, dict.fromkeys([one["strict"], one["extracted"]])))
            better = float(one["strict"]) > float(one["constant"])
            scores.append(score if better else f"**{score}**")
        first = seeds[0]
        lines.append(
            [
                f"{task}, `{topology}`",
                f"{_percent(first['before_strict'])}, {_percent(first['before_extracted'])}",
                scores[0],
                f"{_percent(first['low'])} to {_percent(first['high'])}",
                "; ".join(scores[1:]) or "-",
                _percent(first["constant"]),
                "; ".join(f"{float(one['same_answer']):.2f}" for one in seeds),
                str(round(sum(int(one["seconds"]) for one in seeds) / len(seeds))),
            ]
        )
    return _markdown(lines)


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: str) -> str:
    return f"{100 * float(share):.1f}"


def _tries(path: Path) -> str:
    """Draw the sampled scores of the tries on the main job that ended, a panel for each."""
    runs: dict[str, dict[str, list[tuple[int, float, float]]]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["topology"] == "2-1":
                name, _, seed = row["try"].partition(" seed ")
                scores = int(row["step"]), float(row["strict"]), float(row["extracted"])
                runs.setdefault(name, {}).setdefault(seed, []).append(scores)
    whole = {name: seeds for name, seeds in runs.items() if min(map(len, seeds.values())) == STEPS}
    rows = -(-len(whole) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
    axes = panels.flatten()[: len(whole)]
    for unused in panels.flatten()[len(whole) :]:
        unused.remove()
    for axis, (name, seeds) in zip(axes, whole.items(), strict=True):
        for number, scores in enumerate(seeds.values()):
            steps, strict, extracted = zip(*scores, strict=True)
            colour, dots = f"C{number}", None if number else "extracted"
            axis.plot(steps, strict, color=colour, label=f"strict, seed {number}")
            axis.plot(steps, extracted, ":", color=colour, label=dots)
        axis.set(title=name, ylim=(-0.02, 1))
    for axis in panels[:, 0]:
        axis.set_ylabel("share of right samples")
    for axis in panels[-1]:
        axis.set_xlabel("step")
    axes[0].legend(fontsize=7)
    return to_svg(figure)


def put(page: Path, text: str) -> None:
    """Write the generated part of a page below its title; a new page has the text's."""
    held = page.read_text(encoding="utf-8") if page.is_file() else ""
    title = re.match(r"# .*\n", text)
    if BEGIN not in held:
        held = f"{title[0] if title else ''}\n{BEGIN}"
    before, _, rest = held.partition(BEGIN)
    text = text.removeprefix(title[0] if title else "")
    after = rest.partition(END)[2] or "\n"
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}", encoding="utf-8")
    print(page)


def main(names: list[str]) -> None:
    """Write the pages of the names, all without any."""
    for name, archive in archives().items():
        if names and name not in names:
            continue
        page = archive.with_name(f"{name}.md")
        with unpacked(archive) as folder:
            [head, *_] = [*folder.rglob(HEAD), *folder.rglob(FILE)]
            known = head.name == HEAD
            text = experiment(head, archive, page) if known else benchmark(head, page)
        put(page, text)
    put(RESULTS / "index.md", verdicts())
    put(RESULTS / "speed.md", speed())
    put(RESULTS / "recipe.md", recipe(RESULTS))


if __name__ == "__main__":
    main(sys.argv[1:])
