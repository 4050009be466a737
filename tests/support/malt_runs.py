"""Short runs of MALT, on a task that a random model gets right half the time."""

from support.asking import Sums
from support.engines import tiny_folder
from support.tiny_runs import tiny_config

from neuromas_env.tasks import register_task
from neuromas_env.tasks.base import Score


class Even(Sums):
    """Right is what has an even number of bytes; the reply itself is what is voted on."""

    name = "even"

    def score(self, example, reply):
        right = float(len(reply.encode()) % 2 == 0)
        return Score(right, right, "ok" if right else "wrong", reply)


@register_task("even")
def even():
    """Say something of an even number of bytes."""
    return Even()


def malt_config(out, **options):
    values = {
        "task": "even", "topology": "1-1-1:skip", "learner": "malt", "entropy_coef": 0.0,
        "learning_rate": 1e-2, "eval_questions": 0,
    }  # fmt: skip
    return tiny_config(tiny_folder("llama"), out, **(values | options))
