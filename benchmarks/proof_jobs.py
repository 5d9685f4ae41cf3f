"""Whole two-stage pictures for gpu_proof.py: the loop on the GPU against the NumPy loop over the same engines, and
against torch's own loop over the same modules.

Times are from call to result. `step_milliseconds` is what one step of each stage adds: a job of twice as many steps
less this one, by the steps. `device_milliseconds` is what the GPU computed in such a job by its own clock, launch by
launch: what the job takes longer, the GPU waited for the host, or nobody asked it anything. More than 16 rows of a
network at once (the hands of eight pictures) have no loop on a GPU.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
from proof_model import free_memory
from proof_race import Rules, refusal
from proof_torch import Jobs, times, torch_rows

from handfirst.engines import ort
from handfirst.engines.cuda.lane import Cuda, Lane, process_lane
from handfirst.engines.engine import Array, Engine
from handfirst.engines.installed import importable
from handfirst.engines.ort import OrtEngine
from handfirst.runtime.systems.two_stage.roles import ROLES
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.runtime.timing.spans import Recording, recording

ON_GPU, IN_NUMPY = "loop on the GPU", "NumPy loop"
SKIPPED = "no GPU here: tests/runtime/diffusion/test_device.py runs this loop over stand-ins"


class Counting:
    """A Cuda that counts what the host asks of it, by method."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self.counts: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._cuda, name)

        def counted(*arguments: Any) -> Any:
            self.counts[name] += 1
            return method(*arguments)

        return counted


class Plain:
    """An engine that can only `run`: its loop is NumPy's."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.spec, self._engine = engine.name, engine.spec, engine

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """See Engine."""
        return self._engine.run(inputs, wanted)

    def close(self) -> None:
        """The engine belongs to somebody else."""


def job_rows(
    jobs: Jobs, rules: Rules, done: Callable[[dict[str, Any]], bool], only: str | None = None
) -> Iterator[dict[str, Any]]:
    """A row per contestant and batch, as soon as it is there; what is done already is not opened.

    Args:
        only: the one contestant that takes part; None: all.
    """
    for name, rows in _field(jobs, rules).items():
        if only not in (None, name):
            continue
        headings = [_heading(jobs, rules, name, batch) for batch in jobs.batches]
        left = [heading for heading in headings if not done(heading)]
        if not left or time.monotonic() > rules.deadline:
            continue
        rules.begin(left[0])
        try:
            yield from rows(left)
        except Exception as error:  # whatever a library raises is a finding
            yield from (heading | refusal(error) for heading in left)
        free_memory()


def contestants(rules: Rules) -> list[str]:
    """Who takes part."""
    nothing: Any = None
    return list(_field(nothing, rules))


_Rows = Callable[[list[dict[str, Any]]], Iterator[dict[str, Any]]]


def _field(jobs: Jobs, rules: Rules) -> dict[str, _Rows]:
    """Who takes part; nothing is opened before it is called."""
    gpu = rules.device == "cuda"
    kinds = ["onnxruntime", *(["TensorRT"] if gpu and importable("tensorrt") else [])]
    field: dict[str, _Rows] = {kind: lambda left, kind=kind: _engine_rows(jobs, rules, kind, left) for kind in kinds}
    field["torch eager"] = lambda left: torch_rows(jobs, rules, left, None)
    if rules.compiles:
        mode = rules.mode or ("max-autotune" if gpu else None)
        field[f"torch.compile ({mode or rules.backend})"] = lambda left: torch_rows(jobs, rules, left, mode, True)
    return field


def _engine_rows(jobs: Jobs, rules: Rules, kind: str, left: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    counting, engines = _open(jobs, rules, kind)
    settings, tokenizer = jobs.store.model.settings, jobs.tokenizer
    system = TwoStage(settings, engines, tokenizer)
    plain = TwoStage(settings, {role: Plain(engine) for role, engine in engines.items()}, tokenizer)
    try:
        for heading in left:
            if time.monotonic() > rules.deadline:
                return
            rules.begin(heading)
            yield heading | _compared(jobs, system, plain, counting, heading["batch"])
    finally:
        plain.close()
        system.close()


def _compared(jobs: Jobs, system: TwoStage, plain: TwoStage, counting: Counting | None, batch: int) -> dict[str, Any]:
    """Both loops over the same engines, in turn."""
    requests = jobs.requests(batch)
    wanted = plain.render_batch(requests)
    row: dict[str, Any] = {IN_NUMPY: _times(jobs, plain, batch)}
    if counting is None:
        return row | {ON_GPU: {"skipped": SKIPPED}}
    found = system.render_batch(requests)
    times = _times(jobs, system, batch)
    counting.counts.clear()
    system.render_batch(requests)
    asked = dict(counting.counts)
    with recording(Recording()) as heard:
        system.render_batch(requests)
    device = [span.device for span in heard.spans if span.device is not None]
    pixels = [np.abs(a.image.astype(int) - b.image.astype(int)) for a, b in zip(found, wanted, strict=True)]
    latents = [np.abs(a.latents - b.latents).max() for a, b in zip(found, wanted, strict=True)]
    return row | {
        ON_GPU: times | {"device_milliseconds": round(sum(device) / 1e6, 3), "asked_of_cuda": asked},
        "latents_max_abs_difference": float(max(latents)),
        "latents_max_abs": float(max(np.abs(b.latents).max() for b in wanted)),
        "pixels_max_difference": int(max(p.max() for p in pixels)),
        "pixels_that_differ": float(np.mean([(p > 0).mean() for p in pixels])),
    }


def _times(jobs: Jobs, system: TwoStage, batch: int) -> dict[str, Any]:
    return times(lambda many: system.render_batch(jobs.requests(batch, many)), jobs, lambda: None)


def _open(jobs: Jobs, rules: Rules, kind: str) -> tuple[Counting | None, dict[str, Engine]]:
    """The engines, on a stream whose calls are counted where there is a GPU."""
    graphs = {role: jobs.store.graph(role, jobs.precision) for role in ROLES}
    if rules.device == "cpu":
        return None, {role: OrtEngine(graph, "cpu") for role, graph in graphs.items()}
    lane = process_lane()
    counting: Any = Counting(lane.cuda)
    if kind == "TensorRT":
        from handfirst.engines.tensorrt.engine import TrtEngine
        from handfirst.engines.tensorrt.memory import Arena

        arena = Arena(counting)
        return counting, {role: TrtEngine(graph, arena=arena) for role, graph in graphs.items()}
    counted, plain = Lane(counting, lane.stream, lane.lock), ort.process_lane
    ort.process_lane = lambda index=0: counted  # type: ignore[assignment]
    try:
        return counting, {role: OrtEngine(graph, "cuda") for role, graph in graphs.items()}
    finally:
        ort.process_lane = plain


def _heading(jobs: Jobs, rules: Rules, name: str, batch: int) -> dict[str, Any]:
    return {
        "contestant": name, "precision": jobs.precision, "form": rules.form, "batch": batch, "steps": jobs.steps,
    }  # fmt: skip
