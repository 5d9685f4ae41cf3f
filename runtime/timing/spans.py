"""What ran when: spans of stages, engine calls and host work, for whoever listens; a clock, and engines that tell.

Nobody listens by default, and a span then costs a look at one variable. A recorder hears the thread (or asyncio task)
that entered `recording`; a Server's workers inherit those that listen where it is opened, other threads enter it
themselves. Knows nothing about what is made of spans.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from threading import get_ident
from time import perf_counter_ns
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import (
    Array,
    DeviceArray,
    DeviceEngine,
    Engine,
    Placed,
    StreamEngine,
    Tensor,
    TimedEngine,
    nbytes,
)
from handfirst.engines.errors import EngineError
from handfirst.runtime.forks import Origin

Kind = Literal["stage", "engine", "host"]


class Span(NamedTuple):
    """One piece of work, recorded when it ended. Spans of one thread lie side by side or within each other."""

    name: str
    """Of the stage, the role of the engine, or the piece of the host's work."""
    kind: Kind
    """"stage", "engine" or "host"."""
    start: int
    """Nanoseconds of `time.perf_counter_ns`."""
    end: int
    """The same clock."""
    thread: int
    """`threading.get_ident` of who did it."""
    bytes: int = 0
    """Of an engine call: all tensors that went in and came out; weights are not counted."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """Of an engine call: its inputs', in the order of the spec."""
    device: int | None = None
    """Nanoseconds that the GPU computed, by its own events; None where nothing was asked of a GPU."""

    @property
    def duration(self) -> int:
        """Nanoseconds."""
        return self.end - self.start


class Recorder(Protocol):
    """Whoever wants to hear of spans. May be called from many threads at once."""

    def add(self, span: Span) -> None:
        """Takes one; those inside of it have come before."""
        ...


class Recording:
    """Keeps every span, in the order in which they ended."""

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def add(self, span: Span) -> None:
        """See Recorder."""
        self._spans.append(span)  # one step of the interpreter: threads need no lock

    @property
    def spans(self) -> tuple[Span, ...]:
        """Those so far."""
        return tuple(self._spans)


_listening: ContextVar[tuple[Recorder, ...]] = ContextVar("handfirst_recorders", default=())
_SILENCE = nullcontext()

R = TypeVar("R", bound=Recorder)


@contextmanager
def recording(recorder: R) -> Iterator[R]:
    """The recorder hears all spans of the block, beside those that listen already."""
    token = _listening.set((*_listening.get(), recorder))
    try:
        yield recorder
    finally:
        _listening.reset(token)


def listened() -> bool:
    """Whether anybody listens to this thread."""
    return bool(_listening.get())


def record(
    name: str,
    kind: Kind,
    start: int,
    end: int,
    size: int = 0,
    shapes: tuple[tuple[int, ...], ...] = (),
    device: int | None = None,
) -> None:
    """Tells all that listen; the arguments are those of Span."""
    if recorders := _listening.get():
        made = Span(name, kind, start, end, get_ident(), size, shapes, device)
        for recorder in recorders:
            recorder.add(made)


def span(name: str, kind: Kind = "host") -> AbstractContextManager[None]:
    """Records the block, on errors too."""
    return _timed(name, kind) if listened() else _SILENCE


@contextmanager
def _timed(name: str, kind: Kind) -> Iterator[None]:
    start = perf_counter_ns()
    try:
        yield
    finally:
        record(name, kind, start, perf_counter_ns())


T = TypeVar("T")


