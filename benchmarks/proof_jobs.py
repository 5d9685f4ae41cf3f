"""Whole two-stage pictures for gpu_proof.py: the loop on the GPU against the NumPy loop over the same engines, and
against torch's own loop over the same modules.

Times are from call to result. `step_milliseconds` is what one step of each stage adds: a job of twice as many steps
less this one, by the steps. Torch's job does the same networks in the same shapes as often, on random inputs, and all
of it on the GPU. More than 16 rows of a network at once (the hands of eight pictures) have no loop on a GPU.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from proof_model import Store, free_memory, in_precision, on_device, synchroniser
from proof_race import Rules, refusal

from handfirst.engines import ort
from handfirst.engines.cuda.lane import Cuda, Lane, process_lane
from handfirst.engines.engine import Array, Engine
from handfirst.engines.graph import Precision
from handfirst.engines.installed import importable
from handfirst.engines.ort import OrtEngine
from handfirst.export.examples import example
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.runtime.systems.two_stage.hands import count_hands
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.roles import ROLES
from handfirst.runtime.systems.two_stage.system import TwoStage

PROMPT = "a person, left hand open palm"
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


@dataclass
class Jobs:
    """What is painted.

    Attributes:
        store: of the model's graphs.
        tokenizer: that fits its settings.
        precision: of all graphs.
        batches: pictures painted together.
        steps: of each stage; twice as many are timed too.
        rounds: timed jobs of each kind, after one that is not.
    """

    store: Store
    tokenizer: bytes
    precision: Precision
    batches: tuple[int, ...]
    steps: int
    rounds: int

    @property
    def request(self) -> Request:
        """The embedded pose, seed 0."""
        return Request(pose=demo_pose(), prompt=PROMPT, steps=self.steps)

    def requests(self, batch: int, times: int = 1) -> list[Request]:
        """With a seed each."""
        return [Request(pose=demo_pose(), prompt=PROMPT, steps=self.steps * times, seed=i) for i in range(batch)]


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
    field["torch eager"] = lambda left: _torch_rows(jobs, rules, left, None)
    if rules.compiles:
        mode = rules.mode or ("max-autotune" if gpu else None)
        field[f"torch.compile ({mode or rules.backend})"] = lambda left: _torch_rows(jobs, rules, left, mode, True)
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
    pixels = [np.abs(a.image.astype(int) - b.image.astype(int)) for a, b in zip(found, wanted, strict=True)]
    latents = [np.abs(a.latents - b.latents).max() for a, b in zip(found, wanted, strict=True)]
    return row | {
        ON_GPU: times | {"asked_of_cuda": dict(counting.counts)},
        "latents_max_abs_difference": float(max(latents)),
        "latents_max_abs": float(max(np.abs(b.latents).max() for b in wanted)),
        "pixels_max_difference": int(max(p.max() for p in pixels)),
        "pixels_that_differ": float(np.mean([(p > 0).mean() for p in pixels])),
    }


def _times(jobs: Jobs, system: TwoStage, batch: int) -> dict[str, Any]:
    return times(lambda many: system.render_batch(jobs.requests(batch, many)), jobs, lambda: None)


def times(run: Callable[[int], Any], jobs: Jobs, wait: Callable[[], None]) -> dict[str, Any]:
    """Median milliseconds of a job, and what a step adds.

    Args:
        run: a job of so many times `jobs.steps` steps.
        wait: until the device has nothing left to do.
    """
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for many in seconds:
        run(many)
    for _ in range(jobs.rounds):
        for many, found in seconds.items():
            wait()
            started = time.perf_counter()
            run(many)
            wait()
            found.append(time.perf_counter() - started)
    once, twice = (1e3 * statistics.median(found) for found in seconds.values())
    return {
        "milliseconds": round(once, 3),
        "step_milliseconds": round((twice - once) / jobs.steps, 4),
        "runs": jobs.rounds,
    }


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


def _torch_rows(
    jobs: Jobs, rules: Rules, left: list[dict[str, Any]], mode: str | None, compiled: bool = False
) -> Iterator[dict[str, Any]]:
    makers, calls = part_makers(jobs.store.model), {}
    parts = {role: makers[role]() for role in ROLES}
    for role, part in parts.items():
        module = in_precision(part, jobs.precision).to(rules.device)
        call: Any = torch.compile(module, backend=rules.backend, mode=mode, dynamic=False) if compiled else module
        calls[role] = call
    body, factor = jobs.store.model.settings.body, jobs.store.model.settings.latent.factor
    hands = max(1, count_hands(jobs.request.resolve(jobs.store.model.settings), jobs.store.model.settings))
    for heading in left:
        if time.monotonic() > rules.deadline:
            return
        rules.begin(heading)
        batch = heading["batch"]
        rows = {"hand_unet": 2 * hands * batch, "mask_head": hands * batch, "controlnet": 2 * batch}
        rows |= {"body_unet": 2 * batch, "text_encoder": 1}
        inputs = {
            role: on_device(
                example(part, rows.get(role, batch), cells=(body.height // factor, body.width // factor)),
                [tensor.name for tensor in part.spec.inputs],
                rules.device,
            )
            for role, part in parts.items()
        }
        run = TorchJob(calls, inputs, jobs.steps, hands).run
        yield heading | times(run, jobs, synchroniser(rules.device))
    torch.compiler.reset()


@dataclass
class TorchJob:
    """A two-stage job in torch: the same networks as often, guidance, DDIM and blending between them.

    The text encoder takes no part on either side: contexts of a prompt are kept, and the jobs have one prompt.

    Attributes:
        calls: modules by role.
        inputs: of each, in the order of its spec.
        steps: of each stage.
        hands: per picture.
    """

    calls: Mapping[str, Callable[..., Any]]
    inputs: Mapping[str, list[torch.Tensor]]
    steps: int
    hands: int

    @torch.no_grad()
    def run(self, many: int = 1) -> torch.Tensor:
        """The final latents, on the host."""
        calls, inputs, steps = self.calls, self.inputs, self.steps * many
        sample, *rest = inputs["hand_unet"]
        channels = inputs["vae_decoder"][0].shape[1]
        x, condition = sample[: len(sample) // 2, :channels], sample[:, channels:]
        for _ in range(steps):
            prediction, _feature = calls["hand_unet"](torch.cat([torch.cat([x, x]), condition], 1), *rest)
            x = self._stepped(x, prediction)
        calls["mask_head"](*inputs["mask_head"])
        for piece in x.split(len(inputs["vae_decoder"][0])):
            calls["vae_decoder"](piece)
        calls["vae_encoder"](*inputs["vae_encoder"])
        calls["hint_encoder"](*inputs["hint_encoder"])
        _, times, context, hint = inputs["controlnet"]
        x = canvas = inputs["vae_decoder"][0]
        keep = canvas > 0
        for _ in range(steps):
            both = torch.cat([x, x])
            residuals = calls["controlnet"](both, times, context, hint)
            prediction = calls["body_unet"](both, times, context, *residuals)
            x = torch.where(keep, 0.6 * canvas + 0.8 * canvas, self._stepped(x, prediction))
        calls["vae_decoder"](x)
        return x.cpu()

    def _stepped(self, x: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """Guidance and one row of DDIM, with weights in the middle of a schedule."""
        without, conditional = prediction.chunk(2)
        eps = without + 7.5 * (conditional - without)
        x_0 = (x - 0.6 * eps) / 0.8
        return 0.85 * x_0 + 0.5 * eps


def _heading(jobs: Jobs, rules: Rules, name: str, batch: int) -> dict[str, Any]:
    return {
        "contestant": name, "precision": jobs.precision, "form": rules.form, "batch": batch, "steps": jobs.steps,
    }  # fmt: skip
