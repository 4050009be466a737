"""Baselines by name: each is a topology and a policy for every node of it.

A baseline is a function of one short file that takes a `Setup` (task, engine, decoding)
and its options with their canonical values as defaults, and returns a `Method`:

    topology, team   the network; `LLMPolicy` nodes call a model, `Script` and `Vote` nodes do not
    schedule         optional pure function of the messages so far: who acts next
    options          optional function of the question's text: mask or graph of its episode
    labels, name     for people
    calls, sampled   most model calls per question; whether the seed matters (if not, run once)
    tied(trajectory) whether a tie was broken; None if nothing is voted on

`make_baseline("sc:k=5,temperature=0.7", task, engine)` builds one, and
`run_episodes` runs it as it runs trained networks. Besides its own
options every baseline takes `temperature` (of all nodes), `max_new_tokens` (of every
reply) and, where models read one another, `prompts=role_free` for the prompt of trained
networks in place of the method's own. What is not given is canonical.

`register_baseline` adds one in code, other packages do by the entry point group
`neuromas_env.baselines`: the entry's name is the baseline's, its value the function, or a `Fitted`
for one that learns before it is tested.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from neuromas_env.baselines.net import Fitted, Net, NoEngine, Script, Setup, texts, without_roles
from neuromas_env.baselines.prompts import solve
from neuromas_env.baselines.sc import matched_self_consistency
from neuromas_env.baselines.trained import list_trained, trained_row
from neuromas_env.baselines.vote import Vote
from neuromas_env.checks import arguments
from neuromas_env.config import checked, from_text
from neuromas_env.errors import InputError, placed, unknown
from neuromas_env.method import Method
from neuromas_env.policy import Engine
from neuromas_env.registry import Registry, built_in
from neuromas_env.tasks.base import Task
from neuromas_env.tasks.names import split_options

__all__ = [
    "Fitted",
    "Method",
    "Net",
    "Script",
    "Setup",
    "Vote",
    "list_baselines",
    "list_methods",
    "list_trained",
    "make_baseline",
    "matched_self_consistency",
    "register_baseline",
    "solve",
    "texts",
]

PROMPTS = ("roles", "role_free")
COMMON = {"temperature": -1.0, "max_new_tokens": 0, "prompts": "roles"}
"""Options that every baseline takes."""

_BUILT_IN = {
    "direct": ("direct:direct", "answer at once"),
    "cot": ("direct:cot", "chain of thought: reason step by step, then answer"),
    "sc": ("sc:sc", "self-consistency: k samples, then a vote"),
    "more_agents": ("more_agents:more_agents", "n samples, counted or, if open, the most alike"),
    "p_true": ("p_true:p_true", "votes weighted by how likely the model holds each to be true"),
    "debate": ("debate:debate", "agents read one another and answer again, then a vote"),
    "debate_llm_agg": ("debate:debate_llm_agg", "debate in which a further call decides"),
    "moa": ("moa:moa", "mixture-of-agents: layers of proposers, then an aggregator"),
    "self_refine": ("self_refine:self_refine", "criticise and rewrite one's own solution"),
    "least_to_most": (
        "least_to_most:least_to_most",
        "Least-to-Most: sub-questions in turn, each with the answers before it",
    ),
    "tot": ("tot:tot", "Tree of Thoughts: propose, rate and prune next steps, then answer"),
    "react": ("react:react", "ReAct: reason, call a tool, read what it returns, continue"),
    "autogen": ("autogen:autogen", "AutoGen: an assistant and a proxy that runs what it writes"),
    "goa": ("goa:goa", "Graph-of-Agents: chosen cards answer, rate and refine by rank"),
    "goa_longctx": (
        "goa_longctx:goa_longctx",
        "chains of workers read a long document in chunks; direct prompting on short questions",
    ),
    "self_check": ("self_check:self_check", "votes weighted by deriving every step again"),
    "self_check_two_stage": (
        "self_check:self_check_two_stage",
        "the same with one checking call per solution",
    ),
    "self_verification": (
        "self_verification:self_verification",
        "candidates tested by deriving the question's masked numbers from them",
    ),
    "macnet": ("macnet:macnet", "MacNet: critics and actors on the edges of a shape"),
    "metagpt": ("metagpt:metagpt", "MetaGPT: documents from role to role, then code reviews"),
    "chatdev": ("chatdev:chatdev", "ChatDev: phases in which two roles talk until they agree"),
    "network": ("network:network", "an untrained network, with role prompts or role-free"),
    "gptswarm": ("gptswarm:GPTSWARM", "GPTSwarm: who votes, learned over sampled graphs"),
    "agentnet": (
        "agentnet.method:AGENTNET",
        "AgentNet: agents pass on, split or solve, as learned",
    ),
    "dylan": ("dylan:DYLAN", "DyLAN: layers of agents that rate one another, the best continue"),
    "mass": ("mass:MASS", "MASS: prompts, a workflow and its prompts, learned in turn"),
}

BASELINES: Registry[Callable[..., Method] | Fitted] = Registry(
    "baseline", "neuromas_env.baselines", built_in(__name__, _BUILT_IN)
)


@arguments
def register_baseline(
    name: str, build: Callable[..., Method] | Fitted | None = None, *, about: str = ""
) -> Any:
    """Make a baseline known under a name, in this process.

    Args:
        name: A plain word that no baseline of this project has.
        build: Takes a `Setup` and options with their defaults, and returns a `Method`; or a
            `Fitted` for one that learns before it is tested. Left out, what comes back is a
            decorator of a function.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return BASELINES.register(name, build, about=about)


