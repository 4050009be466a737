"""Which pass decodes for an engine: the lean one where it computes what transformers does."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from transformers import PreTrainedModel

from neuromas_env.agents.engines.forward import packing, prefix
from neuromas_env.agents.engines.forward.adapters import AdapterSet
from neuromas_env.agents.engines.forward.decoding import LibraryPass, Pass
from neuromas_env.agents.engines.forward.families import Frozen, UnknownFamilyError, freeze
from neuromas_env.agents.engines.forward.lean import LeanPass

_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Norm of the gap of hidden states over theirs: rounding is far below, an error far above."""
_PROMPTS = (range(103, 108), range(111, 114))  # tokens, of two lengths
_STEPS = (((0, 0, 1), (121, 122, 123)), ((0, 2), (131, 132)))  # rows fork and end


class Decoder:
    """Decodes with a model and its adapters; finds out how at the first use.

    On a CPU alone: nothing was measured on a GPU, where transformers' model decodes.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        adapters: AdapterSet,
        packed_weights: bool,
        packs: bool,
    ) -> None:
        """Remember what to decode with.

        Args:
            model: The model.
            adapters: Its adapters.
            packed_weights: Hold the weights once more, packed, where there is memory for it.
            packs: Whether the model takes packed batches.
        """
        self._model, self._adapters, self._packed_weights = model, adapters, packed_weights
        self._undecided = packs and model.device.type == "cpu" and model.dtype in _TOLERANCE
        self._frozen: Frozen | None = None

    def prepare(self, names: Sequence[str | None]) -> None:
        """Choose, once: let both passes compute a few tokens with one of the named adapters.

        All of them are loaded. Why transformers' model decodes is said.
        """
        if not self._undecided:
            return
        self._undecided = False
        try:
            frozen = freeze(self._model, self._packed_weights)
        except UnknownFamilyError as error:
            _say(f"transformers' own, slower model decodes: {error}")
            return
        gap = self._gap(frozen, names)
        if gap <= _TOLERANCE[self._model.dtype]:
            self._frozen = frozen
        else:
            _say(
                f"transformers' own, slower model decodes: that of transformers "
                f"{version('transformers')} with torch {torch.__version__} and the pass of this "
                f"package differ by {gap:.2g} of the hidden states' norm"
            )

    def begin(
        self, state: prefix.Running, names: Sequence[str | None], rows: int, room: int
    ) -> Pass:
        """Go on from computed prompts.

        Args:
            state: Where their computation stands; its cache is used up.
            names: The adapter of each; all are loaded.
            rows: The most rows that there will be at once.
            room: Tokens for which there is to be room from the start.
        """
        if self._frozen is None:
            return LibraryPass(self._model, self._adapters, state, names, room)
        return LeanPass(self._frozen, self._adapters, state, names, rows, room)

    def _gap(self, frozen: Frozen, names: Sequence[str | None]) -> float:
        """Return how far apart the two passes are, over what they compute."""
        table: Any = self._model.get_input_embeddings().weight
        own = [next((name for name in names if name is not None), None), None]
        prompts = [[token % len(table) for token in ids] for ids in _PROMPTS]
        levels = [prefix.Level(prompts, [0, 0], own)]  # type: ignore[arg-type]
        state = packing.prefill(self._model, self._adapters, levels)
        lean = LeanPass(frozen, self._adapters, state, own, 3, len(_STEPS))
        reference = LibraryPass(self._model, self._adapters, state, own, len(_STEPS))
        gaps = []
        for parents, ids in _STEPS:
            tokens = [token % len(table) for token in ids]
            expected, found = (each.step(parents, tokens) for each in (reference, lean))
            gaps.append(float((expected - found).norm() / expected.norm()))
        return float(torch.tensor(gaps).max())  # which is NaN if one is


def _say(text: str) -> None:
    warnings.warn(text, stacklevel=2)
