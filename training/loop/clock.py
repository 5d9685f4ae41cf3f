"""How far a training is, and when something that happens now and then is due."""

from __future__ import annotations

from dataclasses import dataclass

from handfirst.training.loop.options import LoopOptions


@dataclass
class Clock:
    """Steps taken and seconds of training (`training_seconds`), over all resumptions."""

    step: int = 0
    seconds: float = 0.0

    def progress(self, options: LoopOptions) -> float:
        """Share of the training that is over, in [0, 1]: by steps where they are limited, else by time."""
        if options.steps is not None:
            return min(1.0, self.step / options.steps)
        return min(1.0, self.seconds / (60 * (options.minutes or 0.0))) if options.minutes else 1.0


class Interval:
    """Due every so many steps, or every so many minutes of training, counted from `clock`; never without either."""

    def __init__(self, steps: int | None, minutes: float | None, clock: Clock) -> None:
        self.steps = steps
        self.minutes = minutes
        self._clock = clock
        self._last = clock.seconds

    def due(self) -> bool:
        """Asked once after every step."""
        if self.minutes is not None and self._clock.seconds - self._last > 60 * self.minutes:
            self._last = self._clock.seconds
            return True
        return self.steps is not None and self._clock.step % self.steps == 0
