"""What the labellers are asked about pictures, and what they said: masks and captions, out of the store.

The same function that makes examples finds the questions, so that whatever a labeller is shown is what is looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.pose.topology import Side
from handfirst.training.data.images import decode_image
from handfirst.training.data.labels.model import Kind, Model, Question, named
from handfirst.training.data.prepare.examples import Helpers, examples
from handfirst.training.data.prepare.filters import needs_points
from handfirst.training.data.prepare.settings import PrepareSettings
from handfirst.training.data.record import Record
from handfirst.training.data.store import Store

TOGETHER = 16
"""Pictures that a process gathers at once."""


def store_of(out: Path) -> Store:
    """Where a data set's labels are kept."""
    return Store(out / "labels.sqlite")


@lru_cache(maxsize=4)
def model_of(kind: Kind, settings: PrepareSettings) -> Model | None:
    """The labeller that the settings name; its folder is looked at once in a process."""
    folder = settings.sam if kind == "mask" else settings.captioner
    return None if folder is None else named(kind, Path(folder), settings.stage)


@dataclass(eq=False)
class Answers:
    """Looks labels up; a question without an answer is noted, and answered by nothing.

    Attributes:
        asked: the questions of each kind that have no answer yet.
    """

    settings: PrepareSettings
    store: Store
    asked: dict[Kind, list[Question]] = field(default_factory=lambda: {"mask": [], "caption": []})

    def helpers(self) -> Helpers:
        """For `examples`."""
        return Helpers(
            None if model_of("mask", self.settings) is None else self._mask,
            None if model_of("caption", self.settings) is None else self._caption,
        )

    def _mask(self, rgb: NDArray[np.uint8], hands: Mapping[Side, NDArray[np.float64]], /) -> NDArray[np.uint8]:
        said = self._said("mask", rgb, hands)
        return np.zeros(rgb.shape[:2], np.uint8) if said is None else decode_image(said, colour=False)

    def _caption(self, rgb: NDArray[np.uint8], /) -> str:
        return (self._said("caption", rgb) or b"").decode()

    def _said(
        self, kind: Kind, rgb: NDArray[np.uint8], hands: Mapping[Side, NDArray[np.float64]] | None = None
    ) -> bytes | None:  # fmt: skip
        model = model_of(kind, self.settings)
        assert model is not None
        question = model.question(rgb, hands)
        if (said := self.store.get(question.key)) is None:
            self.asked[kind].append(question)
        return said


def open_questions(kind: Kind, records: Iterable[Record], settings: PrepareSettings, store: Store) -> list[Question]:
    """What a labeller has not been asked yet about these pictures."""
    answers = Answers(settings, store)
    helpers = answers.helpers()
    if kind == "mask":
        helpers = Helpers(helpers.segment)
    for record in records:
        if not needs_points(record):
            for _ in examples(record, settings, helpers):
                pass
    return answers.asked[kind]


def all_said(answers: Answers) -> None:
    """After examples were made.

    Raises:
        UserError: one of them misses a label.
    """
    if missing := sum(map(len, answers.asked.values())):
        raise UserError(
            f"{answers.store.path}: {missing} labels are missing; pictures or models were changed since they were "
            "labelled: begin anew in another folder"
        )
