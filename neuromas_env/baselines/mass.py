"""MASS: prompts of each block, then a workflow by the blocks' influence, then prompts of the whole.

Source: Zhou et al., 2025, "Multi-Agent Design" (arXiv 2502.02533). Blocks are a predictor,
`aggregate` (up to 9 predictors and a vote), `reflect` (feedback and another answer, up to 4 times)
and `debate` (all read all answers, up to 4 rounds);
a workflow has them in the order reflect, debate, aggregate, with at most `budget=10` calls.

1. For the predictor, then for `reflect` and `debate` around it, `candidates=10` instructions that
   the model proposes are tried in the smallest workflow that has the block.
2. Influence I of a block is the score of that workflow over the predictor's, both with what was
   best before the questions were drawn (the better of two on these would score too high, and there
   are not two of `aggregate`). `topologies=10` workflows are tried, each with a block where
   u < softmax(I / 0.05), u uniform, in a size drawn.
3. Instructions are tried again, in the best workflow.

An iteration of `neuromas adapt` tries one: on its `batch=8` questions what is best so far and what
is tried both run, and the better stays. 50 iterations make the first two stages (of `aggregate`,
which has no instruction, only the score is taken), what follows is the third. Temperature 0.7.

We differ: instructions alone are searched, one at a time, where the source's MIPRO searches them
with solved examples by a surrogate model; comparisons are paired, on new questions each time
(theirs: one validation set, three times); of equal workflows the one with fewer calls stays; no
summarising and no tool-using block. Sizes and numbers are as we know the paper, not checked in its
text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np

from neuromas_env.agents.prompts import Prompt, Turns
from neuromas_env.baselines.adapted import learned
from neuromas_env.baselines.net import Fitted, Net, NoEngine, Setup, texts
from neuromas_env.baselines.prompts import numbered, reasoned, told
from neuromas_env.baselines.vote import Vote
from neuromas_env.checks import Count, Natural, Share
from neuromas_env.errors import InputError
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.rollout import call_engines, run_episodes
from neuromas_env.seeds import derive_seed
from neuromas_env.tasks.base import Example

Prompts = Mapping[str, str]
Shape = tuple[int, int, int]
"""Columns, rounds of reflection, rounds of debate."""

START = {
    "predict": "Solve the question.",
    "reflect": "Review the given answer to the question: say what is wrong with it, if anything.",
    "debate": "Weigh the given answers to the question against one another and give your own.",
}
SMALLEST: dict[str, Shape] = {
    "predict": (1, 0, 0), "aggregate": (3, 0, 0), "reflect": (1, 1, 0), "debate": (2, 0, 1),
}  # fmt: skip
"""The smallest workflow with a block."""
SIZES = {"aggregate": (3, 5, 7, 9), "reflect": (1, 2, 3, 4), "debate": (1, 2, 3, 4)}
SHARPNESS = 0.05
_PROPOSE = (
    "Improve the instruction of an agent in a team that answers questions like the one below. "
    "Reply with the new instruction alone, in one or two sentences that fit any such question."
)


class MassState(TypedDict):
    """What MASS has learned."""

    prompts: dict[str, str]
    workflow: tuple[Count, Natural, Natural]
    scores: dict[str, list[Share]]
    steps: Natural


def mass(setup: Setup, budget: int = 10, ties: str = "index", state: str = "") -> Method:
    """Run the workflow that was found best, with its prompts."""
    setup.check(4, 100, budget=budget)
    if isinstance(setup.engine, NoEngine) and not state:  # only its calls are counted
        return replace(workflow(setup, SMALLEST["predict"], START, ties), calls=budget)
    found = learned(setup, "mass", state)
    for block in START:
        if block not in found["prompts"]:
            raise InputError(f"{state}: prompts must have an entry for {block}")
    return workflow(setup, found["workflow"], found["prompts"], ties)


class MassLearning:
    """Tries one instruction or workflow in an iteration.

    Attributes:
        questions: On which the best so far and what is tried run.
        state: The `prompts` by block; the `workflow`: its columns and rounds of reflection and of
            debate; the `scores` of the smallest workflows by block, with what was best before;
            the `steps` made.
    """

    def __init__(
        self,
        setup: Setup,
        budget: int = 10,
        ties: str = "index",
        candidates: int = 10,
        topologies: int = 10,
        batch: int = 8,
    ) -> None:
        """Start with one predictor and instructions of ours."""
        setup.check(4, 100, budget=budget)
        setup.check(1, 1000, candidates=candidates, topologies=topologies, batch=batch)
        for shape in SMALLEST.values():
            workflow(setup, shape, START, ties)  # refuses now what would be refused later
        self._setup, self._budget, self._ties = setup, budget, ties
        self._plan = [block for block in SMALLEST for _ in range(candidates)]
        self._plan += ["workflow"] * topologies
        self.questions = batch
        self.state: dict[str, Any] = {
            "prompts": dict(START), "workflow": SMALLEST["predict"], "scores": {}, "steps": 0,
        }  # fmt: skip

    def iterate(self, examples: Sequence[Example], seed: int) -> dict[str, float]:
        """Run the best so far and what is tried, and keep the better."""
        step = self.state["steps"]
        stage = self._plan[step] if step < len(self._plan) else "whole"
        tried = self._tried(stage, examples[0], seed)
        scores = [self._score(*each, examples, seed) for each in tried]
        won = max(range(len(tried)), key=lambda i: (scores[i], -calls(tried[i][1]), -i))
        prompts, shape = tried[won]
        self.state = {**self.state, "prompts": prompts, "steps": step + 1}
        if stage == "workflow":
            self.state["workflow"] = shape
        if stage in SMALLEST:
            before = self.state["scores"].get(stage, [])
            # Not that of the winner, which these questions have chosen.
            self.state["scores"] = {**self.state["scores"], stage: [*before, scores[0]]}
        return {"reward": scores[won], "calls": float(calls(shape)), "changed": float(won > 0)}

    def _tried(self, stage: str, example: Example, seed: int) -> list[tuple[Prompts, Shape]]:
        """Return instructions and workflow of the best so far, then of what is tried."""
        prompts, shape = self.state["prompts"], self.state["workflow"]
        if stage == "workflow":
            rng = np.random.default_rng(seed)
            drawn = draw(influences(self.state["scores"]), self._budget, rng)
            return [(prompts, shape), (prompts, drawn)]
        if stage == "aggregate":  # it has no instruction of its own, and is measured alone
            return [(prompts, SMALLEST[stage])]
        block = stage
        if stage == "whole":
            used = [name for name, size in zip(START, (1, *shape[1:]), strict=True) if size]
            block = used[(self.state["steps"] - len(self._plan)) % len(used)]
        shape = SMALLEST.get(stage, shape)
        new = self._propose(block, prompts[block], example, seed)
        return [(prompts, shape), ({**prompts, block: new}, shape)]

    def _score(
        self, prompts: Prompts, shape: Shape, examples: Sequence[Example], seed: int
    ) -> float:
        method = workflow(self._setup, shape, prompts, self._ties)
        runs = run_episodes(method, self._setup.task, examples, seed=seed, reward="extracted")
        if failed := next((run for run in runs if run.error), None):
            raise InputError(f"question {failed.example.id!r}: {failed.error}")
        return float(np.mean([run.reward for run in runs]))

    def _propose(self, block: str, now: str, example: Example, seed: int) -> str:
        """Ask for another instruction, in view of a training question and not of its answer."""
        ask = self._setup.ask(lambda seen: told(_PROPOSE, seen, f"Instruction: {now}"), 0.7)
        seen = {"question": example.question, "inbox": ()}
        [reply] = call_engines([ask.request(seen, derive_seed(seed, 1))])
        if isinstance(reply, str) or reply.error is not None:
            said = reply if isinstance(reply, str) else reply.error
            raise InputError(f"an instruction for {block} was asked for: {said}")
        return reply.text.strip()[:1000] or now


MASS = Fitted(mass, MassLearning, MassState)


def calls(shape: Shape) -> int:
    """Return the calls of a workflow of some columns and rounds of reflection and debate."""
    columns, reflections, debates = shape
    return columns * (1 + 2 * reflections + debates)


def influences(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the mean score of each block's smallest workflow over the predictor's."""
    mean = {block: max(float(np.mean(found)), 0.01) for block, found in scores.items()}
    return {block: mean.get(block, mean["predict"]) / mean["predict"] for block in SIZES}


