"""GPTSwarm learning on scripted agents."""

from support.asking import Sums, Told

from neuromas_env.baselines.adapted import adapt


def right_or_wrong(request, number):
    """Truthful agents are right, liars are not."""
    question = int(request.turns[1][1].splitlines()[1])
    return str(question + 1000 if "liar" not in request.turns[0][1] else 1)


ONE = "gptswarm:agents=1"


def learn(iterations, out, name=ONE, engine=None, seed=0):
    return adapt(name, Sums(), engine or Told(right_or_wrong), iterations, out, seed)
