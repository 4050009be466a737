"""An untrained network of any topology, with role prompts or without.

With `prompts=role_free` every node is told its place and nothing else, as in training. That is
the network that training starts from, unless the task deals parts: a trained network's first
layer reads the parts, a baseline's the whole question; then the control is a run of no steps,
`neuromas@RUN0`. By default every node is told a role: nodes of the first
layer are specialists, those between are reviewers, the output node decides. The two rows
differ in the prompt alone, so that they show what role prompts are worth; there is no
source but the claim that roles need not be written by hand (arXiv 2605.16757). Both decode
greedily, and both read the whole question at every node.
"""

from __future__ import annotations

from neuromas_env.agents.prompts import Prompt, Turns, build_prompt
from neuromas_env.baselines.cards import card
from neuromas_env.baselines.net import Setup
from neuromas_env.method import Method
from neuromas_env.policy import Observation
from neuromas_env.topology import Topology


def network(setup: Setup, topology: str = "2-2-1") -> Method:
    """Put the base model at every node of the topology."""
    shape = Topology.parse(topology)
    format = setup.task.answer_format

    def play(role: str) -> Prompt:
        def prompt(observation: Observation) -> Turns:
            (_, system), *rest = build_prompt(observation, format)
            return ("system", f"{role}\n{system}"), *rest

        return prompt

    team = {}
    for number, node in enumerate(shape.nodes):
        role = "You are a reviewer: you check the messages that you read and correct their errors."
        if node == shape.output:
            role = "You are the judge: you weigh the messages that you read and decide."
        elif shape.layer_of(node) == 0:
            role = card(number)
        team[node] = setup.ask(play(role), 0.0, short=True)
    return Method(shape, team, deals_parts=False)
