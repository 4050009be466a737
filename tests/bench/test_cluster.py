"""Workers on a cluster keep what they were paid for; `tests/integration/bench_ray.py` has Ray."""

from __future__ import annotations

from collections import Counter

import pytest
from support import bench_engines
from support.ray_stand_in import Died, put_in_place

from neuromas_env.bench.cluster import Cluster
from neuromas_env.bench.config import BenchConfig
from neuromas_env.bench.runner import run_benchmark
from neuromas_env.bench.store import Store
from neuromas_env.errors import InputError

ROWS = "SELECT method, seed, row, answer, attempts FROM results ORDER BY 1, 2, 3"


def config(out, log, **options):
    return BenchConfig(
        str(out), ("direct", "sc:k=3"), ("hierarchy/max",), limit=8, chunk=4,
        engine="support.bench_engines:make", model=f"paid,log={log}", **options,
    )  # fmt: skip


def rows(out):
    with Store(out) as store:
        return store.rows(ROWS)


@pytest.mark.parametrize("cache", [None, "kept/cache.sqlite"])
def test_paid_replies_of_a_worker_that_dies_are_not_asked_for_again(monkeypatch, tmp_path, cache):
    monkeypatch.chdir(tmp_path)
    put_in_place(monkeypatch)
    run_benchmark(config("alone", "alone.log"))
    calls, real = [], bench_engines.Scripted.generate

    def generate(self, requests):
        if calls.append(requests) or len(calls) == 7:
            raise Died  # within a chunk
        return real(self, requests)

    monkeypatch.setattr(bench_engines.Scripted, "generate", generate)
    asked = config("out", "far.log", cache=cache)
    cluster = Cluster(asked, "local", 2)
    run_benchmark(asked, team=cluster)
    assert len(calls) > 7 and rows(tmp_path / "out") == rows(tmp_path / "alone")
    logs = [Counter((tmp_path / f"{n}.log").read_text().splitlines()) for n in ("alone", "far")]
    assert logs[0] == logs[1]
    assert (tmp_path / (cache or "out/replies.sqlite")).exists()


def test_what_keeps_replies_from_being_kept_is_one_line(monkeypatch, tmp_path):
    put_in_place(monkeypatch)
    (tmp_path / "file").write_text("no database, and long enough to be read as one" * 40)
    asked = config(tmp_path / "out", tmp_path / "log", cache=str(tmp_path / "file"))
    with pytest.raises(InputError, match="cache .*file"):
        run_benchmark(asked, team=Cluster(asked, "local", 2))
