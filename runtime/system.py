"""The seam: what a system is to everything that serves one, and what its module tells before it is opened.

Command line, batch, Ray, Server and profile know this file and the registry (systems/__init__.py), and no system. What
a request or a result holds beyond the few fields named here is between a system and its callers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from handfirst.engines.bundle import Bundle
    from handfirst.engines.choice import Choice
    from handfirst.engines.manifest import Manifest
    from handfirst.engines.spec import EngineSpec

Resident = Literal["all", "stage"]
"""Whose networks are in memory: all of them, from the beginning to the end; or those of the stage that is under way,
opened again for every picture, or for all that are painted together."""


@runtime_checkable
class Request(Protocol):
    """What a caller asks of a system: frozen, checked when it is made."""

    @property
    def seed(self) -> int:
        """What its noise follows from."""
        ...

    def seeded(self, seed: int) -> Request:
        """The same with another seed."""
        ...

    def varied(self, number: int) -> Request:
        """The same work with another seed and words of its own, as a system may keep what it has heard."""
        ...


class Result(Protocol):
    """What comes back."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        ...

    @property
    def seed(self) -> int:
        """The request's."""
        ...

    @property
    def asked(self) -> Mapping[str, Any]:
        """The request as it was carried out, for whoever wants to know later: words and numbers that JSON knows, no
        arrays, and nothing of the machine. "prompt", "seed", "width" and "height" wherever there are such."""
        ...

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time by stage, and "total"."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the caller should know, a line each."""
        ...


@runtime_checkable
class OwnFile(Protocol):
    """A Result whose file holds more than its pixels: a photo's alpha, its colour profile."""

    def encoded(self, kind: Literal["png", "webp"], xmp: bytes | None) -> bytes:
        """The file of its image; `xmp` as in `pictures.encode`."""
        ...


@dataclass(frozen=True, eq=False)
class Progress:
    """What a system says while it works: one finished piece, with a picture of it for whoever wants to look."""

    stage: str
    """As the system names it."""
    step: int
    """1 .. total of this stage."""
    total: int
    """Steps of this stage."""
    preview: Callable[[], NDArray[np.uint8]]
    """Makes the picture as it stands, uint8 [H, W, 3] on the canvas; any thread may call it, while the model is open.

    Costs nothing unless it is called. Then it is a run of the bundle's small decoder, if it has one; else a linear map
    of the latents, one colour per cell, where the model's settings say how (latent.preview); else a run of the decoder.
    """
    result: Any = None
    """With the last piece: the system's Result."""
    known: Mapping[str, Callable[[], NDArray[Any]]] = field(default_factory=dict)
    """What else there is to see by now, by names of the result's pictures or the system's own: each makes a picture,
    uint8 [H, W, 3] or bool [H, W], and costs nothing unless it is called, as `preview`."""


class System(Protocol):
    """A loaded model. Keeps nothing of a run that changes the next one, so threads may share it."""

    @property
    def settings(self) -> Any:
        """What the model is."""
        ...

    @property
    def bundle(self) -> Bundle:
        """Where it came from."""
        ...

    @property
    def engine(self) -> Choice:
        """What runs it, and why."""
        ...

    def steps(self, request: Any) -> Generator[Progress, None, None]:
        """One picture, step by step; checks the request at once, and works only while it is iterated."""
        ...

    def render(self, request: Any) -> Any:
        """One picture."""
        ...

    def render_batch(self, requests: Sequence[Any]) -> list[Any]:
        """One picture per request, in their order."""
        ...

    def close(self) -> None:
        """Frees the engines."""
        ...


@runtime_checkable
class TwoHalves(Protocol):
    """A system whose work on requests that are painted together comes in two halves, for different threads."""

    def first_half(self, requests: Sequence[Any]) -> Any:
        """Whatever the second half needs, nothing of an engine."""
        ...

    def second_half(self, begun: Any) -> list[Any]:
        """One picture per request; to be called once for what a first half gave."""
        ...


class Runs(NamedTuple):
    """With which shapes an engine runs: (rows, (height, width) of its maps) each."""

    shapes: list[tuple[int, tuple[int, int]]]
    """One entry per set of shapes."""
    tells: bool = True
    """Whether its outputs tell the sizes of other engines' inputs, or `shapes` knows those as well."""


Content = Path | dict[str, Any] | list[Any]
"""A file, or what is in one."""


@dataclass(frozen=True)
class JobKind:
    """What a job of a batch may say, and how a request comes of it."""

    fields: type[BaseModel]
    """Beside its name and its files; ranges are the request's to check. A field "seed" is there."""
    files: tuple[str, ...]
    """What a job cannot do without and what lies in files: their bytes are part of what makes a job the same."""
    request: Callable[[Any, Mapping[str, Content]], Request]
    """(fields, files) -> what the model is asked; raises a UserError."""
    optional: tuple[str, ...] = ()
    """What else may lie in files, for jobs that say so."""

    @property
    def every_file(self) -> tuple[str, ...]:
        """Those that a job needs, then those that it may have."""
        return (*self.files, *self.optional)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a job may say."""
        return ("id", *self.every_file, *self.fields.model_fields)

    @property
    def required(self) -> tuple[str, ...]:
        """What it must say."""
        return (*self.files, *(name for name, field in self.fields.model_fields.items() if field.is_required()))


class SystemModule(Protocol):
    """What a system's module tells without, or before, opening a model."""

    JOBS: JobKind
    """What a job of a batch may say."""
    LABELS: Mapping[str, str]
    """Names of roles and of named host work, for people; what is not here is called what it is called."""

    def read_settings(self, manifest: Manifest) -> Any:
        """What the model is; raises a BundleError where a setting makes no sense."""
        ...

    def check_roles(self, settings: Any, specs: Mapping[str, EngineSpec]) -> None:
        """Raises a BundleError where the engines do not fit the settings, or each other."""
        ...

    def open_bundle(self, bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> System:
        """The model; raises a BundleError or an EngineError."""
        ...

    def runs(self, settings: Any, specs: Mapping[str, EngineSpec], pictures: int) -> dict[str, Runs]:
        """By role, in the order of use: how each engine runs for that many pictures at once."""
        ...

    def together(self, request: Any, settings: Any) -> Hashable:
        """Requests for which this is equal are painted together, with equal shapes; raises a RequestError."""
        ...

    def work(self, request: Any, settings: Any) -> dict[str, Any]:
        """What decides how much work a request is, as entries of a JSON object."""
        ...

    def hand_limits(self, settings: Any) -> dict[str, float] | None:
        """How large hands must be for this model: "margin" and "least" make a hand's square (pose/crop.py), "clear" is
        the side from which it comes out clearly, of the picture's shorter side. None: it says nothing about that."""
        ...

    def example(self, **fields: Any) -> Request:
        """A request that shows what the system does; fields that are None are as the example has them."""
        ...

    def pictures(self, result: Any) -> list[tuple[str, str, NDArray[Any]]]:
        """All that a result holds: (kind, name of a file without its ending, uint8 [H, W, 3] or bool [H, W])."""
        ...

    def sheet(self, result: Any) -> NDArray[np.uint8]:
        """A result at a glance, uint8 [H, W, 3]."""
        ...
