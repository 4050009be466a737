"""A benchmark over two Ray workers, one of which is killed, and then the driver itself.

Needs `ray` in the environment (plain, without RLlib):

    python tests/integration/bench_ray.py
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parents[1]
sys.path.insert(0, str(HERE))

from neuromas_env.bench.cluster import Cluster  # noqa: E402
from neuromas_env.bench.config import BenchConfig  # noqa: E402
from neuromas_env.bench.runner import run_benchmark  # noqa: E402
from neuromas_env.bench.store import Store  # noqa: E402
from neuromas_env.errors import InputError  # noqa: E402

ROWS = "SELECT method, seed, row, answer, transcript, attempts FROM results ORDER BY 1, 2, 3"
METHODS, TASK, LIMIT = ("direct", "sc:k=3"), "hierarchy/max", 48


def configure(out, model, **options):
    return BenchConfig(
        str(out), METHODS, (TASK,), seeds=(0, 1), limit=LIMIT, chunk=4,
        engine="support.bench_engines:make", model=model, **options,
    )  # fmt: skip


class Watched(Cluster):
    """Kills a worker once two have answered something."""

    killed = None

    def run(self, jobs):
        for result in super().run(jobs):
            yield result
            answered = [int(path.name) for path in self.pids.iterdir()]
            if self.killed is None and len(answered) >= 2:
                self.killed = max(answered)
                os.kill(self.killed, signal.SIGKILL)


def rows(out, query=ROWS):
    with Store(out) as store:
        return store.rows(query)


def check(condition, what):
    if not condition:
        raise SystemExit(f"FAILED: {what}")
    print(f"ok: {what}")


def check_paid(folder):
    """What a worker was paid for before it was killed is not asked for again."""
    os.chdir(folder)  # a relative directory is this process's, not a worker's
    pids = folder / "paid_pids"
    pids.mkdir()
    logs = {name: folder / f"{name}.log" for name in ("one", "many")}
    model = f"paid,slow=0.02,pids={pids},log={{}}"
    run_benchmark(configure("one", model.format(logs["one"])))
    for path in pids.iterdir():
        path.unlink()
    config = configure("many", model.format(logs["many"]))
    cluster = Watched(config, "local", 2)
    cluster.pids = pids
    run_benchmark(config, team=cluster)
    cluster.close()
    check(cluster.killed is not None, "a worker with a paid server was killed")
    check(rows("many") == rows("one"), "the same rows as of one process")
    asked = {name: Counter(path.read_text().splitlines()) for name, path in logs.items()}
    again = (asked["many"] - asked["one"]).total()
    check(again <= 1, f"{again} calls were asked for again, but for the one in flight")
    check(Path("many/replies.sqlite").exists(), "replies are in the benchmark's directory")


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        pids = folder / "pids"
        pids.mkdir()
        model = f"slow=0.01,pids={pids}"
        run_benchmark(configure(folder / "alone", model))
        for path in pids.iterdir():
            path.unlink()

        cluster = Watched(configure(folder / "ray", model), "local", 2)
        cluster.pids = pids
        run_benchmark(configure(folder / "ray", model), team=cluster)
        check(cluster.killed is not None, f"worker {cluster.killed} was killed on the way")
        workers = len(list(pids.iterdir()))
        check(workers >= 3, f"another took its place: {workers} workers answered")
        check(rows(folder / "ray") == rows(folder / "alone"), "the same rows as of one process")
        try:
            cluster.plan([(TASK, "debat")])
        except InputError as error:
            check("Did you mean" in str(error), "what a worker finds wrong is one message")
        cluster.close()

        check_paid(folder)

        try:
            Cluster(configure(folder / "no", model), "127.0.0.1:1")
        except InputError as error:
            check("--ray 127.0.0.1:1" in str(error), f"a missing cluster is said: {error}")

        command = [
            sys.executable, "-c", "from neuromas_env.cli.app import main; main()",
            "bench", "--methods", ",".join(METHODS), "--tasks", TASK, "--seeds", "0,1",
            "--limit", str(LIMIT), "--chunk", "4", "--engine", "support.bench_engines:make",
            "--model", model, "--out", str(folder / "killed"), "--ray", "local", "--workers", "2",
        ]  # fmt: skip
        driver = subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL)
        count = "SELECT count(*) AS n FROM answers"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if (folder / "killed" / "bench.sqlite").exists():
                try:
                    if rows(folder / "killed", count)[0]["n"] >= 8:
                        break
                except InputError:
                    continue  # it is just being made
        driver.kill()
        driver.wait()
        stored = rows(folder / "killed", count)[0]["n"]
        check(8 <= stored < 3 * LIMIT, f"the driver was killed with {stored} answers stored")
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
        check(done.returncode == 0, f"the same command goes on {done.stderr[-300:]}")
        check(rows(folder / "killed") == rows(folder / "alone"), "and repeats nothing finished")


if __name__ == "__main__":
    main()