def draw(influence: Mapping[str, float], budget: int, rng: np.random.Generator) -> Shape:
    """Draw a workflow within the budget: which blocks it has, by influence, and their sizes.

    One predictor, if a thousand workflows in a row are above the budget.
    """
    logits = np.array(list(influence.values())) / SHARPNESS
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    for _ in range(1000):
        sizes = {
            block: int(rng.choice(SIZES[block])) if rng.random() < share else 0
            for block, share in zip(influence, shares, strict=True)
        }
        columns = max(sizes["aggregate"], 2 if sizes["debate"] else 1)
        shape = columns, sizes["reflect"], sizes["debate"]
        if calls(shape) <= budget:
            return shape
    return SMALLEST["predict"]


def workflow(setup: Setup, shape: Shape, prompts: Prompts, ties: str) -> Method:
    """Build columns of a predictor and its reflections, which debate and vote."""
    columns, reflections, debates = shape
    net, final = Net(), reasoned(setup.task)

    def add(label: str, instruction: str, alike: bool = False, **reads: list[str]) -> str:
        ask = setup.ask(_about(instruction, reads), 0.7, alike=alike)
        return net.add(label, ask, sum(reads.values(), []))

    answers = []
    for i in range(columns):
        said = add(f"prediction {i}", f"{prompts['predict']} {final}", columns > 1)
        for r in range(reflections):
            review = add(f"feedback {i}.{r}", prompts["reflect"], answer=[said])
            instruction = f"{prompts['predict']} Heed the feedback on your answer. {final}"
            said = add(f"reflection {i}.{r}", instruction, answer=[said], feedback=[review])
        answers.append(said)
    for t in range(debates):
        answers = [
            add(f"debate {i}.{t}", f"{prompts['debate']} {final}", True, answers=answers)
            for i in range(columns)
        ]
    if columns > 1:
        net.add("vote", Vote(setup.task, ties), answers)
    return net.method()


def _about(instruction: str, reads: Mapping[str, list[str]]) -> Prompt:
    def prompt(observation: Observation) -> Turns:
        given = {title: texts(observation, nodes) for title, nodes in reads.items()}
        parts = [
            f"{title.capitalize()}:\n{numbered(said) if len(said) > 1 else said[0]}"
            for title, said in given.items()
        ]
        return told(instruction, observation, *parts)

    return prompt
