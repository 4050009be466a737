"""Play episodes of several rounds."""

from support.toy_tasks import Whole

from neuromas_env import Topology
from neuromas_env.envs.episode import Episode
from neuromas_env.envs.text import TextChannel

WHOLE = Whole()


def start(topology, task=WHOLE, row=0, **options):
    topology = Topology.parse(topology) if isinstance(topology, str) else topology
    return Episode(topology, TextChannel(task), task.rows[row], **options)


def play(episode, speak=lambda node, seen: f"{node[5:]}{seen['place']['round']}"):
    """Play to the end; return what each node read at each of its turns."""
    read = []
    while not episode.done:
        seen = {node: episode.observe(node) for node in episode.active}
        read += [(node, observation) for node, observation in seen.items()]
        episode.commit({node: speak(node, observation) for node, observation in seen.items()})
    return read


def heard(observation):
    return [f"{item['source'].removeprefix('node_')}:{item['text']}" for item in observation]
