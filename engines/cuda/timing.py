"""How long a GPU worked, by its own clock: an event before the work on a stream and one behind it.

The host's clock would also count the launch, and would stop too early where nobody waits. An onnxruntime session gets a
stream of ours to compute on, and events before and behind every run: a run's launches are inside, copies to and from
arrays are where the library puts them on that stream. Has not run on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from handfirst.engines.cuda.device import Cuda, Lane
from handfirst.engines.errors import EngineError


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


class TimedSession:
    """An InferenceSession that computes on the stream of `lane`; whatever is not a run is passed on.

    Attributes:
        plain: the session itself.
        timing: whether runs are timed now.
        seconds: of the last run that was.
    """

    def __init__(self, session: Any, lane: Lane) -> None:
        self.plain, self._lane = session, lane
        self.timing, self.seconds = False, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        """As the library's; a run that is timed waits until the stream is done.

        Raises:
            EngineError: CUDA failed.
        """
        if not self.timing:
            self.plain.run_with_iobinding(binding, options)
            return
        timer = StreamTimer(self._lane.cuda, self._lane.stream)
        try:
            with timer.work():
                self.plain.run_with_iobinding(binding, options)
            self._lane.cuda.wait(self._lane.stream)
            self.seconds = timer.seconds()
        finally:
            timer.close()
