"""A labeller without a model: every device is a process that writes down which question it answered when."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handfirst.training.data.labels.labelling import Labelling
from handfirst.training.data.labels.model import Answer, Question
from handfirst.training.data.store import Store, key_of

PICTURE = np.zeros((4, 4, 3), np.uint8)
PIECES = [range(i, i + 4) for i in range(0, 120, 4)]
DEVICES = ("gpu:0", "gpu:1")


@dataclass(frozen=True)
class FakeGpus:
    """A batch takes `seconds`; then a line "DEVICE PROCESS QUESTION" is in the log for each of its pictures."""

    log: Path
    seconds: float = 0.03
    batch: int = 4

    def open(self, device: str) -> Answer:
        def answer(asked: Sequence[Question]) -> list[bytes]:
            time.sleep(self.seconds)
            lines = "".join(f"{device} {os.getpid()} {question.key.hex()}\n" for question in asked)
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(handle, lines.encode())
            os.close(handle)
            return [b"a label of " + question.key for question in asked]

        return answer


def key(picture: int) -> bytes:
    return key_of(str(picture).encode())


def gather(store: Store, piece: range) -> list[Question]:
    """The pictures that have no label yet."""
    return [Question(key(i), PICTURE, {}) for i in piece if store.get(key(i)) is None]


def label(folder: Path, workers: int = 2, **how: float) -> int:
    """How many pieces are done when all are."""
    store = Store(folder / "labels.sqlite")
    work = Labelling(gather, store, FakeGpus(folder / "log", **how), store, DEVICES, workers)
    return len(list(work.run(PIECES)))
