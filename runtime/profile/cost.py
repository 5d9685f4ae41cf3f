"""What recording itself costs, worked out from what one span of each kind takes: free of the noise of whole jobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from handfirst.engines.engine import Array
from handfirst.engines.spec import EngineSpec, TensorSpec
from handfirst.runtime.profile.measure import Job
from handfirst.runtime.timing.spans import Clock, Kind, Recording, recorded, recording, span

REPEATS, ROUNDS = 200, 5


def recorder_share(jobs: Sequence[Job], tensors: int = 20) -> float:
    """The part of the jobs' wall time that went into recording, 0 to 1.

    Args:
        tensors: inputs of the engine whose recording is timed; few engines have as many.
    """
    cost = span_cost(tensors)
    spent = sum(cost[each.kind] for job in jobs for each in job.spans)
    return spent / sum(job.wall for job in jobs)


def span_cost(tensors: int = 20) -> dict[Kind, float]:
    """Nanoseconds that a span of each kind takes more with a listener than without."""
    engine, clock = recorded(_Nothing(tensors)), Clock("x")
    inputs = {tensor.name: np.empty(1, np.float32) for tensor in engine.spec.inputs}

    def host() -> None:
        with span("x"):
            pass

    def stage() -> None:
        with clock("x"):
            pass

    return {"engine": _extra(lambda: engine.run(inputs)), "host": _extra(host), "stage": _extra(stage)}


def _extra(act: Callable[[], object]) -> float:
    plain = _fastest(act)
    with recording(Recording()):
        return max(0.0, _fastest(act) - plain)


def _fastest(act: Callable[[], object]) -> float:
    """Nanoseconds of a call: the best of some rounds, as whatever else the machine does only adds to it."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(REPEATS):
            act()
        rounds.append((time.perf_counter_ns() - start) / REPEATS)
    return min(rounds)


class _Nothing:
    """An engine that does no work."""

    name = "nothing"

    def __init__(self, tensors: int) -> None:
        inputs = tuple(TensorSpec(name=f"x{i}", dtype="float32", shape=(1,)) for i in range(tensors))
        self.spec = EngineSpec(inputs=inputs, outputs=inputs[:1])

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"x0": inputs["x0"]}

    def close(self) -> None:
        """Has nothing to free."""
