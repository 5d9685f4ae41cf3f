"""The two-stage system: hands first, then the body around them (the paper, arXiv 2403.10731).

`_draw_hands` and `_paint_bodies` are the whole story; every noun in it has a file of its own.
Knows nothing about files beyond the bundle.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.choice import Choice, choose
from handfirst.engines.engine import Engine
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.diffusion.device_loops import Launches, Loops
from handfirst.runtime.diffusion.gesture import Gesture, Gestures, read_gestures
from handfirst.runtime.diffusion.sampler import Guided, Step
from handfirst.runtime.diffusion.solvers import step_table
from handfirst.runtime.diffusion.speed import planned
from handfirst.runtime.diffusion.table import Schedule, StepTable
from handfirst.runtime.diffusion.text import Text
from handfirst.runtime.loaded import GIVEN, Loaded, finished, given, in_groups
from handfirst.runtime.residency import open_resident
from handfirst.runtime.running import host
from handfirst.runtime.system import Progress, Resident
from handfirst.runtime.systems.two_stage.body import BodyStage
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.close_up import CLOSE_UPS, Window, by_picture, preview, put_back, windows
from handfirst.runtime.systems.two_stage.crops import crop_warnings
from handfirst.runtime.systems.two_stage.hands import Hand, HandStage, find_hands, hand_warnings
from handfirst.runtime.systems.two_stage.pictures import REGION, known_pictures, row
from handfirst.runtime.systems.two_stage.request import CloseUpResult, HandResult, Request, Result
from handfirst.runtime.systems.two_stage.roles import PREVIEW, STAGES, check_roles, roles_of
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings, read_settings
from handfirst.runtime.timing.spans import Clock


@dataclass(frozen=True, eq=False)
class Drawn:
    """What stage 1 leaves for stage 2: the hands of some pictures, which are painted together, one item per picture.

    Holds arrays and numbers only, nothing of an engine, so that it may wait, or go from one thread to another.
    """

    requests: tuple[Request, ...]
    """Resolved, with equal `Request.loop`."""
    hands: tuple[tuple[HandResult, ...], ...]
    """As they were made, in the order in which they were placed."""
    canvases: tuple[Canvas, ...]
    """The hands in place."""
    contexts: Guided
    """Of the bodies' prompts."""
    table: StepTable
    """Of stage 2."""
    warnings: tuple[tuple[str, ...], ...]
    """What the callers should know."""
    clock: Clock
    """It runs on in stage 2."""


