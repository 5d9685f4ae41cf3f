"""The sampling loop on a GPU: x_t, canvas, noise, masks and residuals stay there from the first step to the last.

What sampler.py does with arrays is queued here on the stream of the engines: their runs, then the step kernel
(engines/cuda/step.cu), which finds its row, masks and noise by a counter on the device. Between two steps the host
copies nothing and lets the device never run dry: it stays at most AHEAD steps ahead, so that progress tells the truth
and a caller who stops, stops the work within as many steps. It waits for all of the work once, when the last x_t comes
back, and once more when a step has been captured for the first time. Engines that can be captured run with the kernel
as one CUDA graph; steps that ask the networks for less (speed.py) have one of their own. Nothing here has run on a GPU;
with a stand-in for one, latents equal sampler.py's to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from math import prod
from time import sleep

import numpy as np

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.cuda.layout import LOOP, ROW
from handfirst.engines.engine import Array, Placed, nbytes
from handfirst.engines.errors import EngineError
from handfirst.engines.spec import EngineSpec
from handfirst.runtime.diffusion.launch import Launch, output_shapes
from handfirst.runtime.diffusion.loop_shape import LoopShape, pack_rows
from handfirst.runtime.diffusion.sampler import STEP, Known, Latents, Step
from handfirst.runtime.diffusion.step_graphs import StepGraphs
from handfirst.runtime.diffusion.table import StepTable
from handfirst.runtime.timing.device_spans import DeviceSpans
from handfirst.runtime.timing.spans import listened

AHEAD = 2
"""Steps that may be queued while the device works on an earlier one: one would leave it idle between two steps."""

PAUSE = 2e-4
"""Seconds between two looks at whether the device is that far: a step takes milliseconds."""


class DeviceLoop:
    """The memory of one loop, and the loop itself. One caller at a time.

    Args:
        lane: where all of it happens.
        shape: of the loop.

    Attributes:
        sample, timestep, prediction: what the network takes and gives, as it must be bound.
    """

    def __init__(self, lane: Lane, shape: LoopShape) -> None:
        self.lane, self.shape = lane, shape
        self._held: dict[str, Placed] = {}
        self._graphs = StepGraphs(lane, self._held)
        try:
            self._make_room()
        except BaseException:
            self.close()
            raise

    def _make_room(self) -> None:
        lane, shape = self.lane, self.shape
        B, (C, h, w), S = shape.batch, shape.latent, shape.steps
        self.sample = self.room("sample", (shape.rows, shape.channels, h, w), "float32")
        self.timestep = self.room("timestep", (shape.rows,), "int64")
        self.prediction = self.room("prediction", (shape.rows, C, h, w), "float32")
        self._x_t = self.room("x_t", (B, C, h, w), "float32")
        self._x_0 = self.room("x_0", (B, C, h, w), "float32")
        self.room("state", (2,), "uint32")
        self._raw("rows", S * ROW.itemsize)
        if shape.history:
            self.room("x_0_before", (B, C, h, w), "float32")
        for name in ("told", "told_before")[: shape.told]:
            self.room(name, (B, C, h, w), "float32")
        if shape.noisy:
            self.room("noise", (B, 1 + S, C, h, w), "float32")
        if shape.known:
            self.room("x_c", (B, C, h, w), "float32")
            self.room("eps_0", (B, C, h, w), "float32")
            self.room("kept", (B, S, h, w), "bool")
        loop = np.zeros(1, LOOP)
        for name in set(LOOP.names or ()) & self._held.keys():
            loop[name] = self._held[name].address
        for name, size in (
            ("steps", S), ("batch", B), ("values", C * h * w), ("cells", h * w), ("copies", shape.copies),
            ("sample_stride", shape.channels * h * w),
        ):  # fmt: skip
            loop[name] = size
        self._loop = self._raw("loop", LOOP.itemsize)
        with lane.lock:
            lane.cuda.upload(self._loop.address, loop, lane.stream)

    def room(self, name: str, shape: tuple[int, ...], dtype: str) -> Placed:
        """Memory for a tensor, the same for the same name, of which a later one may take the beginning; it holds
        nothing yet."""
        if name not in self._held:
            with self.lane.lock:
                self._held[name] = Placed(self.lane.cuda.allocate(nbytes(shape, dtype)), shape, dtype)
        held, wanted = self._held[name], nbytes(shape, dtype)
        if wanted > held.nbytes:
            raise ValueError(f"{name}: expected at most {held.nbytes} bytes, as were asked for first, got {wanted}")
        return held if (held.shape, held.dtype) == (shape, dtype) else Placed(held.address, shape, dtype)

    def place(self, name: str, array: Array) -> Placed:
        """As `room`, with the array's values from now on."""
        placed = self.room(name, array.shape, str(array.dtype))
        with self.lane.lock:
            self.lane.cuda.upload(placed.address, np.ascontiguousarray(array), self.lane.stream)
        return placed

    def alone(self, placed: Placed) -> Placed:
        """The first B rows of a tensor of all rows: where steps that ask with the prompt alone read and write.

        What they read there must be what it is in the rows with the prompt.
        """
        return Placed(placed.address, (self.shape.batch, *placed.shape[1:]), placed.dtype)

    def outputs(
        self, spec: EngineSpec, inputs: Mapping[str, Placed], names: Sequence[str] | None = None
    ) -> dict[str, Placed]:
        """Memory for an engine's outputs, whose free axes have the sizes that they have in its inputs.

        Args:
            names: of some of them; None: all.
        """
        shapes = output_shapes(spec, inputs)
        return {
            tensor.name: self.room(tensor.name, shapes[tensor.name], tensor.dtype)
            for tensor in spec.outputs
            if names is None or tensor.name in names
        }

    def run(
        self,
        table: StepTable,
        draws: Latents,
        launches: Sequence[Launch],
        condition: Latents | None = None,
        known: Known | None = None,
        extras: Sequence[str] = (),
        alone: Sequence[Launch] = (),
    ) -> Iterator[Step]:
        """As sampler.denoise. A step's tensors are on the device and hold until the next step is asked for; the last
        step's are arrays.

        Args:
            table: of `shape.steps` rows.
            draws: x_T and the fresh noise of every step, [B, 1 + S or 1, C, h, w].
            launches: the engines of a step in their order.
            condition: channels of the network's input behind x_t's, [B, K, h, w].
            known: region to keep.
            extras: names of what else the last engine of a step tells.
            alone: the engines of a step that asks with the prompt alone: their outputs begin where those of `launches`
                do. Needed where the table has such steps.

        Raises:
            ValueError: the table has a row that the kernel does not know; see pack_rows.
        """
        cuda, stream = self.lane.cuda, self.lane.stream
        only = launches if self.shape.copies == 1 else alone
        asked: dict[int, Sequence[Launch]] = {2: launches, 1: only, 0: ()}
        answers = table.answers(self.shape.copies).tolist()
        if not all(asked[count] for count in answers if count):
            raise ValueError("the table asks with the prompt alone in some steps, and no engines are bound for that")
        spans = DeviceSpans(self.lane) if listened() else None  # which part took how long is only seen one by one
        marks: list[int] = []
        try:
            self._begin(table, draws, condition, known)
            marks += [cuda.event()]
            marks += [cuda.event()]
            for index, timestep in enumerate(table.timestep.tolist(), 1):
                mark = marks[index % AHEAD]
                if index > AHEAD:
                    self._until(mark)
                count = answers[index - 1]
                told = {name: asked[count][-1].tensors[name] for name in extras if count}
                with self.lane.lock:
                    self._step(index, count, asked[count], spans)
                    cuda.record(mark, stream)
                if index < len(table):
                    late = {name: _OnDevice(self.lane, placed) for name, placed in told.items()}
                    here = _OnDevice(self.lane, self._x_t), _OnDevice(self.lane, self._x_0)
                    yield Step(index, len(table), timestep, *here, late)
            self._until(mark)  # others queue meanwhile
            x_t, x_0, *rest = self.lane.bring(self._x_t, self._x_0, *told.values())
            if spans is not None:
                spans.tell()
            yield Step(len(table), len(table), timestep, x_t, x_0, dict(zip(told, rest, strict=True)))
        finally:
            if spans is not None:
                spans.close()
            for mark in marks:
                with suppress(EngineError):  # a lost GPU has nothing left to give back
                    cuda.forget(mark)

    def close(self) -> None:
        """Frees its memory, once all that was queued is done."""
        cuda, placed = self.lane.cuda, list(self._held.values())
        self._held.clear()
        gives = [partial(cuda.wait, self.lane.stream)]
        gives += [partial(cuda.drop, graph) for graph in self._graphs.given_up()]
        gives += [partial(cuda.free, each.address) for each in placed]
        with self.lane.lock:
            for give in gives:
                with suppress(EngineError):  # a lost GPU has nothing left to give back
                    give()

    def _begin(self, table: StepTable, draws: Latents, condition: Latents | None, known: Known | None) -> None:
        """Everything that a job brings goes up, before its first step."""
        rows = pack_rows(table, self.shape.copies)
        self._graphs.begin()
        x_T = np.ascontiguousarray(draws[:, 0])
        first = x_T if condition is None else np.concatenate([x_T, condition], 1)
        given: dict[str, Array] = {
            "x_t": x_T,
            "sample": np.concatenate([first] * self.shape.copies),
            "timestep": np.full(self.shape.rows, table.timestep[0]),
            "state": np.zeros(2, np.uint32),
            "rows": rows.view(np.uint8),
        }
        if self.shape.noisy:
            given["noise"] = draws
        if known is not None:
            given |= {"x_c": known.x_c, "eps_0": known.eps_0, "kept": known.kept}
        for name, array in given.items():
            self.place(name, array)

    def _step(self, index: int, answers: int, launches: Sequence[Launch], spans: DeviceSpans | None) -> None:
        def queue() -> None:
            for launch in launches:
                with nullcontext() if spans is None else spans.of(launch.engine.name, launch.nbytes, launch.shapes):
                    launch.queue()
            with nullcontext() if spans is None else spans.of(STEP):
                self.lane.cuda.step(self._loop.address, self.shape.batch, prod(self.shape.latent), self.lane.stream)

        engines = [launch.engine for launch in launches]
        self._graphs.run(index, answers, engines, queue, whole=spans is None)

    def _until(self, mark: int) -> None:
        """Until an event has happened. Asked again and again, since waiting would hold the lock that others need."""
        while True:
            with self.lane.lock:
                if self.lane.cuda.done(mark):
                    return
            sleep(PAUSE)

    def _raw(self, name: str, size: int) -> Placed:
        return self.room(name, (size,), "uint8")


@dataclass(frozen=True, eq=False)
class _OnDevice:
    """A DeviceArray of a loop under way: it holds until the next step is asked for."""

    lane: Lane
    placed: Placed

    @property
    def shape(self) -> tuple[int, ...]:
        return self.placed.shape

    @property
    def dtype(self) -> str:
        return self.placed.dtype

    @property
    def place(self) -> str:
        return f"loop on stream {self.lane.stream}"

    def numpy(self) -> Array:
        return self.lane.bring(self.placed)[0]
