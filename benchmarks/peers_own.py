"""Contenders of peers.py that run the graphs: handfirst's own stage 2, and the engines called without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers_model import GUIDANCE, ROLES, Inputs, Model

from handfirst.engines.opening import HEAVY, open_engine
from handfirst.runtime.diffusion.device_loops import Loops
from handfirst.runtime.diffusion.sampler import Guided
from handfirst.runtime.diffusion.solvers import step_table
from handfirst.runtime.diffusion.speed import Speed, planned
from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.systems.two_stage.body import BodyStage
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.timing.spans import recorded

Latents = NDArray[np.float32]
Tensors = dict[str, NDArray[Any]]
Mark = Callable[[], None]
"""Called when a step has ended."""


class Handfirst:
    """Stage 2 as a bundle runs it: an empty canvas, so nothing is kept, and nothing is encoded."""

    def __init__(self, model: Model, threads: int, engine: str, speed: Speed = "exact") -> None:
        self._engines = {role: recorded(open_engine(model.graph(role), engine, threads)) for role in ROLES}
        self._speed = speed

    def run(self, inputs: Inputs, mark: Mark) -> Latents:
        """The finished latents."""
        settings, engines = inputs.settings, self._engines
        painters = engines["hint_encoder"], engines["controlnet"], engines["body_unet"]
        stage = BodyStage(*painters, _Grey(inputs), settings, Loops())  # type: ignore[arg-type]
        schedule = Schedule(settings.schedule)
        table = planned(step_table("ddim", schedule, inputs.job.steps, GUIDANCE, 0.0), self._speed)
        guided = Guided({"context": inputs.contexts(True)}, {"context": inputs.contexts(False)})
        canvases = [Canvas.empty(settings.body)] * inputs.job.batch
        latents = inputs.x_T
        for step in stage.steps(inputs.requests, canvases, guided, table):
            latents = np.asarray(step.x_t)
            mark()
        return latents


class _Grey:
    """In the codec's place: the latents of a canvas of which nothing is kept are asked for, and read by nobody."""

    def __init__(self, inputs: Inputs) -> None:
        self._like = inputs.x_T

    def encode(self, images: NDArray[np.uint8]) -> Latents:
        return np.zeros_like(self._like)


class Bare:
    """The same graphs with the same shapes, called by a loop of a few lines of NumPy: DDIM as its paper writes it.

    Args:
        library: "onnxruntime" or "openvino-bf16".
        guided: without it the ControlNet is left out, and the UNet is given zeros in its place.
    """

    def __init__(self, model: Model, threads: int, library: str, guided: bool = True) -> None:
        opens = _onnxruntime if library == "onnxruntime" else _openvino
        roles = ROLES if guided else ("body_unet",)
        self._networks = {role: opens(model, role, threads, library) for role in roles}
        self._residuals = {tensor.name: tensor.shape for tensor in model.spec("controlnet").outputs}
        self._alone = model.bytes("body_unet") > HEAVY  # handfirst, too, asks row by row then

    def run(self, inputs: Inputs, mark: Mark) -> Latents | None:
        """The finished latents; None without the ControlNet, as it is another picture then."""
        context = np.concatenate([inputs.contexts(False), inputs.contexts(True)])
        x, residuals = inputs.x_T, self._guide(inputs)
        times = step_table("ddim", Schedule(inputs.settings.schedule), inputs.job.steps, GUIDANCE, 0.0)
        for row in map(times.row, range(1, inputs.job.steps + 1)):
            sample = np.concatenate([x, x])
            shared = {"sample": sample, "timestep": np.full(len(sample), row.timestep), "context": context}
            said = self._ask("body_unet", {**shared, **residuals(shared)})["prediction"]
            without, with_prompt = np.split(said, 2)
            said = without + np.float32(GUIDANCE) * (with_prompt - without)
            signal, noise = np.float32(row.signal), np.float32(row.noise)
            x_0 = said if row.prediction == "sample" else (x - noise * said) / signal
            eps = said if row.prediction == "epsilon" else (x - signal * x_0) / noise
            x = np.float32(row.clean) * x_0 + np.float32(row.direction) * eps
            mark()
        return x if "controlnet" in self._networks else None

    def _guide(self, inputs: Inputs) -> Callable[[Tensors], Tensors]:
        """What a step adds to the UNet's skips."""
        if "controlnet" not in self._networks:
            rows, cells = 2 * inputs.job.batch, inputs.job.size // inputs.settings.latent.factor
            shapes = {name: _sizes(shape, rows, cells) for name, shape in self._residuals.items()}
            nothing = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            return lambda shared: nothing
        feature = self._ask("hint_encoder", {"hint": inputs.hint})["hint_feature"]
        both = np.concatenate([feature, feature])
        return lambda shared: self._ask("controlnet", {**shared, "hint_feature": both})

    def _ask(self, role: str, inputs: Tensors) -> Tensors:
        network, count = self._networks[role], len(next(iter(inputs.values())))
        if not self._alone:
            return network(inputs)
        rows = [network({name: value[i : i + 1] for name, value in inputs.items()}) for i in range(count)]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _sizes(shape: tuple[int | str, ...], rows: int, cells: int) -> list[int]:
    """Of a square map: "rows_2" is half of "rows"."""
    shares = (axis if isinstance(axis, int) else cells // int([*axis.split("_"), "1"][1]) for axis in shape[1:])
    return [rows, *shares]


def _onnxruntime(model: Model, role: str, threads: int, library: str) -> Callable[[Tensors], Tensors]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.path(role), options, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in model.spec(role).outputs]
    return lambda inputs: dict(zip(names, session.run(names, inputs), strict=True))


def _openvino(model: Model, role: str, threads: int, library: str) -> Callable[[Tensors], Tensors]:
    import openvino

    core = openvino.Core()
    precision = "bf16" if library.endswith("bf16") else "f32"
    config = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": str(threads),
        "PERFORMANCE_HINT": "LATENCY",
    }
    read, names = core.read_model(model.path(role)), [tensor.name for tensor in model.spec(role).outputs]
    compiled: dict[Any, Any] = {}

    def ask(inputs: Tensors) -> Tensors:
        shapes = {name: list(value.shape) for name, value in inputs.items()}
        key = str(shapes)
        if key not in compiled:
            static = read.clone()
            static.reshape(shapes)
            compiled[key] = core.compile_model(static, "CPU", config).create_infer_request()
        found = compiled[key].infer(inputs)
        return {name: np.array(found[name]) for name in names}

    return ask
