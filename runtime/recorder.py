"""What ran when: spans of stages, engine calls and host work, for whoever listens.

Nobody listens by default, and a span then costs a look at one variable. A recorder hears the thread (or asyncio task)
that entered `recording`; whoever starts threads enters it in each of them. Knows nothing about what is made of spans.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from threading import get_ident
from time import perf_counter_ns
from typing import Literal, NamedTuple, Protocol, TypeVar

Kind = Literal["stage", "engine", "host"]


class Span(NamedTuple):
    """One piece of work, recorded when it ended. Spans of one thread lie side by side or within each other."""

    name: str
    kind: Kind
    start: int
    """Nanoseconds of `time.perf_counter_ns`."""
    end: int
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
