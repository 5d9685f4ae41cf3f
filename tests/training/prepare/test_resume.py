"""Stopping, going on, repeating and sharing the work change nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.preparing import contents, run, settings

from handfirst.engines.errors import UserError
from handfirst.training.data.prepare.plan import Plan, Shard, read_plan
from handfirst.training.data.prepare.prepare import prepare
from handfirst.training.data.prepare.run import run_here, run_on_ray


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A data set made without interruption, by one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run(out)
    return out


def test_a_second_run_changes_nothing(whole: Path) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in whole.rglob("*")}

    def never() -> list:
        raise AssertionError("the source is not asked again")

    before = state()
    prepare(whole, settings(), never, 1, show=False)
    assert state() == before


def test_more_processes_give_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    run(tmp_path / "out", workers=2)
    assert contents(tmp_path / "out") == contents(whole)


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = {path!r}
from support.preparing import run
from handfirst.training.data.prepare import shard
slow = shard.examples
def made(*arguments):
    time.sleep(0.05)
    return slow(*arguments)
shard.examples = made
run(Path({out!r}))
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = KILLED.format(path=sys.path, out=str(out))
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until = time.monotonic() + 240
        while not (list(out.glob("train/*.json")) and list(out.glob("train/.*.part"))):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    plan = read_plan(out)
    assert plan is not None
    missing = [shard for shard in plan.shards if not plan.note(shard).exists()]
    assert missing and list(out.glob("train/.*.part"))
    run(out)
    assert contents(out) == contents(whole)


LOOKING = KILLED.replace("import shard", "import trial as shard")


def test_killed_while_candidates_are_looked_at_it_goes_on(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", LOOKING.format(path=sys.path, out=str(out))]) as process:
        until = time.monotonic() + 240
        while not list(out.glob("candidates/verdicts-*")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert read_plan(out) is None
    run(out)
    assert contents(out) == contents(whole)


def test_a_shard_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(out)
    before = contents(out)
    (out / "train" / "hand-000001.tar").write_bytes(b"half")
    (out / "train" / "hand-000002.json").unlink()
    run(out)
    assert contents(out) == before


def end_it(_plan: Plan, _shard: Shard) -> None:
    """As a system does that has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_one_line(whole: Path) -> None:
    plan = read_plan(whole)
    assert plan is not None
    with pytest.raises(UserError, match="a worker process was killed"):
        list(run_here(end_it, plan, plan.shards, 2))


def complain(_plan: Plan, shard: Shard) -> None:
    raise UserError(f"the shard {shard.index} of {shard.part} is no good")


def test_a_ray_cluster_gives_the_same_bytes(whole: Path, tmp_path: Path, monkeypatch) -> None:
    """A cluster of processes on this machine; they find the painted pictures where this one does."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        run(tmp_path / "out", ray=cluster.address)
        plan = read_plan(whole)
        assert plan is not None
        with pytest.raises(UserError, match=r"^the shard 0 of train is no good$"):
            list(run_on_ray(complain, plan, plan.shards[:1], cluster.address))
    finally:
        cluster.shutdown()
    assert contents(tmp_path / "out") == contents(whole)