class Clock:
    """Wall time by stage; one that is left out counts 0, and one that was not named at first comes last.

    What a caller does between two steps is not counted.
    """

    def __init__(self, *names: str) -> None:
        self._nanoseconds = dict.fromkeys(names, 0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds the time of the block to `name`."""
        start = perf_counter_ns()
        try:
            yield
        finally:
            end = perf_counter_ns()
            self._nanoseconds[name] = self._nanoseconds.get(name, 0) + end - start
            record(name, "stage", start, end)

    def steps(self, name: str, iterator: Iterator[T]) -> Iterator[T]:
        """The same items; only making them counts."""
        while True:
            with self(name):
                item = next(iterator, None)
            if item is None:
                return
            yield item

    @property
    def seconds(self) -> dict[str, float]:
        """By name in the order given, then their sum as "total"."""
        seconds = {name: spent / 1e9 for name, spent in self._nanoseconds.items()}
        return {**seconds, "total": sum(seconds.values())}


def recorded(engine: Engine) -> Engine:
    """The same engine, whose calls are spans, and a DeviceEngine or StreamEngine again if it is one."""
    return RecordedDeviceEngine(engine) if isinstance(engine, DeviceEngine) else RecordedEngine(engine)


class RecordedEngine:
    """See Engine; without a listener a call costs two looks more.

    Raises:
        ForkError: it is run in a child that was forked after it was opened: some libraries would compute there with one
            thread, some wait for ever, and GPUs answer no child at all.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.spec = engine.spec
        self._engine = engine
        self._origin = Origin("this model was opened")
        self._timed = engine if isinstance(engine, TimedEngine) else None
        self._streams = engine if isinstance(engine, StreamEngine) else None

    @property
    def lane(self) -> Lane | None:
        """See StreamEngine; None for an engine that is none."""
        self._origin.check()
        return None if self._streams is None else self._streams.lane

    @property
    def captured(self) -> bool:
        """See StreamEngine."""
        return self._streams is not None and self._streams.captured

    @property
    def computes_in(self) -> object:
        """See StreamEngine."""
        return None if self._streams is None else self._streams.computes_in

    def bind(self, tensors: Mapping[str, Placed]) -> Callable[[], None]:
        """See StreamEngine; who queues the run makes the span, as only they know when it is done."""
        self._origin.check()
        if self._streams is None:
            raise EngineError(f"{self.name}: this engine has no stream to share")
        return self._streams.bind(tensors)

    def run(self, inputs: Mapping[str, Array], wanted: Collection[str] | None = None) -> dict[str, Array]:
        """See Engine."""
        self._origin.check()
        if not listened():
            return self._engine.run(inputs, wanted)
        start = perf_counter_ns()
        if self._timed is None:
            outputs = self._engine.run(inputs, wanted)
            self._note(start, inputs, outputs)
            return outputs
        found, device = self._timed.run_timed(inputs, wanted=wanted)
        self._note(start, inputs, found, device)
        return {name: value for name, value in found.items() if isinstance(value, np.ndarray)}

    def close(self) -> None:
        """See Engine; a forked child leaves it to the process that opened it."""
        if self._origin.here:
            self._engine.close()

    def _note(
        self, start: int, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], device: float | None = None
    ) -> None:
        end = perf_counter_ns()
        size = sum(map(_bytes, inputs.values())) + sum(map(_bytes, outputs.values()))
        shapes = tuple(tuple(inputs[tensor.name].shape) for tensor in self.spec.inputs)
        record(self.name, "engine", start, end, size, shapes, None if device is None else round(device * 1e9))


class RecordedDeviceEngine(RecordedEngine):
    """See DeviceEngine. Copies to the device that happen on upload belong to the host's time."""

    _engine: DeviceEngine

    @property
    def place(self) -> str:
        """See DeviceEngine."""
        return self._engine.place

    def upload(self, array: Array) -> DeviceArray:
        """See DeviceEngine."""
        self._origin.check()
        return self._engine.upload(array)

    def run_resident(
        self, inputs: Mapping[str, Tensor], keep: Collection[str], wanted: Collection[str] | None = None
    ) -> dict[str, Tensor]:
        """See DeviceEngine."""
        self._origin.check()
        if not listened():
            return self._engine.run_resident(inputs, keep, wanted)
        start, device = perf_counter_ns(), None
        if self._timed is None:
            outputs = self._engine.run_resident(inputs, keep, wanted)
        else:
            outputs, device = self._timed.run_timed(inputs, keep, wanted)
        self._note(start, inputs, outputs, device)
        return outputs


def _bytes(tensor: Tensor) -> int:
    return tensor.nbytes if isinstance(tensor, np.ndarray) else nbytes(tensor.shape, tensor.dtype)
