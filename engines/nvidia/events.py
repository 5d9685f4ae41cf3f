"""How long a GPU worked, by its own clock: an event before the work on a stream and one behind it.

The host's clock would also count the launch, and would stop too early where nobody waits. Has not run on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from handfirst.engines.errors import EngineError
from handfirst.engines.nvidia.cuda_runtime import Cuda


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
