"""What was made before a fork, and does not survive it, says so in the child instead of waiting for ever.

A fork copies the memory of a process, but of its threads only the one that forks: workers, an engine's own threads, and
whoever holds a lock just then, stay behind. Knows nothing about what was made.
"""

from __future__ import annotations

import os
import threading

from handfirst.runtime.errors import ForkError


class Origin:
    """The process in which something was made.

    Args:
        made: begins the message: "this server was opened".
    """

    def __init__(self, made: str) -> None:
        self._made = made
        self._process = os.getpid()

    @property
    def here(self) -> bool:
        """Whether this is that process, and no child that was forked from it."""
        return os.getpid() == self._process

    def check(self) -> None:
        """Raises a ForkError in any other process."""
        if not self.here:
            raise ForkError(
                f"{self._made} in process {self._process}, from which this one was forked, and threads do not survive "
                "a fork; open model and server in every process, after the fork (docs/embedding.md, Processes)"
            )


class HomeCondition(threading.Condition):
    """A Condition that a forked child cannot enter: nobody there would notify it, or let go of it.

    Args:
        origin: where it is made.

    Raises:
        ForkError: on entering, in another process.
    """

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin

    def __enter__(self) -> bool:
        self._origin.check()
        return super().__enter__()
