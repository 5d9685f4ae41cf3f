"""Many shards at once: processes of this machine, or a Ray cluster. Both run the same function on the same plan.

Knows nothing about what a shard is made of. Whatever is killed leaves whole shards only, and is made again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from handfirst.engines.errors import UserError
from handfirst.engines.telemetry import switch_off
from handfirst.training.data.prepare.plan import Plan, Shard
from handfirst.training.data.workers import one_thread, single_threaded

Work = Callable[[Plan, Shard], None]


def run_here(work: Work, plan: Plan, shards: Sequence[Shard], workers: int) -> Iterator[Shard]:
    """Yields every shard as it is finished.

    Raises:
        UserError: a process was killed.
    """
    if workers == 1 or len(shards) < 2:
        for shard in shards:
            work(plan, shard)
            yield shard
        return
    spawn = multiprocessing.get_context("spawn")
    with (
        single_threaded(),
        ProcessPoolExecutor(min(workers, len(shards)), mp_context=spawn, initializer=one_thread) as pool,
    ):
        try:
            running = {pool.submit(work, plan, shard): shard for shard in shards}
            for done in as_completed(running):
                done.result()
                yield running[done]
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed, perhaps for want of memory; run the same command again to go on, "
                "with fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def run_on_ray(work: Work, plan: Plan, shards: Sequence[Shard], address: str) -> Iterator[Shard]:
    """The same on a Ray cluster, a task per shard; tasks of lost machines are given to others.

    Every machine must see the pictures and the data set's folder under the same paths. Where models are asked for and
    the cluster has GPUs, a task takes one.

    Args:
        address: as Ray takes it ("auto", "ray://host:10001"); "local" starts one on this machine.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    switch_off()
    try:
        import ray
    except ImportError as error:
        raise UserError("ray is not installed; run: pip install 'handfirst[ray]'") from error
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise UserError(f"no Ray cluster at '{address}': {error}") from error
    models = plan.settings.sam is not None or plan.settings.captioner is not None
    gpus = 1 if models and any(node["Alive"] and node["Resources"].get("GPU") for node in ray.nodes()) else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus)(_alone)
    running = {task.remote(work, plan, shard): shard for shard in shards}
    try:
        while running:
            (done, *_), _rest = ray.wait(list(running))
            ray.get(done)
            yield running.pop(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):  # Ray's own message is the whole traceback
            raise UserError(str(error.cause)) from error
        raise
    finally:
        for late in running:
            ray.cancel(late)
        if started:
            ray.shutdown()


def _alone(work: Work, plan: Plan, shard: Shard) -> None:
    """In a worker of Ray: OpenCV would take every core of its machine."""
    one_thread()
    work(plan, shard)
