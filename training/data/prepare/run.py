"""Many pieces of work at once: processes of this machine, or a Ray cluster. Both run the same function.

Knows nothing about what a piece is made of. Whatever is killed leaves whole pieces only, and is made again.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from handfirst.engines.errors import UserError
from handfirst.engines.telemetry import switch_off
from handfirst.training.data.workers import begin, one_thread, single_threaded

Context = TypeVar("Context")
Piece = TypeVar("Piece")
Result = TypeVar("Result")


def run_here(
    work: Callable[[Context, Piece], Result], context: Context, pieces: Sequence[Piece], workers: int
) -> Iterator[tuple[Piece, Result]]:  # fmt: skip
    """Yields every piece as it is finished, with what came of it.

    Raises:
        UserError: a process was killed.
    """
    if workers == 1 or len(pieces) < 2:
        for piece in pieces:
            yield piece, work(context, piece)
        return
    spawn = multiprocessing.get_context("spawn")
    with (
        single_threaded(),
        ProcessPoolExecutor(min(workers, len(pieces)), mp_context=spawn, initializer=begin) as pool,
    ):
        try:
            running = {pool.submit(work, context, piece): piece for piece in pieces}
            for done in as_completed(running):
                yield running[done], done.result()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process was killed, perhaps for want of memory; run the same command again to go on, "
                "with fewer --workers"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def run_on_ray(
    work: Callable[[Context, Piece], Result], context: Context, pieces: Sequence[Piece], address: str, gpu: bool = False
) -> Iterator[tuple[Piece, Result]]:  # fmt: skip
    """The same on a Ray cluster, a task per piece; tasks of lost machines are given to others.

    Every machine must see the pictures and the data set's folder under the same paths.

    Args:
        gpu: a task takes one, where the cluster has any.
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
    gpus = 1 if gpu and any(node["Alive"] and node["Resources"].get("GPU") for node in ray.nodes()) else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus)(_alone)
    running = {task.remote(work, context, piece): piece for piece in pieces}
    try:
        while running:
            (done, *_), _rest = ray.wait(list(running))
            yield running.pop(done), ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):  # Ray's own message is the whole traceback
            raise UserError(str(error.cause)) from error
        raise
    finally:
        for late in running:
            ray.cancel(late)
        if started:
            ray.shutdown()


def _alone(work: Callable[[Context, Piece], Result], context: Context, piece: Piece) -> Result:
    """In a worker of Ray: OpenCV would take every core of its machine."""
    one_thread()
    return work(context, piece)