def list_baselines() -> dict[str, str]:
    """Return name and one-line description of every baseline, built-in ones with their calls."""
    listed = BASELINES.abouts()
    for name, (_, about) in _BUILT_IN.items():
        method = make_baseline(name, _AnyTask(), None)
        learns = isinstance(BASELINES.find(name), Fitted)
        most = "at most " if method.schedule or method.options or learns else ""
        listed[name] = f"{about}; {most}{method.calls} call{'s' * (method.calls > 1)}"
    return listed


def list_methods() -> dict[str, str]:
    """Return name and one-line description of all baselines and of rows that training makes."""
    return list_baselines() | list_trained()


@arguments
def make_baseline(
    name: str,
    task: Task,
    engine: Engine | None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
) -> Method:
    """Build a baseline.

    Args:
        name: Such as `direct` or `sc:k=5,temperature=0.7`; see `list_baselines`.
        task: Gives the answer format and reads answers out of replies.
        engine: Serves all nodes. None checks the name and counts calls, and cannot run.
        max_new_tokens: Of every reply, unless the name says so; None for the task's, and
            at least 200 where the node is to reason.
        temperature: Of all nodes, unless the name says so; None for the canonical ones.

    Raises:
        InputError: The baseline, an option or a value is unknown or does not fit; or the
            method needs sampling and the temperature is 0.
    """
    family = name.partition(":")[0]
    build = builder(family, name)
    options, defaults = read_options(name, build)
    common = {key: options.pop(key) for key in COMMON if key in options}
    usual = {"temperature": temperature, "max_new_tokens": max_new_tokens}
    setup = make_setup(name, task, NoEngine() if engine is None else engine, usual | common)
    method = build(setup, **options)
    if common.get("prompts") == "role_free":
        method = without_roles(setup, method)
    # One name for one method, however its options were ordered or spelt.
    values = defaults | options | common
    changed = [f"{key}={as_text(values[key])}" for key in defaults if values[key] != defaults[key]]
    return replace(method, name=f"{family}:{','.join(changed)}" if changed else family)


def make_setup(name: str, task: Task, engine: Engine, common: Mapping[str, Any]) -> Setup:
    """Make what a baseline is built from.

    Args:
        name: As the user wrote it.
        task: Gives the answer format.
        engine: Serves all nodes.
        common: Values of those options that every baseline takes; None or none if canonical.

    Raises:
        InputError: A value of them is out of range.
    """
    with placed(f"baseline {name!r}"):
        setup = Setup(name, task, engine, common.get("temperature"), common.get("max_new_tokens"))
    setup.choose(PROMPTS, prompts=common.get("prompts", "roles"))
    return setup


def read_options(name: str, build: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options in a name, and all that there are with their defaults.

    Args:
        name: Such as `sc:k=5`.
        build: Takes a setup and the options, by keyword and with defaults.

    Raises:
        InputError: An option or a value is unknown.
    """
    family, given = split_options(name, "baseline", "sc:k=5,temperature=0.7")
    known = list(inspect.signature(build).parameters.values())[1:]
    defaults = {parameter.name: parameter.default for parameter in known} | COMMON
    for key in given:
        if key not in defaults:
            raise unknown(f"option of baseline {family!r}:", key, defaults)
    kinds = {key: type(default) for key, default in defaults.items()}
    with placed(f"baseline {name!r}"):
        options = {
            key: checked(key, from_text(text, kinds[key]), kinds[key])
            for key, text in given.items()
        }
    return options, defaults


def as_text(value: Any) -> str:
    """Write an option's value as it stands in a name."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def builder(family: str, name: str) -> Callable[..., Method]:
    """Return the function that builds the baselines of a family; `name` is for messages.

    Raises:
        InputError: There is none, or a package's does not load.
    """
    if family not in BASELINES and (row := trained_row(family.partition("@")[0])):
        raise InputError(
            f"baseline {name!r} is trained: `{row.command()}` makes it, and "
            f"`neuromas bench --methods {family.partition('@')[0]}@RUN` takes it"
        )
    found = BASELINES.find(family)
    return found.build if isinstance(found, Fitted) else found


class _AnyTask(Task):
    name = answer_format = "any"
