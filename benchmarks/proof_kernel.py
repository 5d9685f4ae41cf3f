"""The step kernel of a GPU against the NumPy loop (runtime/diffusion/sampler.py), over random tables: how many values
are equal to the last bit, and how far the worst one is, in units in the last place.

What a network would predict is random too and given to both, so that nothing but the kernel can differ.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from proof_model import TESTS

from handfirst.engines.cuda.lane import Lane, process_lane
from handfirst.runtime.diffusion.device import DeviceLoop
from handfirst.runtime.diffusion.launch import Launch
from handfirst.runtime.diffusion.loop_shape import loop_shape
from handfirst.runtime.diffusion.sampler import Guided, Known, Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.speed import Plan, thinned
from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_table
from handfirst.runtime.running import host

KINDS = ("epsilon", "sample", "v_prediction")
TABLES = 24


@dataclass(frozen=True)
class Case:
    """One loop: its table, noise [B, 1 + S, C, h, w], predictions of the steps that ask, and the canvas, if any."""

    table: StepTable
    draws: np.ndarray
    answers: list[np.ndarray]
    known: Known | None

    @property
    def guided(self) -> Guided:
        """Two answers per picture, or one."""
        batch = len(self.draws)
        context = np.zeros((batch, 1, 1), np.float32)
        told = {"context": context}
        return Guided(told, told if len(self.answers[0]) == 2 * batch else None)


class Given:
    """Stands where a network would in a Launch."""

    name, captured, computes_in = "given", False, None


def kernel_row(device: str, seed: int = 0, tables: int = TABLES, side: int = 64) -> dict[str, Any]:
    """The finding.

    Args:
        device: "cuda"; "cpu": the kernel's source compiled for the processor, over a stand-in for CUDA.
        side: of the latents' maps.
    """
    lane = process_lane() if device == "cuda" else stand_in()
    values = equal = worst = 0
    for case in cases(seed, tables, side):
        for found, wanted in loops(lane, case):
            distance = ulps(found, wanted)
            values += distance.size
            equal += int((distance == 0).sum())
            worst = max(worst, int(distance.max()))
    return {"tables": tables, "values": values, "bit_equal": equal, "worst_ulp": worst, "seed": seed}


def stand_in() -> Lane:
    """The tests' CUDA, which needs a C++ compiler."""
    sys.path.insert(0, str(TESTS))
    from support.fake_cuda import FakeCuda

    cuda = FakeCuda()
    return Lane(cuda, cuda.stream())


def cases(seed: int, tables: int, side: int) -> Iterator[Case]:
    """Every second table is DDIM's, half of these thinned out; the others have weights that no solver would choose."""
    for index in range(tables):
        rng = np.random.default_rng([seed, index])
        steps, batch, shape = int(rng.integers(1, 9)), int(rng.integers(1, 4)), (4, side, side)
        schedule = Schedule(ScheduleSettings(prediction=KINDS[index % 3]))
        eta, blend = float(rng.choice([0.0, 0.3, 1.0])), int(rng.integers(0, 3))
        table = ddim_table(schedule, steps, float(rng.choice([1.0, 1.5, 7.5])), eta, blend)
        table = table if index % 2 else _any_weights(table, rng)
        if index % 4 == 3:
            table = thinned(table, Plan(every=2, points=2, first=0.2, last=0.0, guided=(0.0, 0.6)))
        draws = rng.standard_normal((batch, 1 + steps, *shape), np.float32)
        copies = 1 + bool(table.guided or rng.integers(2))
        asked = [count * batch for count in table.answers(copies).tolist() if count]
        answers = [rng.standard_normal((rows, *shape), np.float32) for rows in asked]
        x_c, eps_0 = rng.standard_normal((2, batch, *shape), np.float32)
        kept = rng.random((batch, steps, side, side)) < 0.5
        yield Case(table, draws, answers, Known(x_c, eps_0, kept) if rng.integers(2) else None)


def loops(lane: Lane, case: Case) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """x_t and x_0 of every step, on the device and in NumPy."""
    table, draws, batch = case.table, case.draws, len(case.draws)
    shape = loop_shape(table, draws[:, 0], case.guided, draws.shape[2], case.known is not None)
    loop = DeviceLoop(lane, shape)
    coming, there = iter(case.answers), iter(case.answers)

    def queue() -> None:
        lane.cuda.upload(loop.prediction.address, next(coming), lane.stream)

    def predict(x_t: np.ndarray, timestep: int) -> Prediction:
        answer = next(there)
        return Prediction(answer[-batch:], answer[:batch] if len(answer) > batch else None)

    given: Any = Given()
    launches = [Launch(given, {}, queue)]
    on_device = loop.run(table, draws, launches, known=case.known, alone=launches)
    on_host = denoise(predict, draws[:, 0], table, case.known, lambda index: draws[:, index])
    try:
        for here, wanted in zip(on_device, on_host, strict=True):
            yield host(here.x_t), host(wanted.x_t)
            yield host(here.x_0), host(wanted.x_0)
    finally:
        loop.close()


def ulps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many float32 values lie between: int64 of their shape. Zeros of both signs are equal."""

    def order(x: np.ndarray) -> np.ndarray:
        bits = np.ascontiguousarray(x).view(np.int32).astype(np.int64)
        return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)

    return np.abs(order(a) - order(b))


def _any_weights(table: StepTable, rng: np.random.Generator) -> StepTable:
    steps = len(table)
    columns = {name: rng.uniform(-2, 2, steps) for name in ("clean", "direction", "guidance")}
    earlier = rng.uniform(-2, 2, (steps, 2))
    earlier[:1] = 0  # there is no estimate before the first
    earlier[:2, 1] = 0
    more = {"earlier": earlier, "sigma": rng.uniform(0, 1, steps), "blend": rng.random(steps) < 0.5}
    return StepTable(**vars(table) | columns | more)
