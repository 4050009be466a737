"""The spaces of texts and of what a node observes."""

from __future__ import annotations

import string
from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Dict, Discrete, MultiBinary, Sequence, Space

from neuromas_env.checks import Natural, arguments

MAX_MESSAGE = 20_000
MAX_QUESTION = 1_000_000
_SAMPLED = np.array(list(string.digits + string.ascii_letters + string.punctuation + " \n"))
_SAMPLE_LENGTH = 64
_MAX_NAME = 64


class Spaces(NamedTuple):
    """The spaces of a network.

    Attributes:
        observation: Of what a node sees.
        action: Of its messages.
        state: Of what critics see: `env.state()`.
    """

    observation: Space
    action: Space
    state: Space


class Message(Space[str]):
    """Any text that UTF-8 can encode, within bounds on its number of characters.

    Samples are short ASCII texts, so that random tests spend their time elsewhere.
    It is no subclass of `gymnasium.spaces.Text`: shared-memory vector environments
    then refuse it loudly instead of returning stale texts.

    Attributes:
        min_length: Fewest characters, inclusive.
        max_length: Most characters, inclusive.
    """

    @arguments
    def __init__(
        self, max_length: Natural, min_length: Natural = 0, seed: int | None = None
    ) -> None:
        """Make the space of texts with `min_length` to `max_length` characters."""
        self.min_length, self.max_length = int(min_length), int(max_length)
        super().__init__(shape=None, dtype=None, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Texts have no fixed-size array form."""
        return False

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a text within the bounds and without lone surrogates."""
        if not isinstance(x, str) or not self.min_length <= len(x) <= self.max_length:
            return False
        try:
            x.encode()
        except UnicodeEncodeError:
            return False
        return True

    def sample(self, mask: None = None, probability: None = None) -> str:
        """Draw a short text; masks have no meaning here and are ignored."""
        most = min(self.max_length, max(self.min_length, _SAMPLE_LENGTH))
        length = int(self.np_random.integers(self.min_length, most + 1))
        return "".join(self.np_random.choice(_SAMPLED, length))

    def __eq__(self, other: object) -> bool:
        """Return whether the other space holds the same texts."""
        return (
            isinstance(other, Message)
            and self.min_length == other.min_length
            and self.max_length == other.max_length
        )

    def __repr__(self) -> str:
        """Return the constructor call."""
        return f"Message({self.max_length}, min_length={self.min_length})"


def message_list(max_length: int = MAX_MESSAGE, rounds: int = 1) -> Sequence:
    """Make the space of tuples of `{"source": name, "text": message}`.

    Over several rounds they also say in which `round` the message was said.
    """
    clock: dict[str, Any] = {"round": Discrete(rounds)} if rounds > 1 else {}
    return Sequence(Dict(source=Message(_MAX_NAME), text=Message(max_length), **clock))


def observation_space(n_nodes: int, max_length: int = MAX_MESSAGE, rounds: int = 1) -> Dict:
    """Make the one space that fits every node of a network, whatever its graph and mask.

    It has no key `observation`, because PettingZoo's api_test expects an array there.

    Args:
        n_nodes: Number of nodes of the network.
        max_length: Most characters of a message.
        rounds: Passes over the layers. With several, the place says which `round` it is, how many
            `rounds` there are, and whether the nodes have `memory`.
    """
    clock: dict[str, Any] = (
        {"round": Discrete(rounds), "rounds": Discrete(1, start=rounds), "memory": Discrete(2)}
        if rounds > 1
        else {}
    )
    return Dict(
        question=Message(MAX_QUESTION),
        inbox=message_list(max_length, rounds),
        place=Dict(
            node=Discrete(n_nodes),
            layer=Discrete(n_nodes),
            index=Discrete(n_nodes),
            sources=MultiBinary(n_nodes),
            readers=MultiBinary(n_nodes),
            **clock,
        ),
    )


def state_space(n_nodes: int, max_length: int = MAX_MESSAGE, rounds: int = 1) -> Dict:
    """Make the space of what a centralised critic sees: question, all messages, layer, round."""
    clock: dict[str, Any] = {"round": Discrete(rounds)} if rounds > 1 else {}
    return Dict(
        question=Message(MAX_QUESTION),
        messages=message_list(max_length, rounds),
        layer=Discrete(n_nodes + 1),
        **clock,
    )
