"""How long a GPU worked, by its own clock: an event before the work on a stream and one behind it.

The host's clock would also count the launch, and would stop too early where nobody waits. onnxruntime's CUDA provider
computes on a stream that it shows to nobody, so its session is given one of ours, and events before and behind every
run: a run's launches are inside, copies to and from arrays are where the library puts them on that stream. Only engines
that are opened within `timed_engines` are built so: nobody else depends on it. Has not run on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

from handfirst.engines.errors import EngineError
from handfirst.engines.nvidia.cuda_runtime import Cuda, CudaRuntime


class StreamTimer:
    """Two events on one stream. Times one piece of work; then `close` it.

    Args:
        cuda: whose events they are.
        stream: that the work is given to.

    Raises:
        EngineError: CUDA has no events left.
    """

    def __init__(self, cuda: Cuda, stream: int) -> None:
        self._cuda, self._stream = cuda, stream
        self._events: list[int] = []
        try:
            self._events += [cuda.event()]
            self._events += [cuda.event()]
        except EngineError:
            self.close()
            raise

    @contextmanager
    def work(self) -> Iterator[None]:
        """All that the stream is given within the block."""
        start, end = self._events
        self._cuda.record(start, self._stream)
        yield
        self._cuda.record(end, self._stream)

    def seconds(self) -> float:
        """Once the stream has been waited for."""
        start, end = self._events
        return self._cuda.elapsed(start, end)

    def close(self) -> None:
        """Gives the events back."""
        events, self._events = self._events, []
        for event in events:
            with suppress(EngineError):  # a lost GPU has nothing left to give back
                self._cuda.forget(event)


_wanted: ContextVar[bool] = ContextVar("handfirst_timed_engines", default=False)


@contextmanager
def timed_engines() -> Iterator[None]:
    """Engines that are opened within the block can tell how long their device computed, where it has a clock."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


class TimingStream:
    """A stream of ours, for a session to compute on. `handle` is its number."""

    def __init__(self, cuda: Cuda) -> None:
        self.cuda = cuda
        self.handle = cuda.stream()

    def close(self) -> None:
        """Gives it back; what computes on it must be gone."""
        with suppress(EngineError):  # a lost GPU has nothing left to give back
            self.cuda.destroy(self.handle)


def timing_stream() -> TimingStream | None:
    """A new one within `timed_engines`; None elsewhere, or without cuda-bindings: the host's clock must do then."""
    if not _wanted.get():
        return None
    try:
        return TimingStream(CudaRuntime())
    except EngineError:
        return None


class TimedSession:
    """An InferenceSession that was opened on `stream`; whatever is not a run is passed on.

    Attributes:
        seconds: of the last run.
    """

    def __init__(self, session: Any, stream: TimingStream) -> None:
        self._session, self._stream = session, stream
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        """As the library's, and waits until the stream is done.

        Raises:
            EngineError: CUDA failed.
        """
        cuda, stream = self._stream.cuda, self._stream.handle
        timer = StreamTimer(cuda, stream)
        try:
            with timer.work():
                self._session.run_with_iobinding(binding, options)
            cuda.wait(stream)
            self.seconds = timer.seconds()
        finally:
            timer.close()

    def close(self) -> None:
        """Frees the session, then its stream."""
        self._session = None
        self._stream.close()
