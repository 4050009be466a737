"""Questions and a recording engine for the tests of baselines."""

from neuromas_env.agents.engines.mock import MockEngine
from neuromas_env.baselines import make_baseline
from neuromas_env.rollout import run_episodes
from neuromas_env.tasks.answers import extract_number, grade
from neuromas_env.tasks.base import Example, Task


class Sums(Task):
    """Sums, dealt in parts, whose gold answers stand nowhere in a question."""

    name = "sums"
    answer_format = "Answer with the number only."
    max_new_tokens = 10
    disjoint = False  # all splits hold the same sums

    def examples(self, split):
        return [
            Example(
                f"{split}/{n}",
                f"What is the sum?\n{n}\n+ 1000",
                str(n + 1000),
                parts=(str(n), "+ 1000"),
                query="What is the sum?",
                extra={"secret": "SECRET"},
            )
            for n in range(7000, 7040)
        ]

    def score(self, example, reply):
        return grade(reply, example.target, extract_number(reply))

    def majority(self, split):
        return 1 / 40


class Told(MockEngine):
    """Gives every call the next reply, or what a function of request and number says.

    Attributes:
        requests: All requests, in order.
    """

    def __init__(self, reply="The answer is 1.", **options):
        self.requests = []
        self._words = reply
        super().__init__(self._say, **options)

    def _say(self, request):
        number = len(self.requests)
        self.requests.append(request)
        return self._words if isinstance(self._words, str) else self._words(request, number)


def text_of(request):
    return "\n".join(text for _, text in request.turns)


def ask_one(name, engine, task=None, seed=0):
    """Run one question; return the method, its trajectory and the request of every node."""
    task = task or Sums()
    method = make_baseline(name, task, engine)
    [trajectory] = run_episodes(method, task, task.examples("test")[:1], seed=seed)
    asked = [step.node for step in trajectory.turns if step.completion]
    requests = dict(zip(asked, getattr(engine, "requests", [None] * len(asked)), strict=True))
    return method, trajectory, requests


def by_label(method, mapping):
    """Rename node names to the method's own words."""
    return {method.labels[node]: value for node, value in mapping.items()}
