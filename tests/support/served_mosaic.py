"""The second system as a server meets it: the seed says whether it is slow, raises, or takes its process with it."""

import os
import signal
import time

from support.mosaic.runtime import (
    JOBS,
    LABELS,
    Mosaic,
    check_roles,
    example,
    hand_limits,
    pictures,
    read_settings,
    runs,
    sheet,
    together,
    work,
)

from handfirst.engines.errors import BundleError

__all__ = [
    "JOBS",
    "LABELS",
    "check_roles",
    "example",
    "hand_limits",
    "open_bundle",
    "pictures",
    "read_settings",
    "runs",
    "sheet",
    "together",
    "work",
]

BUG, BROKEN, DEADLY, SLOW = 13, 14, 15, 1_000
"""Seeds; all from SLOW on are slow."""
STEP_S = 0.05


class ServedMosaic(Mosaic):
    def _steps(self, request):
        for piece in super()._steps(request):
            if request.seed >= SLOW:
                time.sleep(STEP_S)
            if request.seed == BUG:
                raise RuntimeError(f"a secret in {self.bundle.path}")
            if request.seed == BROKEN:
                raise BundleError(f"{self.bundle.path}: was altered")
            if request.seed == DEADLY:
                os.kill(os.getpid(), signal.SIGKILL)
            yield piece


def open_bundle(bundle, engine, threads, resident):
    return ServedMosaic(bundle, engine, threads, resident)
