"""What is wrong with a command is told before anything heavy is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from neuromas_env.agents.training.config import TrainConfig
from neuromas_env.bench.config import BenchConfig
from neuromas_env.cli.app import COMMANDS, main

HEAVY = ("torch", "transformers", "peft", "scipy", "pandas", "matplotlib", "sklearn", "datasets")
BENCH = "bench --out o --tasks hierarchy/max --methods direct"
WRONG = {
    "train --task hierarchi/max": "unknown task 'hierarchi/max'. Did you mean 'hierarchy/max'",
    "train --task hierarchy/max:leafs=4": "'leafs'. Did you mean 'leaves'",
    "train --learner jiont": "unknown learner 'jiont'. Did you mean 'joint'",
    "train --learner tabular": "learner 'tabular' trains a TabularEngine from Python",
    "train --learner counterfactual --shaping length=1": "shaping must be left out with learner",
    "train --engine transfomers": "unknown engine 'transfomers'. Did you mean 'transformers'",
    "train --topology 2-x": "'2-x' is not a topology",
    "train --schedule 1:x": "schedule must hold topology:steps",
    "train --model smollm2-135n": "Did you mean 'smollm2-135m'",
    "train --model ./nowhere": "there is no such file or folder",
    "train --prompt role": "unknown value of prompt: 'role'. Did you mean 'roles'",
    "train --eval-split tset": "unknown value of eval_split: 'tset'. Did you mean 'test'",
    "train --advantage leave": "Did you mean 'leave_one_out'",
    "train --shaping lenght=1": "unknown term of shaping: 'lenght'. Did you mean 'length'",
    "train --device gpu": "unknown value of device: 'gpu'",
    "train --stepz 3": "No such option: --stepz",
    "train --resume nowhere": "nowhere is no run folder",
    "train --grow-from nowhere": "no checkpoint in nowhere; give a run folder",
    "eval --run nowhere": "no checkpoint in nowhere; give a run folder",
    "eval --task hierarchi/max": "unknown task 'hierarchi/max'",
    "eval --split tset": "unknown split 'tset'. Did you mean 'test'",
    "eval --policy golden": "unknown policy 'golden'. Did you mean 'gold'",
    "eval --engine mok": "unknown engine 'mok'. Did you mean 'mock'",
    "eval --baseline dirct": "unknown baseline 'dirct'. Did you mean 'direct'",
    "eval --baseline sc:n=3": "unknown option of baseline 'sc': 'n'",
    "eval --topology 2-2": "did you mean '2-2-1'",
    "eval --model smollm2-135n": "Did you mean 'smollm2-135m'",
    f"{BENCH} --engine mok": "unknown engine 'mok'. Did you mean 'mock'",
    f"{BENCH} --split tset": "unknown value of split: 'tset'. Did you mean 'test'",
    f"{BENCH} --model smollm2-135n": "Did you mean 'smollm2-135m'",
    f"{BENCH},dirct": "unknown baseline 'dirct'. Did you mean 'direct'",
    f"{BENCH},sc:n=3": "unknown option of baseline 'sc': 'n'",
    f"{BENCH},neuroms@runs/x": "unknown method 'neuroms@runs/x'. Did you mean 'neuromas@RUN'",
    f"{BENCH},neuromas@nowhere": "method 'neuromas@nowhere': no checkpoint in nowhere",
    "bench --out o --tasks hierarchi/max --methods direct": "unknown task 'hierarchi/max'",
    "adapt gptswrm --out o": "unknown baseline 'gptswrm'. Did you mean 'gptswarm'",
    "adapt gptswarm:agnts=2 --out o": "'agnts'. Did you mean 'agents'",
    "adapt gptswarm --out o --task hierarchi/max": "unknown task 'hierarchi/max'",
    "adapt gptswarm --out o --model smollm2-135n": "Did you mean 'smollm2-135m'",
    "experiment parametrs": "unknown experiment 'parametrs'. Did you mean 'parameters'",
    "experiment parameters --scale tiniest": "'tiniest'. Did you mean 'tiny'",
    "experiment parameters --study codd": "unknown study 'codd'. Did you mean 'coded'",
    "bench-marl --algorithms IQLL": "unknown algorithm 'IQLL'. Did you mean 'IQL'",
    "bench-marl --levels xor-esy-v0": "unknown level 'xor-esy-v0'. Did you mean 'xor-easy-v0'",
    "report nowhere --format html": "unknown format 'html'",
    "report nowhere --score exact": "unknown score 'exact'. Did you mean 'extracted'",
    "report nowhere --reader lm_evl": "unknown reader 'lm_evl'. Did you mean 'lm_eval'",
    "show nowhere": "give a run folder, as training writes it",
    "list taks": "unknown list 'taks'. Did you mean 'tasks'",
    "schema trian": "Did you mean 'train'",
    "trian": "Did you mean 'train'",
}
"""Command line to what its message says."""

RUN = """
import contextlib, importlib.abc, importlib.util, io, json, sys

class Refusing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    "Finds the heavy packages, so that they do not count as missing, and loads none."
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in HEAVY else None

    def exec_module(self, module):
        raise AssertionError(f"{module.__name__} is loaded")

