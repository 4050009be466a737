"""Engines by name, and what one must offer so that its adapters can be trained.

An engine's function, or its class, has the options that it needs as parameters, by the names
that they have on the command line: `model`, `dtype`, `device`, `chunk_rows`; of adapters `rank`,
`alpha`, `targets` and `nodes`, how many there will be at most; of servers `base_url`,
`concurrency` and so on. A parameter `config` is given all options as one object.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from neuromas_env.checks import arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Completion, Engine
from neuromas_env.registry import Registry, built_in

if TYPE_CHECKING:
    import numpy as np
    import torch

_BUILT_IN = {
    "transformers": ("local:transformers", "a model in this process, by transformers and PEFT"),
    "vllm": ("local:vllm", "a model that vLLM generates with and transformers trains"),
    "openai": ("openai:OpenAIEngine", "any server that speaks OpenAI's chat completions"),
    "mock": ("mock:mock", "nonsense, for a dry run of everything else"),
}
DEVICES = ("auto", "cpu", "cuda", "cuda:N")
LOADED = ("transformers", "vllm")
"""Engines that load a model into this process: those to which device and dtype matter."""
PRECISIONS = ("auto", "bfloat16", "float32")
ENGINES: Registry[Callable[..., Engine]] = Registry(
    "engine", "neuromas_env.engines", built_in(__package__, _BUILT_IN)
)


@dataclass(frozen=True)
class Row:
    """One completion to train on or to evaluate.

    Attributes:
        adapter: Name of the adapter that is trained on it, None for the bare base.
        prompt_ids: int array `[P]`, the exact prompt.
        ids: int array `[T]`, the exact tokens of the reply, end-of-turn token included.
    """

    adapter: str | None
    prompt_ids: np.ndarray
    ids: np.ndarray


@dataclass
class Scored:
    """What a training pass says about the tokens of its rows, flattened row after row.

    Attributes:
        logprobs: `[tokens]`, natural logarithm, with gradient unless computed without.
        entropy: `[tokens]`, of the whole next-token distribution, in nats.
        kl: `[tokens]`, exact divergence from the base model, None if not asked for.
        row: `[tokens]`, the index of the row that each token belongs to.
    """

    logprobs: torch.Tensor
    entropy: torch.Tensor
    kl: torch.Tensor | None
    row: torch.Tensor


class Adapters(Protocol):
    """The trainable adapters of an engine, one under each name.

    Attributes:
        names: In the order of their creation.
    """

    names: list[str]

    def add(self, name: str, seed: int) -> None:
        """Add an adapter that starts as the bare base.

        Args:
            name: A new name.
            seed: Of the matrix that is random at first; the other one is zero.
        """
        ...

    def remove(self, name: str) -> None:
        """Forget the adapter of a name."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Give the adapter `target` the weights of the adapter `source`."""
        ...

    def add_noise(self, name: str, scale: float, seed: int) -> None:
        """Add Gaussian noise to an adapter's weights.

        Args:
            name: Which adapter.
            scale: Standard deviation, over the root mean square of the weights.
            seed: Of the noise.
        """
        ...

    def parameters(self, name: str) -> dict[str, torch.nn.Parameter]:
        """Return the trainable weights of an adapter, by a name without the adapter's."""
        ...

    def digest(self, name: str) -> str:
        """Return a hash of the weights of the adapter of a name."""
        ...

    def initial(self, seed: int) -> str:
        """Return the hash of what `add` has to make of a seed, computed without `add`."""
        ...

    def save(self, name: str, folder: Path) -> None:
        """Write the adapter of a name into a folder."""
        ...

    def load(self, name: str, folder: Path) -> None:
        """Read what `save` wrote into a folder, into the existing adapter of a name."""
        ...


