"""What AgentNet's routers and executors are asked.

What an agent did with similar questions that were solved stands before the question as earlier
turns of the same conversation, the nearest last, each in the form in which a reply is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuromas_env.agents.prompts import Turns
from neuromas_env.baselines.agentnet.pool import Pool
from neuromas_env.baselines.agentnet.walk import Hop, Spot, Walks, progress
from neuromas_env.tasks.base import Task


@dataclass(frozen=True)
class Prompts:
    """Writes the chat turns of every spot of a walk."""

    task: Task
    pool: Pool
    walks: Walks

    def turns(
        self, spot: Spot, question: str, hops: Sequence[Hop], said: Mapping[Spot, str]
    ) -> Turns:
        """Return what is asked at a spot, given the walk so far."""
        hop, done = hops[-1], progress(hops[: spot.hop + (spot.kind == "next")])
        lines = []
        if spot.kind in ("router", "next"):
            others = self.walks.open(hop) if spot.kind == "router" else self.walks.heirs(spot.agent)
            lines.append(self._agents(spot.agent, others, question, done))
            memory, system = "router", self._route(spot, bool(others))
        else:
            lines += [f"Your part:\n{hop.part}"] if hop.part else []
            for kind, label in ("thought", "Your thought"), ("plan", "Your reasoning"):
                if text := said.get(Spot(kind, spot.hop, 0, spot.agent)):
                    lines.append(f"{label}:\n{text}")
            memory, system = "executor", self._work(spot, hop)
        turns = [("system", system)]
        for entry in reversed(self.pool.recall(spot.agent, memory, question, done)):
            turns.append(("user", _asked(entry["question"], entry["progress"])))
            turns.append(("assistant", entry["action"]))
        return (*turns, ("user", "\n\n".join([_asked(question, done), *lines])))

    def _route(self, spot: Spot, others: bool) -> str:
        who = f"You are agent {spot.agent} of agents that solve questions together."
        if spot.kind == "next":
            return (
                f"{who} Decide whether the progress settles the question. Reply with two lines:\n"
                "Decision: done or continue\n"
                "Next: the number of the agent that goes on, which may be your own"
            )
        forward = ", forward if another agent is better at it" if others else ""
        lines = [
            f"{who} Decide what happens with the question: execute if you solve all that is left "
            f"of it, split if you do a part and leave the rest to another agent{forward}. Reply "
            "with these lines:",
            f"Decision: execute{', split or forward' if others else ' or split'}",
            "Part: what you are going to do",
        ]
        lines += ["Next: the number of the agent to forward to"] if others else []
        return "\n".join(lines)

    def _work(self, spot: Spot, hop: Hop) -> str:
        what = "the question" if hop.decision == "execute" else "your part of the question"
        return {
            "thought": f"Think about how to solve {what}: what is known, what is asked, and which "
            "steps lead there. Do not solve it yet.",
            "plan": "Follow your thought step by step and reason about every step.",
            "part": "Do your part of the question alone. End with a line 'Result:' and what you "
            f"found. If that settles the question, it is the answer: {self.task.answer_format}",
            "answer": "Solve the question by your reasoning and the progress so far. End with a "
            f"line 'Result:' and the answer. For the answer this holds: {self.task.answer_format}",
        }[spot.kind]

    def _agents(self, me: int, others: Sequence[int], question: str, done: str) -> str:
        lines = ["Agents:"]
        for agent in [me, *(j for j in others if j != me)]:
            rate = self.pool.success(agent)
            lines.append(
                f"Agent {agent}{' (you)' * (agent == me)}: "
                f"ability {self.pool.ability(agent, question):.2f}, "
                f"success rate {'unknown' if rate is None else format(rate, '.2f')}"
            )
            solved = self.pool.recall(agent, "executor", question, done) if agent != me else []
            lines += ["It solved:"] if solved else []
            lines += [f"- {entry['question']}\n{entry['action']}" for entry in solved]
        return "\n".join(lines)


def _asked(question: str, done: str) -> str:
    return f"{question}\n\nProgress so far:\n{done}" if done else question
