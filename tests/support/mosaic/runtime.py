"""A second system, as small as one can be: a picture of tiles in one colour. No pose, no words, no autoencoder.

Its colours are a named asset, its latents the tiles themselves: red, green, blue, and a fourth channel that says which
tiles are kept. The networks are arithmetic: what a picture must be can be worked out by hand.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from handfirst.engines.choice import choose
from handfirst.engines.errors import BundleError
from handfirst.runtime.diffusion.noise import randn
from handfirst.runtime.diffusion.sampler import Prediction, denoise
from handfirst.runtime.diffusion.settings import ScheduleSettings, Settings
from handfirst.runtime.diffusion.table import Schedule, ddim_table
from handfirst.runtime.errors import RequestError
from handfirst.runtime.residency import open_resident
from handfirst.runtime.running import run_rows
from handfirst.runtime.system import JobKind, Progress, Runs
from handfirst.runtime.timing.spans import Clock, recorded, span

ROLES = ("mixer", "denoiser")
CHANNELS = 4
LABELS = {"denoiser": "tile denoiser"}
EXAMPLE = "red"


class MosaicSettings(Settings):
    schedule: ScheduleSettings = ScheduleSettings(train_steps=50, prediction="sample", beta_end=0.1)
    side: int = Field(4, ge=1, le=64)
    tile: int = Field(8, ge=1, le=64)
    steps: int = Field(3, ge=1)


@dataclass(frozen=True)
class Request:
    colour: str
    seed: int = 0
    steps: int | None = None

    def __post_init__(self):
        if not self.colour.strip():
            raise RequestError("colour: expected a name, got an empty one")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise RequestError(f"seed: expected a whole number from 0, got {self.seed!r}")

    def seeded(self, seed):
        return replace(self, seed=seed)

    def varied(self, number):
        return replace(self, seed=self.seed + number)


@dataclass(frozen=True, eq=False)
class Result:
    image: Any
    mask: Any
    tiles: Any
    seed: int
    seconds: dict[str, float]
    asked: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())


def whole(value):
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


class JobFields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    colour: str
    seed: Annotated[int, BeforeValidator(whole)] = 0
    steps: Annotated[int, BeforeValidator(whole)] | None = None


JOBS = JobKind(JobFields, (), lambda fields, content: Request(**fields.model_dump()))


def read_settings(manifest):
    try:
        return MosaicSettings.model_validate_json(json.dumps(manifest.settings), strict=True)
    except ValidationError as error:
        raise BundleError(
            f"bundle '{manifest.name}': settings.{error.errors()[0]['loc'][0]}; export it again"
        ) from error


def check_roles(settings, specs):
    if missing := [role for role in ROLES if role not in specs]:
        raise BundleError(f"bundle: expected engines for {', '.join(ROLES)}; {', '.join(missing)} missing")


def read_palette(data):
    """{"red": [255, 0, 0], ...} -> names and float32 [3] in [-1, 1]."""
    try:
        return {name: np.array(rgb, np.float32).reshape(3) / 127.5 - 1 for name, rgb in json.loads(data).items()}
    except (ValueError, AttributeError) as error:
        raise BundleError("palette: expected names and three numbers each; export the bundle again") from error


class Mosaic:
    def __init__(self, bundle, engine, threads, resident):
        self.bundle, self.settings = bundle, read_settings(bundle.manifest)
        check_roles(self.settings, bundle.manifest.engines)
        self.engine = choose(engine, sum(file.size for file in bundle.manifest.files.values()))
        self._palette = read_palette(bundle.asset("palette"))
        opened = open_resident(bundle, ROLES, (("denoiser",),), self.engine.engine, threads, resident)
        self._engines = {role: recorded(each) for role, each in opened.items()}
        self._schedule = Schedule(self.settings.schedule)

    def steps(self, request) -> Generator[Progress, None, None]:
        self._colours([request])  # checked at once
        return self._steps(request)

    def _steps(self, request):
        (result,) = yield from self._paint([request])
        yield Progress("tiles", 1, 1, lambda: result.image, result)

    def render(self, request):
        return self.render_batch([request])[0]

    def render_batch(self, requests: Sequence[Request]):
        results = {}
        for steps in {self._asked(request) for request in requests}:
            alike = [i for i, request in enumerate(requests) if self._asked(request) == steps]
            story = self._paint([requests[i] for i in alike])
            while True:
                try:
                    next(story)
                except StopIteration as end:
                    results |= dict(zip(alike, end.value, strict=True))
                    break
        return [results[i] for i in range(len(requests))]

    def close(self):
        for engine in self._engines.values():
            engine.close()

    def _asked(self, request):
        return request.steps or self.settings.steps

    def _colours(self, requests):
        for request in requests:
            self._schedule.timesteps(self._asked(request))
            if request.colour not in self._palette:
                raise RequestError(f"colour: expected {' or '.join(self._palette)}, got {request.colour!a:.60}")
        return np.stack([self._palette[request.colour] for request in requests])

    def _paint(self, requests):
        clock, side = Clock("mix", "tiles"), self.settings.side
        with clock("mix"):
            context = run_rows(self._engines["mixer"], {"colour": self._colours(requests)})["context"]
        yield Progress("mix", 1, 1, lambda: enlarged(np.zeros((CHANNELS, side, side)), self.settings.tile)[0])

        def predict(x_t, timestep):
            times = np.full(len(x_t), timestep, np.int64)
            inputs = {"sample": x_t, "timestep": times, "context": context}
            return Prediction(run_rows(self._engines["denoiser"], inputs)["prediction"])

        noise = np.stack([randn(request.seed, (CHANNELS, side, side)) for request in requests])
        table = ddim_table(self._schedule, self._asked(requests[0]), 1.0)
        for step in clock.steps("tiles", denoise(predict, noise, table)):
            yield Progress("tiles", step.index, step.total, partial(self._preview, step.x_0[0]))
        with span("tiling"):
            made = [enlarged(tiles, self.settings.tile) for tiles in step.x_t]
        return [
            Result(*each, step.x_t[i], request.seed, clock.seconds, {"colour": request.colour, "seed": request.seed})
            for i, (each, request) in enumerate(zip(made, requests, strict=True))
        ]

    def _preview(self, tiles):
        return enlarged(tiles, self.settings.tile)[0]


def enlarged(tiles, size):
    """[4, h, w] -> uint8 [H, W, 3] and bool [H, W]: every tile a square of one colour."""
    whole = np.asarray(tiles).repeat(size, -2).repeat(size, -1)
    return np.round((whole[:3].clip(-1, 1).transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8), whole[3] > 0


def open_bundle(bundle, engine, threads, resident):
    return Mosaic(bundle, engine, threads, resident)


def runs(settings, specs, pictures):
    shape = (pictures, (settings.side, settings.side))
    return {role: Runs([shape]) for role in ROLES}


def together(request, settings):
    steps = request.steps or settings.steps
    Schedule(settings.schedule).timesteps(steps)
    return steps


def work(request, settings):
    return {"steps": request.steps or settings.steps, "tiles": settings.side**2}


def hand_limits(settings):
    return None


def example(**fields):
    return Request(**{"colour": EXAMPLE, **{name: value for name, value in fields.items() if value is not None}})


def pictures(result):
    return [("result", "result", result.image), ("mask", "mask", result.mask)]


def sheet(result):
    return result.image