@runtime_checkable
class TrainableEngine(Engine, Protocol):
    """What learners and training need of an engine, in addition to `Engine`."""

    @property
    def adapters(self) -> Adapters:
        """The adapters; each node's has the node's name."""
        ...

    @property
    def device(self) -> torch.device:
        """Where weights of a learner's own belong."""
        ...

    @property
    def hidden_size(self) -> int:
        """Width of the hidden states."""
        ...

    @property
    def context_length(self) -> int | None:
        """Most tokens of a prompt with its reply, None for no limit."""
        ...

    @property
    def hands_over(self) -> bool:
        """Whether copies of the adapters answer, which are compared after every step."""
        ...

    @property
    def rounding(self) -> float:
        """Most nats between the log-probabilities of sampling and training, see `handover`."""
        ...

    def encode(
        self, turns: Sequence[tuple[str, str]], replies: Sequence[Iterable[int]] = ()
    ) -> list[int]:
        """Return the exact prompt of chat turns, with their replies' own tokens; see `Request`."""
        ...

    def encode_reply(self, text: str) -> list[int]:
        """Return the tokens of a reply's text, the one that ends its turn included."""
        ...

    def draw(
        self, adapters: Sequence[str | None], prompts: Sequence[Sequence[int]]
    ) -> list[Completion]:
        """Draw a token at temperature 1 after each prompt, the way that replies are drawn.

        Args:
            adapters: Names of the adapters that draw, None for the bare base, one for each prompt.
            prompts: Token ids.
        """
        ...

    def micro_batches(self, rows: Sequence[Row], budget: int | None = None) -> list[list[int]]:
        """Cut rows into micro-batches within a token budget, by default the engine's own.

        Returns:
            For each micro-batch the indices of its `rows`.
        """
        ...

    def computed(self, rows: Sequence[Row]) -> int:
        """Return the tokens that one micro-batch of these rows computes."""
        ...

    def largest(self, rows: Sequence[Row]) -> int:
        """Return the tokens that the largest micro-batch of some rows computes."""
        ...

    def training(
        self,
        rows: Sequence[Row],
        *,
        temperature: float = 1.0,
        with_kl: bool = False,
        kl_gradient: bool = True,
        entropy_gradient: bool = False,
    ) -> AbstractContextManager[Scored]:
        """Compute the log-probabilities of the rows' completions, ready for `backward`.

        Args:
            rows: Prompts with replies, one micro-batch.
            temperature: Log-probabilities are those of softmax(logits / temperature).
            with_kl: Whether the divergence from the base model is computed as well.
            kl_gradient: Whether that has a gradient.
            entropy_gradient: Whether the entropy has a gradient.
        """
        ...

    def read(
        self, adapter: str, prompts: Sequence[np.ndarray]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield hidden states at the last tokens of prompts, as the base with an adapter has them.

        Args:
            adapter: Name of the adapter.
            prompts: Int arrays `[P]` of token ids.

        Yields:
            Indices into `prompts`, and the states `[indices, d]`.
        """
        ...


@arguments
def register_engine(
    name: str, make: Callable[..., Engine] | None = None, *, about: str = ""
) -> Any:
    """Make an engine known under a name, in this process, for `neuromas bench --engine NAME`.

    Args:
        name: A plain word that no engine of this project has.
        make: A class or function; see the module for its parameters. Left out, what comes back
            is a decorator.
        about: One line for lists; by default the first line of the docstring.

    Raises:
        InputError: The name is no plain word, or is one of this project's.
    """
    return ENGINES.register(name, make, about=about)


def list_engines() -> dict[str, str]:
    """Return name and one-line description of every engine."""
    return ENGINES.abouts()


def check_engine_name(name: str) -> None:
    """Check that a name is that of an engine, or has the form `module:function`.

    Raises:
        InputError: It is neither.
    """
    if ":" not in name and name not in ENGINES:
        raise unknown("engine", name, (*ENGINES, "module:function"))


def make_engine(name: str, options: Mapping[str, Any]) -> Engine:
    """Build an engine by name.

    Args:
        name: One of `list_engines`, or `module:function` of one's own.
        options: All that it may want; see the module.

    Raises:
        InputError: The engine is unknown, cannot be loaded, or needs what no option gives.
    """
    check_engine_name(name)
    make = _imported(name) if ":" in name else ENGINES.find(name)
    accepted = inspect.signature(make).parameters.values()
    needed = [p.name for p in accepted if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if missing := [key for key in needed if key not in options]:
        raise InputError(
            f"engine {name!r} needs {', '.join(missing)}, which no option gives; give it a default"
        )
    try:
        engine = make(**{p.name: options[p.name] for p in accepted if p.name in options})
    except InputError:
        raise
    except Exception as error:
        if ":" not in name:
            raise
        said = f"{type(error).__name__}: {error}"
        raise InputError(f"engine {name!r} cannot be made: {said}") from error
    if not isinstance(engine, Engine):
        raise InputError(
            f"engine {name!r}: its function must return a neuromas_env.policy.Engine, "
            f"got {engine!r:.80}"
        )
    return engine


def _imported(path: str) -> Callable[..., Engine]:
    if "" not in sys.path:  # where the user stands, as with `python -m`
        sys.path.insert(0, "")
    try:
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise InputError(
            f"engine {path!r} cannot be loaded: {error}; give module:function of something that "
            "returns an engine"
        ) from error
