"""How far a build of TensorRT is, and how it is stopped: the library's IProgressMonitor.

TensorRT builds in phases within phases, each of so many steps. A phase counts within the step of the phase around it,
so that the outermost one's share is that of the build; the steps differ in length, and some say nothing for a while.
Tried with TensorRT for RTX.
"""

from __future__ import annotations

import threading
from typing import Any

from handfirst.engines.building import Tell


def monitor(library: Any, tell: Tell) -> Any:
    """An IProgressMonitor. Its `stopped` is what `tell`, or Ctrl-C, raised within it, which ended the build: an
    exception must not pass through the library.

    Args:
        library: the tensorrt module.
        tell: called with the share that is done, 0 to 1; it may fall where the library begins a phase again.
    """

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            library.IProgressMonitor.__init__(self)
            self.stopped: BaseException | None = None
            self._lock = threading.Lock()  # the library calls from threads of its own
            self._phases = Phases()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self._lock:
                self._phases.begin(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            try:
                with self._lock:
                    self._phases.complete(phase_name, step)
                    share = self._phases.share()
                tell(share)
            except BaseException as error:  # Ctrl-C among them: signals reach Python here
                self.stopped = self.stopped or error
            return self.stopped is None

        def phase_finish(self, phase_name: str) -> None:
            with self._lock:
                self._phases.finish(phase_name)

    return Monitor()


class Phases:
    """The phases that are under way, the outermost first; each runs within a step of the one before it."""

    def __init__(self) -> None:
        self._running: list[tuple[str, int, int]] = []  # name, steps done, steps

    def begin(self, name: str, steps: int) -> None:
        """A phase of so many steps begins within the innermost one."""
        self._running.append((name, 0, max(steps, 1)))

    def complete(self, name: str, step: int) -> None:
        """Step `step` of a phase is done, counted from 0."""
        self._running = [(n, min(step + 1, of) if n == name else done, of) for n, done, of in self._running]

    def finish(self, name: str) -> None:
        """A phase is over; it may be so before its last step."""
        self._running = [phase for phase in self._running if phase[0] != name]

    def share(self) -> float:
        """Of the outermost phase, 0 to 1."""
        share = 0.0
        for _, done, steps in reversed(self._running):
            share = min((done + share) / steps, 1.0)
        return share
