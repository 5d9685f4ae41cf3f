"""What is being compiled, told while it lasts: people wait for minutes, be it for `build` or for a first picture.

Who listens hears of every thread, as engines are opened and run in pools, which inherit no context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[float], None]
"""Called with the share of a compilation that is done, 0 to 1."""

Listener = Callable[[str, float | None], None]
"""Called with the role of what is compiled and the share that is done: None at its start, and as long as the library
says nothing; 1 at its end, however it ended. From any thread, many times a second."""

_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """The listener hears of all compilations of this process within the block."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def compiling(role: str) -> Iterator[Tell]:
    """A compilation; gives what its progress is told to. What is told after it went back, is not passed on."""
    most = 0.0

    def tell(share: float) -> None:
        nonlocal most
        if most < share < 1:
            most = share
            _pass_on(role, share)

    _pass_on(role, None)
    try:
        yield tell
    finally:
        _pass_on(role, 1.0)


def _pass_on(role: str, share: float | None) -> None:
    for listener in tuple(_listeners):
        listener(role, share)
