"""The embedded model on a Ray cluster of two nodes on this machine, one of which goes away in mid-run."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster
from support.batch_jobs import assert_whole, lines
from support.mosaic import runtime as mosaic_system
from support.mosaic.registry import opened_here

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import BundleError, EngineError
from handfirst.runtime.batch.groups import GroupQueue, group_jobs
from handfirst.runtime.batch.job import Job, content_key
from handfirst.runtime.batch.on_ray import OnRay, Opening
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.batch.results import open_results
from handfirst.runtime.batch.run import pending, run
from handfirst.runtime.errors import BatchError
from handfirst.runtime.systems import two_stage
from handfirst.runtime.systems.two_stage import seam
from handfirst.runtime.systems.two_stage.job import JOBS, JobFields
from handfirst.runtime.systems.two_stage.settings import read_settings
from handfirst.runtime.systems.two_stage.system import TwoStage

pytestmark = pytest.mark.long

BUNDLE = Bundle.open(demo_bundle_path())
SETTINGS = read_settings(BUNDLE.manifest)
POSE = Path(two_stage.__file__).with_name("demo_pose.json")
SMALL = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


def job(name, kind=Job, **fields):
    """A small one with the embedded pose."""
    whole = JobFields(**{"prompt": "a person", "steps": 2, **fields})
    return kind(name, content_key({"pose": "demo"}, whole), 1, JOBS, {"pose": json.loads(POSE.read_text())}, whole)


class Spoilt(Job):
    """One that no worker can do, though its request looks well."""

    def request(self):
        request = super().request()
        object.__setattr__(request, "seed", "no number")
        return request


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of a CPU each; the second is the one to lose."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    impatient = {**health, "worker_niceness": 0}  # at Ray's 15 they starve on a machine that does anything else
    made = Cluster(initialize_head=True, head_node_args={**SMALL, "_system_config": impatient})
    made.second = made.add_node(num_cpus=1, object_store_memory=80_000_000)
    ray.init(address=made.address, logging_level="ERROR", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def render(folder, jobs, renderer, after=lambda outcomes: None, settings=SETTINGS, told=seam):
    shared = {"model": BUNDLE.digest, "format": "png"}
    with open_results(folder, shared) as ledger, renderer:
        todo = pending(jobs, ledger)
        groups = group_jobs(todo, partial(told.together, settings=settings), 2)
        for outcomes in run(todo, groups, ledger, lambda: renderer, "png"):
            after(outcomes)


def on_ray(**changes):
    return OnRay("auto", Opening(**{"bundle": None, "digest": BUNDLE.digest, "engine": "cpu", **changes}), "png")


def test_a_node_dies_with_a_group_and_nothing_is_lost(cluster, tmp_path, monkeypatch):
    jobs = [job(f"j{i}", seed=i, steps=4) for i in range(10)]
    renderer, lost, seen, real = on_ray(), [], [], GroupQueue.lost
    monkeypatch.setattr(GroupQueue, "lost", lambda self, *given: lost.append(given) or real(self, *given))
    assert renderer.workers == 2

    def lose(outcomes):
        """Takes the second node away when the worker that is idle, having just answered, is not the one on it."""
        seen.extend(outcomes)
        if cluster.second is None or not renderer._painting():
            return
        idle = [place.actor.__ray_call__.remote(where) for place in renderer._idle]
        if ray.get(idle) == [cluster.head_node.node_id]:
            cluster.remove_node(cluster.second, allow_graceful=False)
            cluster.second = None

    render(tmp_path, jobs, renderer, lose)
    assert cluster.second is None
    assert len(lost) == 1
    assert_whole(tmp_path, [each.id for each in jobs])
    assert len(seen) == 10
    alone = TwoStage.open(None, "cpu", 1).render(jobs[5].request())
    image = cv2.imread(str(tmp_path / "j5.png"))[..., ::-1]
    assert np.abs(image.astype(int) - alone.image).max() <= 1  # it was painted together with another


def where(worker):
    return ray.get_runtime_context().get_node_id()


def test_jobs_choose_their_canvas(cluster, tmp_path, free_sizes):
    bundle = Bundle.open(free_sizes[1])
    jobs = [job("a", canvas="256x128"), job("b"), job("c", canvas=[128, 192])]
    settings = read_settings(bundle.manifest)
    render(tmp_path / "out", jobs, on_ray(bundle=bundle.path, digest=bundle.digest), settings=settings)
    assert_whole(tmp_path / "out", ["a", "b", "c"])
    single = TwoStage.open(bundle.path, "cpu", 1)
    for each in jobs:
        image = cv2.imread(str(tmp_path / "out" / f"{each.id}.png"))[..., ::-1]
        np.testing.assert_array_equal(image, single.render(each.request()).image)


class Known(Opening):
    """One whose workers know the second system."""

    def open(self):
        with opened_here():
            return super().open()


def test_another_system_paints_on_a_cluster(cluster, tmp_path, mosaic):
    bundle = Bundle.open(mosaic[1])
    (tmp_path / "jobs.csv").write_text("id,colour,seed\na,red,1\nb,blue,2\nc,red,3\n")
    jobs = read_jobs(mosaic_system.JOBS, tmp_path / "jobs.csv")
    renderer = OnRay("auto", Known(bundle.path, bundle.digest, "cpu"), "png")
    settings = mosaic_system.read_settings(bundle.manifest)
    render(tmp_path / "out", jobs, renderer, settings=settings, told=mosaic_system)
    single = Known(bundle.path, bundle.digest, "cpu", 1).open()
    for each in jobs:
        image = cv2.imread(str(tmp_path / "out" / f"{each.id}.png"))[..., ::-1]
        np.testing.assert_array_equal(image, single.render(each.request()).image)


def test_a_job_that_fails_on_a_worker_fails_alone(cluster, tmp_path):
    jobs = [job("a"), job("b", seed=1), job("c", Spoilt, seed=2)]
    render(tmp_path, jobs, on_ray())
    found = {line["id"]: line for line in lines(tmp_path)}
    assert {name: line["status"] for name, line in found.items()} == {"a": "done", "b": "done", "c": "failed"}
    assert found["c"]["reason"].startswith("seed: expected a whole number")


def test_a_worker_that_cannot_open_the_model_says_why(cluster, tmp_path):
    with pytest.raises(EngineError, match=r"on a node of the cluster: .*another model than the caller's"):
        render(tmp_path / "a", [job("a")], on_ray(digest="0" * 64))
    with pytest.raises(EngineError, match="no such bundle folder"):
        render(tmp_path / "b", [job("a")], on_ray(bundle=tmp_path / "nowhere"))


def test_no_room_for_a_worker(cluster):
    with pytest.raises(BatchError, match="no node of the cluster has 64 CPUs"):
        on_ray(threads=64)


def test_an_address_without_a_cluster(tmp_path):
    """In a process of its own, as this one is connected."""
    code = (
        "import sys; from handfirst.runtime.batch.on_ray import OnRay;"
        "from handfirst.runtime.batch.on_ray import Opening;"
        "OnRay(sys.argv[1], Opening(None, ''), 'png')"
    )
    for address in ("127.0.0.1:9", "127.0.0.1:99999"):
        done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, check=False)
        assert f"BatchError: no Ray cluster answers at '{address}'" in done.stderr


def test_the_model_must_be_the_callers():
    with pytest.raises(BundleError, match="another model"):
        Opening(None, "0" * 64, "cpu", 1).open()
