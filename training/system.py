"""The seam: what a system's training is to the command and to the run, and what its module tells before one begins.

Command and run know this file and the registry (systems/__init__.py), and no system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from handfirst.training.data.example import Example
    from handfirst.training.loop.options import ShardOptions
    from handfirst.training.loop.samples import SampleMaker
    from handfirst.training.loop.task import Stage


class StageMaker(Protocol):
    """A model folder whose settings were read, and one training's options, which fit them."""

    @property
    def samples(self) -> SampleMaker:
        """Makes what the stage learns from."""
        ...

    def stage(self) -> Stage:
        """Reads the networks; what it draws for fresh weights comes from torch's own generator.

        Raises:
            UserError: a network is missing or does not fit.
        """
        ...

    def write(self, stage: Stage, training: dict[str, Any], out: Path) -> None:
        """The model folder with what was trained in its place; `out` is replaced in one step.

        Args:
            training: added to what the model says about its training.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """A stage that has nothing to optimise: it goes through all examples once, without the loop."""

    def count(self, examples: Iterable[Example], out: Path) -> None:
        """Writes the model folder with what came of them; `out` is replaced in one step.

        Raises:
            UserError: an example does not fit.
        """
        ...


@dataclass(frozen=True)
class StageKind:
    """One stage of a system, as the command line lists it."""

    about: str
    """A line for people."""
    options: type[ShardOptions]
    """All that can be said about its training."""
    open: Callable[[Path, Any], StageMaker | Counting]
    """(model folder, options) -> the maker; raises a UserError where they do not fit each other."""
    configs: Mapping[str, Traversable] = field(default_factory=dict)
    """Shipped configurations by name, TOML files; the first is taken where none is named."""


class SystemTraining(Protocol):
    """What a system's module tells."""

    STAGES: Mapping[str, StageKind]
    """In the order in which they are trained."""
