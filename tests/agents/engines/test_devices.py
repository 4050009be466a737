"""What a run says of its device: with stand-ins for the figures of a GPU."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
import yaml
from support.engines import tiny_engine, tiny_folder
from support.tiny_runs import tiny_config

from neuromas_env.agents.engines import budget
from neuromas_env.agents.engines.devices import described, place_of, precision
from neuromas_env.agents.training.api import resume, train
from neuromas_env.errors import InputError
from neuromas_env.progress import Reporter

GIB = 2**30


class Told(Reporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def two_gpus(monkeypatch):
    stand_in = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "is_bf16_supported": lambda including_emulation: True,
        "get_device_properties": lambda place: SimpleNamespace(name="A GPU", total_memory=24 * GIB),
    }
    for name, function in stand_in.items():
        monkeypatch.setattr(torch.cuda, name, function)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("used", "name", "has", "expected"),
    [
        ("AVX512", "AMD EPYC", {"avx512_bf16"}, "bfloat16"),
        ("AVX512", "AMD EPYC", set(), "float32"),
        ("AVX512", "Intel Xeon", {"avx512_bf16"}, "float32"),
        ("AVX512", "Intel Xeon", {"avx512_bf16", "amx_bf16"}, "bfloat16"),
        ("AVX2", "AMD EPYC", {"avx512_bf16"}, "float32"),
        ("SVE256", "Neoverse", set(), "bfloat16"),
        ("DEFAULT", "any", set(), "float32"),
    ],
)
def test_auto_precision_is_what_the_processor_is_fast_in(
    no_gpu, monkeypatch, used, name, has, expected
):
    found = {"cpu_name": name, **dict.fromkeys(has, True)}
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: used)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert precision("auto") == expected
    assert precision("bfloat16") == "bfloat16" and precision("float32") == "float32"


def test_auto_is_a_gpu_if_there_is_one(two_gpus):
    assert [place_of(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda", "cuda", "cuda:1", "cpu",
    ]  # fmt: skip
    with pytest.raises(InputError, match="'cuda:1' is the last"):
        place_of("cuda:2")


def test_auto_is_the_processor_where_there_is_no_gpu(no_gpu):
    assert place_of("auto") == "cpu"
    with pytest.raises(InputError, match="torch finds no GPU, got 'cuda'"):
        place_of("cuda")


def test_the_line_names_the_gpu_that_is_taken_or_idle(two_gpus):
    assert described("auto", "auto") == "device cuda (A GPU, 24 GiB), bfloat16"
    assert described("cuda", "float32", "cuda:1") == (
        "device cuda (A GPU, 24 GiB), float32; replies on cuda:1 (A GPU, 24 GiB)"
    )
    line = described("cpu", "float32")
    assert line.endswith("float32; idle: cuda (A GPU, 24 GiB), which --device auto takes")


def test_the_line_names_the_threads_of_a_processor(no_gpu, monkeypatch):
    for threads, said in ((1, "1 thread"), (2, "2 threads")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert described("auto", "float32") == f"device cpu ({said}), float32"


@pytest.mark.slow
def test_a_run_says_and_keeps_where_it_computes(tmp_path, no_gpu):
    told, out = Told(), tmp_path / "run"
    train(tiny_config(tiny_folder("llama"), out, steps=1), report=told)
    assert told.notes[0].startswith("device cpu (")
    assert yaml.safe_load((out / "config.yaml").read_text())["device"] == "cpu"


@pytest.mark.slow
def test_a_run_of_a_gpu_that_is_gone_names_its_file(tmp_path, no_gpu):
    out = tmp_path / "run"
    train(tiny_config(tiny_folder("llama"), out, steps=1))
    file = out / "config.yaml"
    file.write_text(file.read_text().replace("device: cpu", "device: cuda"))
    (out / "result.json").unlink()
    with pytest.raises(InputError, match="config.yaml: device must be 'cpu' or 'auto'"):
        resume(out)


def test_the_budget_that_fits_follows_from_two_small_passes(monkeypatch):
    engine = tiny_engine("llama")
    each, fixed, held, kept, free = 3_000_000, 70_000_000, 2 * GIB, 3 * GIB, 9 * GIB
    peaks = []

    @contextmanager
    def training(rows, **options):
        with real(rows, **options) as scored:
            peaks.append(held + fixed + each * engine.computed(rows))
            yield scored

    real = engine.training
    monkeypatch.setattr(engine, "training", training)
    stand_in = {
        "memory_allocated": lambda device: held,
        "memory_reserved": lambda device: kept,
        "reset_peak_memory_stats": lambda device: None,
        "max_memory_allocated": lambda device: peaks[-1],
        "mem_get_info": lambda device: (free, 24 * GIB),
    }
    for name, function in stand_in.items():
        monkeypatch.setattr(torch.cuda, name, function)
    fits = int(0.8 * (free + kept - held) / each)
    assert budget.room(engine, 4096) == (
        "token_budget 4096: of the 10.0 GiB that are free a micro-batch takes about "
        f"{4096 * each / GIB:.1f}, and up to token_budget {fits} would fit"
    )
    assert len(peaks) == 2
    weights = engine.adapters.parameters(engine.adapters.names[0]).values()
    assert all(weight.grad is None for weight in weights)
