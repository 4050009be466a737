"""What AgentNet's routers and executors are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neuromas_env.baselines.agentnet_pool import Pool
from neuromas_env.baselines.agentnet_walk import Hop, Spot, Walks, progress
from neuromas_env.baselines.method import Turns
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
        lines = [question]
        lines += [f"Progress so far:\n{done}"] if done else []
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
        if past := self._recalled(spot.agent, memory, question, done):
            lines.append(f"What you did with similar questions that were solved:\n{past}")
        return ("system", system), ("user", "\n\n".join(lines))

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
            if agent != me and (solved := self._recalled(agent, "executor", question, done, True)):
                lines.append(f"It solved:\n{solved}")
        return "\n".join(lines)

    def _recalled(
        self, agent: int, memory: str, question: str, done: str, brief: bool = False
    ) -> str:
        parts = ("question", "action") if brief else ("question", "progress", "action")
        return "\n".join(
            "- " + " -> ".join(entry[part] for part in parts if entry[part])
            for entry in self.pool.recall(agent, memory, question, done)
        )
