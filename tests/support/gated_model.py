"""A model whose every step waits until a test lets it go, so that tests of servers need no sleeping and no luck."""

import threading

import numpy as np

from handfirst.runtime.system import Progress
from handfirst.runtime.systems.two_stage.request import Result

PATIENCE = 10.0
"""Seconds after which a test that waits for something has failed."""


def picture(seed):
    return np.full((2, 2, 3), seed % 256, np.uint8)


def made(request):
    image = picture(request.seed)
    return Result(
        image=image,
        hands=(),
        canvas=image,
        mask=image[..., 0] > 0,
        latents=np.zeros((1, 1, 1), np.float32),
        request=request,
        seconds={},
    )


class GatedModel:
    """Three steps a picture; `free(n)` lets n steps of any picture go, `fails` maps a seed to what its last raises."""

    def __init__(self, fails=None, total=3):
        self.fails = fails or {}
        self.total = total
        self.begun = []
        self.told = []
        self.closed = []
        self._gate = threading.Semaphore(0)
        self._changed = threading.Condition()

    def free(self, count=1):
        self._gate.release(count)

    def steps(self, request):
        return self._steps(request)

    def _steps(self, request):
        try:
            self._note(self.begun, request.seed)
            for step in range(1, self.total + 1):
                assert self._gate.acquire(timeout=PATIENCE), "nobody let the step go"
                self._note(self.told, (request.seed, step))
                if step == self.total and request.seed in self.fails:
                    raise self.fails[request.seed]
                result = made(request) if step == self.total else None
                yield Progress("body", step, self.total, lambda: picture(request.seed), result)
        finally:
            self._note(self.closed, request.seed)

    def until(self, ready):
        """Waits until `ready()` is true of what was noted."""
        with self._changed:
            assert self._changed.wait_for(ready, PATIENCE), (self.begun, self.told, self.closed)

    def _note(self, where, what):
        with self._changed:
            where.append(what)
            self._changed.notify_all()