class TwoStage(Loaded):
    """A loaded model. Keeps nothing of a run but contexts of prompts, so threads may share it.

    Args:
        settings: what the model is.
        engines: one per role of `roles.roles_of`.
        tokenizer: a `tokenizer.json`.
        bundle: where they came from, if from one.
        engine: what runs them, and why.
        gestures: by the names in the settings.

    Raises:
        BundleError: if engines or tokenizer do not fit the settings.
    """

    def __init__(
        self,
        settings: TwoStageSettings,
        engines: Mapping[str, Engine],
        tokenizer: bytes,
        bundle: Bundle | None = None,
        engine: Choice = GIVEN,
        gestures: Mapping[str, Gesture] = MappingProxyType({}),
    ) -> None:
        check_roles(settings, {role: opened.spec for role, opened in engines.items()})
        super().__init__(engines, bundle, engine)
        self.settings = settings
        self._schedule = Schedule(settings.schedule)
        self._text = Text(tokenizer, settings.text, self._engines["text_encoder"])
        self._gestures = Gestures(settings.gestures, gestures, self._text)
        self._loops: tuple[Loops[Launches], Loops[Launches]] = (Loops(), Loops())  # of all sizes of canvas
        self._make_stages()

    @classmethod
    def open(
        cls, path: Path | None = None, engine: str = "auto", threads: int | None = None, resident: Resident = "all"
    ) -> TwoStage:
        """As `handfirst.open` (runtime/systems), for a caller who expects this system: another is a BundleError."""
        return cls.of(Bundle.open(demo_bundle_path() if path is None else Path(path)), engine, threads, resident)

    @classmethod
    def of(cls, bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> TwoStage:
        """The model of a bundle; see `open`."""
        manifest = bundle.manifest
        settings = read_settings(manifest)
        check_roles(settings, {role: entry.spec for role, entry in manifest.engines.items()})
        gestures = read_gestures(bundle, settings.gestures, settings.text)
        chosen = choose(engine, sum(file.size for file in manifest.files.values()))
        engines = open_resident(bundle, roles_of(manifest.engines), STAGES, chosen.engine, threads, resident)
        return cls(settings, engines, bundle.tokenizer(), bundle, chosen, gestures)

    def _make_stages(self) -> None:
        engines, settings = self._engines, self.settings
        codec = Codec(engines["vae_encoder"], engines["vae_decoder"], settings.latent, engines.get(PREVIEW))
        hands, body = self._loops
        self._hands = HandStage(engines["hand_unet"], engines["mask_head"], codec, settings, hands)
        painters = engines["hint_encoder"], engines["controlnet"], engines["body_unet"]
        self._body = BodyStage(*painters, codec, settings, body)

    def _for(self, request: Request) -> TwoStage:
        """This model on the canvas of a resolved request: the same engines and prompts, its own stages."""
        width, height = request.pose.width, request.pose.height
        if (width, height) == (self.settings.body.width, self.settings.body.height):
            return self
        other = copy(self)
        other.settings = self.settings.on_canvas(width, height)
        other._make_stages()
        return other

    def close(self) -> None:
        """Frees the engines, and what loops hold on a device."""
        for loops in self._loops:
            loops.close()
        super().close()

    def render(self, request: Request) -> Result:
        """One picture."""
        return self.render_batch([request])[0]

    def render_batch(self, requests: Sequence[Request]) -> list[Result]:
        """One picture per request, in their order; those of equal `Request.loop` are painted together.

        Each comes out as it would alone, up to the rounding of the engines.
        """
        resolved = [request.resolve(self.settings) for request in requests]
        return in_groups(
            resolved,
            lambda each: each.loop,
            lambda alike: self.second_half(finished(self._for(alike[0])._draw_hands(alike))),
        )

    def first_half(self, requests: Sequence[Request]) -> Drawn:
        """Stage 1 alone, of all requests together; `second_half` makes pictures of it, now or later, in any thread.

        Raises:
            ValueError: their `Request.loop` differs once the model's defaults are filled in.
        """
        resolved = [request.resolve(self.settings) for request in requests]
        if len({request.loop for request in resolved}) != 1:
            raise ValueError("hands are drawn together for one or more requests of one canvas and equal loops")
        return finished(self._for(resolved[0])._draw_hands(resolved))

    def second_half(self, drawn: Drawn) -> list[Result]:
        """Stage 2: one picture per request of `drawn`, in their order. To be called once for each `drawn`."""
        return finished(self._for(drawn.requests[0])._paint_bodies(drawn))

    def steps(self, request: Request) -> Generator[Progress, None, None]:
        """One picture, step by step; the last item holds it. Closing the iterator stops the work at once."""
        resolved = request.resolve(self.settings)
        return self._for(resolved)._steps(resolved)

    def _steps(self, request: Request) -> Generator[Progress, None, None]:
        drawn = yield from self._draw_hands([request])
        (result,) = yield from self._paint_bodies(drawn)
        yield Progress("decode", 1, 1, lambda: result.image, result)

    def _draw_hands(self, requests: Sequence[Request]) -> Generator[Progress, None, Drawn]:
        """Resolved requests of equal loops -> their hands on canvases: the first half of the story."""
        clock = Clock("text", "hands", "hands_decode", "canvas", "body", "body_decode")
        with clock("text"):
            found = [find_hands(request, self.settings) for request in requests]
            hands = tuple(chain.from_iterable(found))
            hand_table, body_table = self._tables(requests[0])
            hand_contexts = self._gestured(hands, self._guided(hands, hand_table))
            body_contexts = self._guided(requests, body_table)
        yield Progress("text", 1, 1, lambda: Canvas.empty(self.settings.body).image)

        made: list[HandResult] = []
        if hands:
            for step in clock.steps("hands", self._hands.steps(hands, hand_contexts, hand_table)):
                yield Progress("hands", step.index, step.total, partial(self._preview_hands, found[0], step))
            with clock("hands_decode"):
                made = self._hands.finish(hands, step)

        with clock("canvas"):
            shares = _split(made, [len(each) for each in found])
            canvases = tuple(Canvas.build(share, self.settings.body) for share in shares)
        yield Progress("canvas", 1, 1, lambda: canvases[0].image, known=known_pictures(canvases[0], shares[0]))
        warnings = tuple(self._warnings(*each) for each in zip(requests, found, shares, strict=True))
        return Drawn(tuple(requests), shares, canvases, body_contexts, body_table, warnings, clock)

    def _paint_bodies(self, drawn: Drawn) -> Generator[Progress, None, list[Result]]:
        """The second half: the bodies around the hands."""
        requests, canvases, clock = drawn.requests, drawn.canvases, drawn.clock
        regions = cache(partial(self._body.regions, requests[0], canvases[0], drawn.table))
        known = known_pictures(canvases[0], drawn.hands[0])
        for step in clock.steps("body", self._body.steps(requests, canvases, drawn.contexts, drawn.table)):
            known[REGION] = partial(row, regions, step.index)
            yield Progress("body", step.index, step.total, partial(self._body.preview, step), known=dict(known))
        with clock("body_decode"):
            images = self._body.finish(requests, canvases, step)
            asked = windows(requests, drawn.hands, images, self.settings)
        closer: list[tuple[CloseUpResult, ...]] = [()] * len(images)
        if asked:
            closer = yield from self._paint_close_ups(drawn, asked, images[0])
        return [
            Result(
                image=put_back(images[i], closer[i]),
                hands=drawn.hands[i],
                canvas=canvases[i].image,
                mask=canvases[i].mask,
                latents=host(step.x_t)[i],
                request=request,
                seconds=clock.seconds,
                warnings=drawn.warnings[i],
                close_ups=closer[i],
            )
            for i, request in enumerate(requests)
        ]

    def _paint_close_ups(
        self, drawn: Drawn, asked: Sequence[Window], first: NDArray[np.uint8]
    ) -> Generator[Progress, None, list[tuple[CloseUpResult, ...]]]:
        """A second pass of stage 2 around hands, all windows together (close_up.py); by picture, of which one may have
        none. `first` is the first picture, for previews."""
        requests, canvases = [each.request for each in asked], [each.canvas for each in asked]
        contexts = drawn.contexts.at([each.picture for each in asked])
        for step in drawn.clock.steps(CLOSE_UPS, self._body.steps(requests, canvases, contexts, drawn.table)):
            sketches = partial(self._body.sketches, step)
            yield Progress(CLOSE_UPS, step.index, step.total, partial(preview, asked, sketches, first))
        with drawn.clock(CLOSE_UPS):
            painted = self._body.finish(requests, canvases, step)
        return by_picture(asked, painted, len(drawn.requests))

    def _tables(self, request: Request) -> tuple[StepTable, StepTable]:
        """Of stage 1 and stage 2."""
        asked, body = request, self.settings.body
        eta = given(asked.eta)
        hand_steps, hand_guidance = given(asked.hand_steps), given(asked.hand_guidance)
        hand = step_table(given(asked.hand_solver), self._schedule, hand_steps, hand_guidance, eta)
        steps, guidance = given(asked.steps), given(asked.guidance)
        blending = body.unblended, body.blend_source
        table = step_table(given(asked.solver), self._schedule, steps, guidance, eta, *blending)
        return planned(hand, asked.speed), planned(table, asked.speed)

    def _guided(self, asked: Sequence[Hand] | Sequence[Request], table: StepTable) -> Guided:
        """Contexts of what is asked for; guidance 1 needs no answer without the prompt."""
        conditional = self._text.contexts([each.prompt for each in asked])
        if not table.guided:
            return Guided({"context": conditional}, None)
        return Guided(
            {"context": conditional}, {"context": self._text.contexts([each.negative_prompt for each in asked])}
        )

    def _gestured(self, hands: Sequence[Hand], guided: Guided) -> Guided:
        """E'' for E of the prompts whose hands are told a gesture; what guidance leads away from stays as it is."""
        told = guided.conditional["context"].copy()
        for i, hand in enumerate(hands):
            if hand.gesture is not None:
                told[i] = self._gestures.context(hand.prompt, *hand.gesture)
        return Guided({"context": told}, guided.unconditional)

    def _preview_hands(self, hands: Sequence[Hand], step: Step) -> NDArray[np.uint8]:
        """The hands of the first picture as they stand, in place; grey where it has none."""
        shown = self._hands.preview(hands, step) if hands else []
        return Canvas.build(shown, self.settings.body).image

    def _warnings(self, request: Request, hands: Sequence[Hand], made: Sequence[HandResult]) -> tuple[str, ...]:
        prompts = [request.prompt, request.negative_prompt, *(hand.prompt for hand in hands)]
        odd = crop_warnings([hand.found for hand in hands]) + hand_warnings(made, request.close_up, self.settings)
        return (*request.pose.warnings, *self._text.warnings(prompts), *odd)


T = TypeVar("T")


def _split(items: Sequence[T], counts: Sequence[int]) -> tuple[tuple[T, ...], ...]:
    """Consecutive groups of the given sizes."""
    rest = iter(items)
    return tuple(tuple(islice(rest, count)) for count in counts)
