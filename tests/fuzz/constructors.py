"""Bad arguments: public constructors and functions, by the kinds of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium
import networkx
import numpy as np
import pettingzoo
from support.toy_engine import ToyEngine

import neuromas_env as package
from neuromas_env import Topology, discrete_v0, make_task, neuromas_v0
from neuromas_env.agents.engines.cached import CachedEngine
from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.agents.engines.models import LoadedModel
from neuromas_env.agents.engines.openai import OpenAIEngine
from neuromas_env.agents.engines.tools import Tool, ToolEngine
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.agents.learners.actor_critic import ActorCritic, Critic
from neuromas_env.agents.learners.advantage import Advantage
from neuromas_env.agents.learners.counterfactual import Counterfactual
from neuromas_env.agents.learners.independent import Independent
from neuromas_env.agents.learners.make import make_learner
from neuromas_env.agents.learners.names import list_learners
from neuromas_env.agents.learners.reinforce import Reinforce
from neuromas_env.agents.learners.shaping import Shaped
from neuromas_env.agents.learners.tabular import TabularEngine, TabularReinforce
from neuromas_env.agents.prompts import build_prompt
from neuromas_env.agents.tables.registry import make_algorithm
from neuromas_env.baselines.net import Script, Setup
from neuromas_env.bench.statistics import Estimand, mean_interval
from neuromas_env.bench.store import Store
from neuromas_env.envs.aec import AECNetwork
from neuromas_env.envs.discrete.channel import DiscreteChannel
from neuromas_env.envs.discrete.layout import Layout
from neuromas_env.envs.discrete.levels import level
from neuromas_env.envs.discrete.tasks import DiscreteTask, make_discrete_task
from neuromas_env.envs.discrete.vector import VectorNetwork
from neuromas_env.envs.discrete.views import OneLearnerView, TurnView
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.parallel import ParallelNetwork
from neuromas_env.envs.schedules import output_last, until
from neuromas_env.envs.single import TaskEnv
from neuromas_env.envs.text import TextChannel
from neuromas_env.experiments.load import load
from neuromas_env.experiments.options import DiscreteOptions
from neuromas_env.tasks.readers import get_reader
from neuromas_env.tasks.reply import Reply
from neuromas_env.tasks.sandbox import Sandbox
from neuromas_env.tasks.sandbox.verdicts import Program

NAN, INF = float("nan"), float("inf")
WRONG: dict[str, tuple[Any, ...]] = {
    "count": (-1, 0, 1.5, "x", None, True, NAN, 2**63, [], b"1"),
    "natural": (-1, 1.5, "x", None, True, NAN, 10**400, [], b"1"),
    "seed": (-1, 1.5, "x", True, NAN, [], b"1"),
    "rate": (NAN, INF, -1.0, "x", None, [], 10**400),
    "share": (NAN, INF, -0.5, 1.5, "x", None, [], 10**400),
    "flag": ("x", 2, None, []),
    "name": (None, 3, "", "no such", [], b"x", "x" * 500, "\0", "[/x]", "../.."),
    "text": (None, 3, [], b"x"),
    "texts": (None, 3, [3], {"a": 1}),
    "object": (None, 3, "no such", [], object()),
    "mapping": (3, "x", [3], [[]]),
    "table": (3, [3], [[]]),
    "folder": (3, [], "", "no/such", b"x", "\0"),
    "index": (-1, 1.5, "x", None, True, NAN, 2**63, [], b"1"),
    "text key": (None, 3, "", "no such", "\0"),
    "path": (3, [], "", b"x", "\0"),
    "kind": (None, 3, [], object()),
    "texts or nothing": (None, 3, {"a": 1}),
    "register": (None, 3, "", [], b"x", "\0", "[/x]", "../.."),
    "edges": (None, 3, "x", [3], [[0]], [[0, 1, 2]], [["a", "b"]], [[0, 0]], [[1, 0]], [[-1, 0]],
              [[0, 10**9]], [[None, 1]], [[0.5, 1]], {"a": 1}),
    "sizes": (None, 3, "x", [0], [1.5], ["x"], {"a": 1}),
    "widths": (None, 3, "2-1", [], [0], [1.5, 1], [True], [2, 0, 1], [2, 2], [10**9, 1], ["1"]),
}  # fmt: skip
"""Wrong values of each kind of argument. Of a kind that ends in `?` None is right."""

_task, _one, _pair = make_task("signal:symbols=3"), Topology.parse("1"), Topology.parse("1-1")
_engine, _words = MockEngine(["a"]), TabularEngine(["a", "b"])
_example, _layout = _task.examples("train")[0], discrete_v0.make_layout("xor", "2-1")
_method = package.llm_network(_pair, _task, _engine)
_channel = TextChannel(_task)
TRAINED = ToyEngine()
_table = np.linspace(0, 1, 12).reshape(4, 3)

ROWS = [{"question": f"Which {i}?", "answer": str(i)} for i in range(20)]
Row = tuple[str, Callable[..., Any], dict[str, Any], dict[str, str]]
OPTIONAL = {"temperature": "rate?", "max_new_tokens": "count?"}
NUMBERS = {"temperature": "rate", "max_new_tokens": "count"}


def _learner(name: str, **given: Any) -> Any:
    """Make a learner as training does, on a network of three nodes that it can train."""
    topology = "1-1-1:skip" if name == "malt" else "2-1"
    return make_learner(name, config=package.TrainConfig(topology=topology), **given)


ROWS: list[Row] = [
    ("Topology", Topology, {"size": 2, "edges": (("node_0", "node_1"),)},
     {"size": "count", "edges": "edges"}),
    ("Topology.parse", Topology.parse, {"text": "2-1"}, {"text": "name", "connect": "name"}),
    ("Topology.layered", Topology.layered, {"widths": [2, 1]},
     {"widths": "widths", "connect": "name"}),
    ("Topology.tree", Topology.tree, {"leaves": 2}, {"leaves": "count"}),
    ("Topology.from_edges", Topology.from_edges, {"edges": [(0, 1)]},
     {"edges": "edges", "n_nodes": "count?"}),
    ("Topology.from_json", Topology.from_json, {"data": _pair.to_json()}, {"data": "object"}),
    ("Topology.from_json, a key",
     lambda nodes=2, edges=((0, 1),): Topology.from_json({"nodes": nodes, "edges": edges}), {},
     {"nodes": "count?", "edges": "edges"}),
    ("Topology.from_networkx", Topology.from_networkx, {"graph": networkx.DiGraph([(0, 1)])},
     {"graph": "object"}),
    ("Topology.grow_to", _one.grow_to, {"other": _pair}, {"other": "object", "mapping": "mapping"}),
    ("Topology.layer_of", _pair.layer_of, {"node": "node_0"}, {"node": "name"}),
    ("Sampling", package.Sampling, {}, NUMBERS),
    ("Request", package.Request, {"turns": (("user", "a"),), "engine": _engine},
     {"turns": "texts", "adapter": "kind?", "sampling": "object", "seed": "seed"}),
    ("Completion", package.Completion, {"text": "a"}, {"text": "text"}),
    ("Example", package.Example, {"id": "a", "question": "b", "target": "c"},
     {"id": "text", "question": "text", "target": "text", "parts": "texts"}),
    ("Score", package.Score, {"strict": 1.0, "extracted": 1.0, "reason": "ok"},
     {"strict": "share", "extracted": "share", "reason": "name", "answer": "kind?"}),
    ("Reply", Reply, {"text": "a"}, {"text": "text", "cut_off": "flag"}),
    ("Form", package.tasks.Form, {"kind": "number"}, {"kind": "name", "words": "texts"}),
    ("Method", package.Method, {"topology": _pair, "team": _method.team},
     {"topology": "object", "team": "object", "calls": "natural"}),
    ("llm_network", package.llm_network, {"topology": _pair, "task": _task, "engine": _engine},
     {"topology": "object", "task": "object", "engine": "object", "sampling": "object?",
      "adapter_of": "mapping"}),
    ("LLMPolicy", package.LLMPolicy, {"engine": _engine, "prompt": build_prompt},
     {"engine": "object", "prompt": "object", "sampling": "object", "adapter": "kind?",
      "control": "flag"}),
    ("Setup", Setup, {"name": "mine", "task": _task, "engine": _engine},
     {"name": "text", "task": "object", "engine": "object", **OPTIONAL}),
    ("Script", Script, {"say": str}, {"say": "object"}),
    ("ToolEngine", ToolEngine, {"name": "mine", "run": list},
     {"name": "text", "run": "object", "use": "text"}),
    ("Tool", Tool, {"engine": ToolEngine("mine", list)}, {"engine": "object", "most": "natural?"}),
    ("Program", Program, {"readings": (("f = 1",),), "names": ("f",), "tests": ""},
     {"readings": "texts", "names": "texts", "tests": "text", "setup": "text", "free": "flag",
      "seconds": "count", "wall_seconds": "count", "shows": "natural"}),
    ("Advantage", Advantage, {}, {"mode": "name", "decay": "share"}),
    ("Reinforce", Reinforce, {"engine": TRAINED, "nodes": ["a"]},
     {"engine": "object", "nodes": "texts", "learning_rate": "rate", "warmup_steps": "natural",
      "decay_steps": "natural", "weight_decay": "rate", "clip": "rate", "temperature": "rate",
      "advantage": "name", "kl_coef": "rate", "entropy_coef": "rate", "importance_cap": "rate",
      "kl_every": "count", "adapter_of": "table"}),
    ("Critic", Critic,
     {"engine": TRAINED, "name": "c", "learning_rate": 1.0, "clip": 1.0, "seed": 0},
     {"engine": "object", "name": "text", "learning_rate": "rate", "clip": "rate", "scale": "rate",
      "seed": "natural"}),
    ("Independent", Independent, {"learners": {}}, {"learners": "table"}),
    ("ActorCritic", ActorCritic,
     {"actors": Independent({}), "advantages": str, "critics": {}},
     {"actors": "object", "advantages": "object", "critics": "table"}),
    ("Shaped", Shaped, {"learner": Independent({}), "terms": {}},
     {"learner": "object", "terms": "table"}),
    ("Counterfactual", Counterfactual,
     {"learner": Independent({}), "nodes": ["node_0"], "topology": _pair, "replay": str},
     {"nodes": "texts", "topology": "object", "replay": "object", "advantage": "name",
      "seed": "natural"}),
    *[(f"learner {name}", partial(_learner, name), {"engine": TRAINED, "nodes": ["a"]},
       {"engine": "object", "nodes": "texts"}) for name in list_learners()],
    ("TransformersEngine", TransformersEngine, {"base": LoadedModel(None, None, "a", "b")},
     {"base": "object", "rank": "count", "alpha": "rate", "targets": "texts",
      "chunk_rows": "count", "token_budget": "count", "gradient_checkpointing": "flag",
      "packed_weights": "mapping?"}),
    ("MockEngine", MockEngine, {}, {"replies": "mapping", "fail": "texts or nothing"}),
    ("TabularEngine", TabularEngine, {"words": ["a", "b"]}, {"words": "texts"}),
    ("TabularReinforce", TabularReinforce, {"engine": _words, "nodes": ["node_0"]},
     {"learning_rate": "rate", "advantage": "name", "entropy_coef": "rate", "nodes": "texts"}),
    ("OpenAIEngine", OpenAIEngine, {"model": "m", "base_url": "http://localhost:1/v1",
                                    "api_key": "k"},
     {"model": "text", "concurrency": "count", "retries": "seed", "timeout": "rate",
      "requests_per_minute": "rate?", "tokens_per_minute": "rate?"}),
    ("CachedEngine", CachedEngine, {"engine": _engine, "identity": {}, "path": "{tmp}/cache"},
     {"path": "path"}),
    ("TrainConfig", package.TrainConfig, {},
     {"task": "text", "topology": "name", "connect": "name", "seed": "seed", "steps": "seed",
      "questions": "count", "rollouts": "count", "reward": "name", "temperature": "rate",
      "advantage": "name", "learning_rate": "rate", "rank": "count", "alpha": "rate",
      "targets": "text", "dtype": "name", "device": "name", "skip_bad_rows": "flag",
      "shaping": "text", "clip": "rate", "gamma": "rate?", "train_nodes": "name"}),
    ("BenchConfig", package.BenchConfig,
     {"out": "{tmp}/bench", "methods": ("direct",), "tasks": ("hierarchy/max",)},
     {"out": "text", "methods": "texts", "tasks": "texts", "limit": "count?",
      "seeds": "texts or nothing",
      "split": "name", "temperature": "rate?", "chunk": "count", "concurrency": "count",
      "retries": "seed", "requests_per_minute": "rate?", "prices": "edges?"}),
    ("DiscreteOptions", DiscreteOptions, {},
     {"topology": "name", "codebook": "count?", "bandwidth": "count", "learner": "name",
      "credit": "name", "questions": "count", "rollouts": "count", "grow_init": "name"}),
    ("Sandbox", Sandbox, {}, {"tier": "name?", "workers": "count?"}),
    ("Store", Store, {"folder": "{tmp}"}, {"folder": "folder"}),
    ("QuestionAnswer", package.QuestionAnswer, {"name": "mine", "rows": ROWS},
     {"name": "text", "rows": "kind", "answer": "name", "tables": "table", "read": "mapping",
      "max_new_tokens": "count", "answer_format": "text"}),
    ("make_task", make_task, {"name": "hierarchy/max"},
     {"name": "name", "data": "kind?", "leaves": "count", "depth": "count", "parts": "natural",
      "branching": "count", "seed": "seed", "level": "natural"}),
    ("make_task of signal", make_task, {"name": "signal"}, {"symbols": "count"}),
    ("make_task of rows", make_task, {"name": "arc/easy", "data": "{tmp}"}, {"shots": "natural"}),
    ("check_task", package.testing.check_task, {"task": _task},
     {"task": "object", "rows": "count"}),
    ("Episode", Episode, {"topology": _pair, "channel": _channel, "example": _example},
     {"topology": "object", "channel": "object"}),
    ("AECNetwork", AECNetwork, {"topology": _pair, "channel": _channel},
     {"topology": "object", "channel": "object", "schedule": "mapping", "render_mode": "name?"}),
    ("ParallelNetwork", ParallelNetwork, {"topology": _pair, "channel": _channel},
     {"topology": "object", "channel": "object", "render_mode": "name?"}),
    ("TextChannel", TextChannel, {"task": _task},
     {"task": "object", "split": "name?", "reward": "name", "max_message_length": "count",
      "deals_parts": "flag"}),
    ("DiscreteChannel", DiscreteChannel, {"layout": _layout},
     {"layout": "object", "observation": "name"}),
    ("Layout", Layout,
     {"task": _layout.task, "topology": _pair, "codebook": 2, "bandwidth": 1},
     {"task": "object", "topology": "object", "codebook": "count", "bandwidth": "count",
      "clock": "flag"}),
    ("DiscreteTask", DiscreteTask, vars(_layout.task),
     {"name": "text", "parts": "sizes", "query": "sizes", "query_readers": "name",
      "answers": "count", "rule": "object"}),
    ("TaskEnv", TaskEnv, {"task": _task},
     {"task": "object", "split": "name", "reward": "name", "data": "kind?",
      "max_message_length": "count", "render_mode": "name?"}),
    ("make_baseline", package.make_baseline, {"name": "direct", "task": _task, "engine": None},
     {"name": "name", "task": "object", **OPTIONAL}),
    ("make_algorithm", partial(make_algorithm, seed=0, updates=1),
     {"name": "IQL", "layout": _layout},
     {"name": "name", "rate": "rate", "explore": "share", "layout": "object"}),
    ("make_algorithm of PPO", partial(make_algorithm, seed=0, updates=1),
     {"name": "IPPO", "layout": _layout},
     {"rate": "rate", "entropy": "rate", "epochs": "count", "clip": "rate", "critic_rate": "rate",
      "critic_steps": "count", "credit": "name"}),
    ("run_episodes", package.run_episodes,
     {"method": _method, "task": _task, "examples": [_example]},
     {"method": "object", "task": "object", "examples": "mapping", "seed": "seed",
      "rollouts": "count", "reward": "name", "numbers": "texts or nothing?", "branches": "count"}),
    ("evaluate", package.evaluate, {"method": _method, "task": _task, "examples": [_example]},
     {"method": "object", "task": "object", "examples": "mapping", "seed": "seed"}),
    ("compare", package.compare, {"method": _table, "reference": _table[:, ::-1]},
     {"method": "object", "reference": "object", "estimand": "name?"}),
    ("compare, shapes", package.compare, {"method": _table, "reference": _table},
     {"method": "edges"}),
    ("mean_interval", mean_interval, {"scores": _table, "estimand": Estimand.METHOD},
     {"scores": "object", "estimand": "name"}),
    ("matched_self_consistency", package.baselines.matched_self_consistency,
     {"tokens_per_question": 100.0, "tokens_per_sample": 10.0},
     {"tokens_per_question": "rate", "tokens_per_sample": "rate", "tolerance": "rate"}),
    ("register_task", package.tasks.register_task, {"name": "mine", "make": lambda: _task},
     {"name": "register"}),
    ("register_baseline", package.baselines.register_baseline, {"name": "mine", "build": print},
     {"name": "register"}),
    ("register_learner", package.learners.register_learner,
     {"name": "mine", "learner": package.Learner},
     {"name": "register"}),
    ("resume", package.resume, {"folder": "{tmp}"}, {"folder": "folder"}),
    ("grow", package.grow, {"run": "{tmp}", "topology": "2-1"},
     {"run": "folder", "topology": "name"}),
    ("train", package.train, {"config": None}, {"config": "object"}),
    ("run_benchmark", package.run_benchmark, {"config": None}, {"config": "object"}),
    ("load", load, {"name": "parameters"}, {"name": "name", "scale": "name", "seeds": "count?"}),
    ("get_reader", get_reader, {"name": "neuromas"}, {"name": "name"}),
    ("env", package.env, {},
     {"task": "object", "topology": "name", "split": "name", "reward": "name",
      "max_message_length": "count", "render_mode": "name?"}),
    ("env, schedule", lambda schedule=None: package.env(schedule=schedule).reset(seed=0), {},
     {"schedule": "mapping"}),
    ("env().reset", lambda **given: package.env().reset(**given), {},
     {"seed": "seed", "options": "mapping"}),
    ("env().reset, index", lambda index: package.env().reset(0, {"index": index}), {"index": 0},
     {"index": "index?"}),
    ("env().reset, others", lambda key, value: package.env().reset(0, {key: value}),
     {"key": "mask", "value": [True] * 3}, {"key": "text key", "value": "mapping"}),
    ("env().reset, prefix",
     lambda prefix: package.env(topology="2-1:rounds=2").reset(0, {"prefix": prefix}),
     {"prefix": {}}, {"prefix": "mapping"}),
    ("one_learner", neuromas_v0.one_learner, {},
     {"task": "object", "topology": "name", "learner": "name", "others": "mapping"}),
    ("turns", neuromas_v0.turns, {}, {"task": "object", "topology": "name"}),
    ("output_last", output_last, {"topology": _pair}, {"topology": "object"}),
    ("until", until, {"predicate": str.isupper}, {"predicate": "object"}),
    ("parallel_env", package.parallel_env, {},
     {"task": "object", "topology": "name", "reward": "name", "render_mode": "name?"}),
    ("parallel_env().step", lambda actions: _open(package.parallel_env()).step(actions),
     {"actions": {}}, {"actions": "mapping"}),
    ("gymnasium.make", lambda **given: gymnasium.make("neuromas/Hierarchy-v0", **given), {},
     {"kind": "name", "split": "name", "max_message_length": "count"}),
    ("pettingzoo.make",
     lambda **given: pettingzoo.make("aec", "neuromas/network-v0", **given), {},
     {"task": "object", "topology": "name"}),
    ("discrete_v0.env", discrete_v0.env, {},
     {"task": "name", "topology": "name", "codebook": "count?", "bandwidth": "count",
      "observation": "name", "render_mode": "name?", "clock": "flag"}),
    ("discrete_v0.env().reset", lambda **given: discrete_v0.env().reset(**given), {},
     {"seed": "seed", "options": "mapping"}),
    ("discrete_v0.env().step", lambda action: _open(discrete_v0.env()).step(action),
     {"action": 0}, {"action": "index"}),
    ("level", level, {"name": "xor-easy-v0"}, {"name": "name"}),
    ("make_discrete_task", make_discrete_task, {"task": "xor"}, {"task": "name"}),
    ("VectorNetwork", VectorNetwork, {},
     {"task": "name", "topology": "name", "codebook": "count?", "bandwidth": "count",
      "observation": "name", "batch": "count", "seed": "seed", "clock": "flag"}),
    ("VectorNetwork.step", lambda actions: _open(VectorNetwork(batch=2)).step(actions),
     {"actions": np.zeros((2, 2), np.int64)}, {"actions": "object"}),
    ("TurnView", TurnView, {}, {"task": "name", "observation": "name", "render_mode": "name?"}),
    ("OneLearnerView", OneLearnerView, {}, {"learner": "name", "others": "mapping"}),
]  # fmt: skip


def _open(env: Any) -> Any:
    env.reset(seed=0)
    return env


def calls() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Yield a row's name, what is wrong, and the call."""
    for name, function, right, kinds in ROWS:
        for argument, kind in kinds.items():
            for value in WRONG[kind.removesuffix("?")]:
                if value is None and kind.endswith("?"):
                    continue
                given = {**right, argument: value}
                shown = f"{argument}={type(value).__name__} {str(value)[:20]!r}"
                yield name, shown, partial(function, **given)
