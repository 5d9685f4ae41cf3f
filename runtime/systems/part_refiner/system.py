"""The part refiner: hands (and faces) of any photo drawn anew (RealisHuman, arXiv 2409.03644).

`_repair` is the whole story; every noun in it has a file of its own. Knows nothing about files beyond the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import Choice, choose
from handfirst.engines.engine import Engine
from handfirst.engines.errors import BundleError
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.diffusion.sampler import Guided, Step
from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_table
from handfirst.runtime.diffusion.text import Text
from handfirst.runtime.loaded import GIVEN, Loaded, finished, given, in_groups
from handfirst.runtime.pose.detect import hand_likeness
from handfirst.runtime.residency import open_resident
from handfirst.runtime.system import Progress, Resident
from handfirst.runtime.systems.part_refiner.assets import read_context
from handfirst.runtime.systems.part_refiner.crops import Rgb, paste
from handfirst.runtime.systems.part_refiner.finding import Finding, Part
from handfirst.runtime.systems.part_refiner.inpaint import InpaintStage
from handfirst.runtime.systems.part_refiner.masks import Mask, with_refined
from handfirst.runtime.systems.part_refiner.refine import RefineStage
from handfirst.runtime.systems.part_refiner.request import PartResult, RepairRequest, RepairResult
from handfirst.runtime.systems.part_refiner.roles import STAGES, check_roles, roles
from handfirst.runtime.systems.part_refiner.settings import CONTEXT, Kind, PartRefinerSettings, read_settings
from handfirst.runtime.systems.part_refiner.work import Likeness, Work
from handfirst.runtime.timing.spans import Clock, span


class PartRefiner(Loaded):
    """A loaded model. Keeps contexts of prompts and banks of references, which change no picture: threads may share it.

    Args:
        settings: what the model is.
        engines: one per role of `roles.roles`.
        tokenizer: a `tokenizer.json`, where the model reads text.
        context: float32 [L, D], what the second stage is told where it does not.
        bundle: where they came from, if from one.
        engine: what runs them, and why.
        likeness: how well a detector sees the wanted hands in a picture, for requests that ask to check.

    Raises:
        BundleError: if engines, tokenizer or context do not fit the settings.
    """

    def __init__(
        self,
        settings: PartRefinerSettings,
        engines: Mapping[str, Engine],
        tokenizer: bytes | None = None,
        context: NDArray[np.float32] | None = None,
        bundle: Bundle | None = None,
        engine: Choice = GIVEN,
        likeness: Likeness = hand_likeness,
    ) -> None:
        check_roles(settings, {role: opened.spec for role, opened in engines.items()})
        super().__init__(engines, bundle, engine)
        engines = self._engines
        self.settings = settings
        self._likeness = likeness
        self._schedule = Schedule(settings.schedule)
        self._text, self._context = _told(settings, engines, tokenizer, context)
        codec = Codec(engines["vae_encoder"], engines["vae_decoder"], settings.latent)
        self._refine: RefineStage | None = None
        if settings.drawn_by == "reference":
            encoder, guider = engines["image_encoder"], engines["pose_guider"]
            unets = engines["reference_unet"], engines["main_unet"]
            self._refine = RefineStage(encoder, guider, *unets, codec, settings)
        self._inpaint = InpaintStage(
            engines["inpaint_unet"], codec, settings, None if self._refine else engines["pose_guider"]
        )

    @classmethod
    def of(cls, bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> PartRefiner:
        """The model of a bundle; see `handfirst.open`."""
        manifest = bundle.manifest
        settings = read_settings(manifest)
        check_roles(settings, {role: entry.spec for role, entry in manifest.engines.items()})
        reads = settings.text is not None
        tokenizer = bundle.tokenizer() if reads else None
        context = None if reads else read_context(bundle.asset(CONTEXT), str(bundle.path))
        chosen = choose(engine, sum(file.size for file in manifest.files.values()))
        needed = roles(settings)
        stages = [[role for role in stage if role in needed] for stage in STAGES]
        engines = open_resident(bundle, needed, stages, chosen.engine, threads, resident)
        return cls(settings, engines, tokenizer, context, bundle, chosen)

    def render(self, request: RepairRequest) -> RepairResult:
        """One photo."""
        return self.render_batch([request])[0]

    def render_batch(self, requests: Sequence[RepairRequest]) -> list[RepairResult]:
        """One photo per request, in their order; parts of those of equal `RepairRequest.loop` are drawn together."""
        resolved = [self._resolved(request) for request in requests]
        return in_groups(resolved, lambda each: each[0].loop, lambda some: finished(self._repair(some)))

    def steps(self, request: RepairRequest) -> Generator[Progress, None, None]:
        """One photo, step by step; the last item holds the result. Closing the iterator stops the work at once."""
        return self._steps(self._resolved(request))

    def _steps(self, resolved: tuple[RepairRequest, Finding]) -> Generator[Progress, None, None]:
        (result,) = yield from self._repair([resolved])
        yield Progress("paste", 1, 1, lambda: result.image, result)

    def _resolved(self, request: RepairRequest) -> tuple[RepairRequest, Finding]:
        """The request for this model, and what is to be repaired; raises what either raises, before any work."""
        resolved = request.resolve(self.settings)
        for steps in (resolved.steps, resolved.inpaint_steps):
            if steps is not None:
                self._schedule.timesteps(steps)
        return resolved, resolved.finding(self.settings)

    def _repair(self, asked: Sequence[tuple[RepairRequest, Finding]]) -> Generator[Progress, None, list[RepairResult]]:
        """Resolved requests of equal loops -> their photos. Hands first, then faces in the photos as they are then."""
        clock = Clock("find", "text", "refine", "refine_decode", "inpaint", "inpaint_decode", "paste")
        works = [Work(*each, self.settings) for each in asked]
        for kind in self.settings.part.kinds:
            parts = [(work, part) for work in works for part in work.finding.parts if part.kind == kind]
            if parts:
                yield from self._repair_kind(kind, parts, clock)
        return [work.result(clock.seconds) for work in works]

    def _repair_kind(
        self, kind: Kind, parts: Sequence[tuple[Work, Part]], clock: Clock
    ) -> Generator[Progress, None, None]:
        request = parts[0][0].request
        whole = given(request.strength) == 1
        inpaint_table = self._inpaint_table(request)
        with clock("find"), span("pose_drawing"):
            drawings = [work.drawing(part) for work, part in parts]
        with clock("text"):
            guided = self._guided([drawing.prompt for drawing in drawings], inpaint_table)
        shown = parts[0][0].image
        yield Progress("find", 1, 1, lambda: shown)

        refined: Sequence[Rgb | None] = [None] * len(parts)
        if self._refine is not None:
            for step in clock.steps("refine", self._refine.steps(drawings, self._refine_table(request), whole)):
                sketch = partial(self._sketched, parts, self._refine.preview, step, [d.masks.part for d in drawings])
                yield Progress("refine", step.index, step.total, sketch)
            with clock("refine_decode"):
                refined = self._refine.finish(step)

        from_noise = self._refine is not None or whole
        for step in clock.steps("inpaint", self._inpaint.steps(drawings, refined, guided, inpaint_table, from_noise)):
            sketch = partial(self._sketched, parts, self._inpaint.preview, step, [d.masks.dilated for d in drawings])
            yield Progress("inpaint", step.index, step.total, sketch)
        with clock("inpaint_decode"):
            painted = self._inpaint.finish(step)

        keep = self.settings.part.kinds[kind].keep
        with clock("paste"):
            for (work, part), drawing, between, after in zip(parts, drawings, refined, painted, strict=True):
                if keep is not None and between is not None:
                    after = with_refined(after, between, drawing.masks.part, keep)
                made = PartResult(part, drawing.crop, drawing.pose, drawing.masks.ring, between, after)
                work.put_back(made, drawing, self._likeness)

    def _refine_table(self, request: RepairRequest) -> StepTable:
        """Of the first stage, as far as strength leaves it."""
        steps = given(request.steps)
        table = ddim_table(self._schedule, steps, given(request.guidance), given(request.eta))
        return table.last(_left(steps, request))

    def _inpaint_table(self, request: RepairRequest) -> StepTable:
        """Of the second stage; or of the only one, as far as strength leaves it."""
        eta = given(request.eta)
        if self._refine is not None:
            steps, guidance = given(request.inpaint_steps), given(request.inpaint_guidance)
            return ddim_table(self._schedule, steps, guidance, eta, blend="before")
        steps, guidance = given(request.steps), given(request.guidance)
        return ddim_table(self._schedule, steps, guidance, eta, blend="before").last(_left(steps, request))

    def _guided(self, prompts: Sequence[str], table: StepTable) -> Guided:
        """What the second stage is told; without it nothing: no words, or zeros."""
        told = self._contexts(prompts)
        if not table.guided:
            return Guided({"context": told}, None)
        without = np.zeros_like(told) if self._text is None else self._contexts([""] * len(prompts))
        return Guided({"context": told}, {"context": without})

    def _contexts(self, prompts: Sequence[str]) -> NDArray[np.float32]:
        if self._text is not None:
            return self._text.contexts(prompts)
        return np.repeat(self._context[None], len(prompts), 0)

    def _sketched(
        self,
        parts: Sequence[tuple[Work, Part]],
        preview: Callable[[Step], list[Rgb]],
        step: Step,
        masks: Sequence[Mask],
    ) -> Rgb:
        """The first photo with its parts as they stand, without fades."""
        first, image = parts[0][0], parts[0][0].image
        for (work, part), picture, mask in zip(parts, preview(step), masks, strict=True):
            if work is first:
                image = paste(image, part.crop, picture, mask, 1)[0]
        return image


def _told(
    settings: PartRefinerSettings, engines: Mapping[str, Engine], tokenizer: bytes | None,
    context: NDArray[np.float32] | None,
) -> tuple[Text | None, NDArray[np.float32]]:  # fmt: skip
    """The text encoder, or what stands in for it."""
    if settings.text is not None:
        if tokenizer is None:
            raise BundleError("bundle: expected a tokenizer, as the model reads text; export the bundle again")
        return Text(tokenizer, settings.text, engines["text_encoder"]), np.zeros((0, 0), np.float32)
    wanted = next(tensor.shape[1:] for tensor in engines["inpaint_unet"].spec.inputs if tensor.name == "context")
    fits = context is not None and all(
        isinstance(axis, str) or axis == size for axis, size in zip(wanted, context.shape, strict=True)
    )
    if context is None or not fits:
        got = "none" if context is None else list(context.shape)
        raise BundleError(f"{CONTEXT}: expected float32 {list(wanted)}, got {got}; export the bundle again")
    return None, context


def _left(steps: int, request: RepairRequest) -> int:
    """Steps that strength leaves."""
    return max(1, int(steps * given(request.strength)))