HEAVY, lines = json.loads(sys.argv[1]), json.loads(sys.argv[2])
sys.meta_path.insert(0, Refusing())
from neuromas_env.cli.app import main
found = {}
for line in lines:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main(line.split())
        except SystemExit as end:
            found[line] = end.code, said.getvalue()
        except AssertionError as error:
            found[line] = None, str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each wrong command line exits with and says, in a process that loads nothing heavy."""
    here = tmp_path_factory.mktemp("here")
    command = [sys.executable, "-c", RUN, json.dumps(HEAVY), json.dumps(list(WRONG))]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(here.iterdir())
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_name_is_told_before_anything_heavy_is_loaded(told, line):
    code, said = told[line]
    assert code == 2, said
    assert WRONG[line] in re.sub(r"[\s│]+", " ", said)
    # One message: a line of ours, or the box of the parser of the command line.
    assert len(re.findall(r"^error: .*\n\Z|^╭─ Error ─", said, re.M)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("line", [f"{BENCH},dirct", "train --stepz 3", "--help"])
def test_the_command_loads_nothing_heavy(line, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "neuromas_env", *line.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == (0 if line == "--help" else 2), done.stderr
    loaded = {row.rpartition("|")[2].strip() for row in done.stderr.splitlines() if "|" in row}
    assert "neuromas_env.cli.app" in loaded and not loaded & {*HEAVY}
    if "dirct" not in line:  # a baseline's name is looked up among modules that need these
        assert not loaded & {"numpy", "neuromas_env.tasks.readers.lexicon"}


@pytest.mark.slow
def test_the_package_starts_within_half_a_second():
    code = (
        "import sys, time; start = time.process_time()\n"
        "import neuromas_env; print(time.process_time() - start)\n"
        f"print({{*{HEAVY!r}, 'numpy', 'gymnasium', 'pettingzoo'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.splitlines()
    # Processor time, so that a busy machine does not count; about 0.03 s.
    assert float(seconds) < 0.5 and loaded == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("order", ["neuromas_env, {}", "{}, neuromas_env"], ids=["first", "last"])
def test_environments_are_registered_whichever_is_imported_first(order):
    code = (
        f"import {order.format('gymnasium, pettingzoo')}\n"
        "print(*pettingzoo.make('aec', 'neuromas/xor-easy-v0').possible_agents)\n"
        "print(gymnasium.make('neuromas/Task-v0', task='signal').unwrapped)"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.startswith("node_0 node_1 node_2\n"), done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_completion_offers_names_and_values(monkeypatch, capsys):
    def offered(line):
        words = line.split(" ")
        monkeypatch.setenv("_NEUROMAS_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit):
            main([])
        return capsys.readouterr().out.split()

    assert offered("neuromas train --learner jo") == ["joint"]
    assert offered("neuromas train --prompt ro") == ["roles"]
    assert offered("neuromas bench --methods direct,deb") == [
        "direct,debate",
        "direct,debate_llm_agg",
    ]
    assert "hierarchy/max" in offered("neuromas eval --task hierarchy/")
    assert offered("neuromas list ta") == ["tasks"]
    assert "eval" in offered("neuromas e")


@pytest.mark.slow
def test_commands_and_options_stand_in_panels(monkeypatch, capsys):
    def panels(*args):
        monkeypatch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit):
            main([*args, "--help"])
        out, found = capsys.readouterr().out, {}
        for line in out.splitlines():
            if head := re.match(r"╭─ (.+?) ─", line):
                rows = found.setdefault(head[1], [])
            elif row := re.match(r"│ [* ]*((?:--)?[a-z][\w-]*)", line):
                rows.append(row[1])
        return found

    commands = panels()
    names = [name for head, rows in commands.items() if head != "Options" for name in rows]
    assert names[:3] == ["train", "eval", "show"] and {"bench", "list"} <= {*names}
    options = panels("train")
    assert list(options) == ["Options", "Task", "Network", "Model", "Learning", "Run"]
    assert options["Options"] == ["--config", "--resume", "--checkpoint", "--help"]
    assert "--task" in options["Task"] and "--topology" in options["Network"]
    assert "--device" in options["Model"] and "--learner" in options["Learning"]
    assert "--seed" in options["Run"]
    assert list(panels("eval"))[1:4] == ["Task", "Network", "Model"]


@pytest.mark.slow
def test_help_fits_a_narrow_terminal(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for _, name, *_ in COMMANDS:
        for _ in range(2):  # the commands are made once, and their help is the same each time
            with pytest.raises(SystemExit):
                main([name, "--help"])
            out = capsys.readouterr().out
            assert "…" not in out and "()" not in out, name
            assert name != "train" or "--[no-]gradient-checkpointing  " in out
    with pytest.raises(SystemExit):  # and both forms are taken
        main(["eval", "--skip-bad-rows", "--no-skip-bad-rows", "--task", "hierarchi/max"])
    assert "unknown task" in capsys.readouterr().err


@pytest.mark.parametrize("options", [TrainConfig, BenchConfig])
def test_every_option_has_a_panel(options):
    assert [one.name for one in fields(options) if not one.metadata["panel"]] == []
