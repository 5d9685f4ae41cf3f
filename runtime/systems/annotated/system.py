"""Annotated hands: pictures drawn together with what names their bones (arXiv 2401.15075).

`_paint` is the whole story; every noun in it has a file of its own. Knows nothing about files beyond the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import Choice, choose
from handfirst.engines.engine import Array, Engine
from handfirst.engines.errors import BundleError
from handfirst.runtime.diffusion.noise import Streams
from handfirst.runtime.diffusion.sampler import Guided, Prediction, Step, denoise
from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_table
from handfirst.runtime.diffusion.text import Text
from handfirst.runtime.errors import PoseError
from handfirst.runtime.loaded import GIVEN, Loaded, finished, given, in_groups
from handfirst.runtime.pose.detect import hand_points
from handfirst.runtime.residency import open_resident
from handfirst.runtime.running import run_rows
from handfirst.runtime.system import Progress, Resident
from handfirst.runtime.systems.annotated.annotation import Picture
from handfirst.runtime.systems.annotated.consistency import Points, consistency
from handfirst.runtime.systems.annotated.decoding import Channels, Decoding
from handfirst.runtime.systems.annotated.recover import RecoveredHand, recover
from handfirst.runtime.systems.annotated.request import SampleRequest, SampleResult
from handfirst.runtime.systems.annotated.roles import check_roles, roles
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings, read_settings
from handfirst.runtime.timing.spans import Clock, span


@dataclass(frozen=True, eq=False)
class Candidate:
    """One picture of those from which a result is chosen."""

    image: Picture
    annotation: Picture | None
    hands: tuple[RecoveredHand, ...]
    score: float
    note: str | None = None


class AnnotatedHands(Loaded):
    """A loaded model. Keeps contexts of prompts, which change no picture: threads may share it.

    Args:
        settings: what the model is.
        engines: one per role of `roles.roles`.
        tokenizer: a `tokenizer.json`, where the model reads text.
        bundle: where they came from, if from one.
        engine: what runs them, and why.
        detector: the points [21, 2] of every hand in a picture uint8 [S, S, 3], for requests that ask to check.

    Raises:
        BundleError: if engines or tokenizer do not fit the settings.
    """

    def __init__(
        self,
        settings: AnnotatedSettings,
        engines: Mapping[str, Engine],
        tokenizer: bytes | None = None,
        bundle: Bundle | None = None,
        engine: Choice = GIVEN,
        detector: Callable[[Picture], Sequence[Points]] = hand_points,
    ) -> None:
        check_roles(settings, {role: opened.spec for role, opened in engines.items()})
        super().__init__(engines, bundle, engine)
        self.settings = settings
        self._detector = detector
        self._schedule = Schedule(settings.schedule)
        self._decoding = Decoding(settings, self._engines)
        self._text = None
        if settings.text is not None:
            if tokenizer is None:
                raise BundleError("bundle: expected a tokenizer, as the model reads text; export the bundle again")
            self._text = Text(tokenizer, settings.text, self._engines["text_encoder"])

    @classmethod
    def of(cls, bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> AnnotatedHands:
        """The model of a bundle; see `handfirst.open`."""
        manifest = bundle.manifest
        settings = read_settings(manifest)
        check_roles(settings, {role: entry.spec for role, entry in manifest.engines.items()})
        tokenizer = None if settings.text is None else bundle.tokenizer()
        chosen = choose(engine, sum(file.size for file in manifest.files.values()))
        stages = [(role,) for role in roles(settings)]
        engines = open_resident(bundle, roles(settings), stages, chosen.engine, threads, resident)
        return cls(settings, engines, tokenizer, bundle, chosen)

    def render(self, request: SampleRequest) -> SampleResult:
        """One picture."""
        return self.render_batch([request])[0]

    def render_batch(self, requests: Sequence[SampleRequest]) -> list[SampleResult]:
        """One picture per request, in their order; those of equal `SampleRequest.loop` are denoised together."""
        resolved = [self._resolved(request) for request in requests]
        return in_groups(resolved, lambda each: each.loop, lambda some: finished(self._paint(some)))

    def steps(self, request: SampleRequest) -> Generator[Progress, None, None]:
        """One picture, step by step; the last item holds the result. Closing the iterator stops the work at once."""
        return self._steps(self._resolved(request))

    def _steps(self, request: SampleRequest) -> Generator[Progress, None, None]:
        (result,) = yield from self._paint([request])
        yield Progress("recover", 1, 1, lambda: result.image, result)

    def _resolved(self, request: SampleRequest) -> SampleRequest:
        """The request for this model; raises what either raises, before any work."""
        resolved = request.resolve(self.settings)
        self._schedule.timesteps(given(resolved.steps))
        return resolved

    def _paint(self, requests: Sequence[SampleRequest]) -> Generator[Progress, None, list[SampleResult]]:
        """Resolved requests of equal loops -> their pictures. All first candidates are drawn together, then all second
        ones, so that many take no more memory than one."""
        clock, first = Clock("text", "sample", "decode", "recover"), requests[0]
        table = ddim_table(self._schedule, given(first.steps), given(first.guidance), given(first.eta))
        with clock("text"):
            guided = self._guided(requests, table)
        drawn: list[list[Candidate]] = [[] for _ in requests]
        count = given(first.best_of)
        for number in range(count):
            seeds = [request.candidate_seed(number) for request in requests]
            for step in clock.steps("sample", self.denoised(seeds, guided, table)):
                done = number * len(table) + step.index
                preview = partial(self._preview, np.asarray(step.x_0)[:1])
                yield Progress("sample", done, count * len(table), preview)
            with clock("decode"):
                images, annotations = self._decoding.pictures(np.asarray(step.x_t))
            with clock("recover"), span("recovery"):
                for i, request in enumerate(requests):
                    annotation = None if annotations is None else annotations[i]
                    drawn[i].append(self._judged(images[i], annotation, request.check))
        seconds = clock.seconds
        return [self._chosen(*each, seconds) for each in zip(requests, drawn, strict=True)]

    def denoised(self, seeds: Sequence[int], guided: Guided | None, table: StepTable) -> Generator[Step, None, None]:
        """The loop alone, from noise of the seeds.

        Args:
            guided: what the network is told of each picture, "label" [B, K] or "context" [B, L, D]; None: nothing.
        """
        cells, unet = self.settings.cells, self._engines["denoiser"]
        streams = Streams(seeds, (self.settings.channels, cells, cells), table.noisy)
        told = None if guided is None else guided.tensors

        def predict(x_t: Channels, timestep: int) -> Prediction:
            if guided is None or told is None:
                times = np.full(len(x_t), timestep, np.int64)
                return Prediction(run_rows(unet, {"sample": x_t, "timestep": times})["prediction"])
            rows = guided.rows(x_t)
            times = np.full(len(rows), timestep, np.int64)
            inputs: dict[str, Array] = {"sample": rows, "timestep": times, **told}
            return guided.prediction(run_rows(unet, inputs)["prediction"])

        yield from denoise(predict, streams.x_T, table, noise=streams.fresh)

    def _guided(self, requests: Sequence[SampleRequest], table: StepTable) -> Guided | None:
        """What the network is told of each picture, and without that nothing: the empty prompt, or no label."""
        name = self.settings.told
        if name is None:
            return None
        told = self._told(requests)
        without = self._told([SampleRequest()] * len(requests)) if table.guided else None
        return Guided({name: told}, None if without is None else {name: without})

    def _told(self, requests: Sequence[SampleRequest]) -> NDArray[np.float32]:
        if self._text is not None:
            return self._text.contexts([request.prompt or "" for request in requests])
        classes = self.settings.classes
        return np.array([[name == request.label for name in classes] for request in requests], np.float32)

    def _judged(self, image: Picture, annotation: Picture | None, check: bool) -> Candidate:
        if annotation is None:
            return Candidate(image, None, (), 0.0)
        hands, seen, note = recover(annotation, self.settings.annotation), None, None
        if check:
            try:
                seen = self._detector(image)
            except PoseError as error:
                note = f"not checked ({error})"
        return Candidate(image, annotation, hands, consistency(hands, seen), note)

    def _chosen(self, request: SampleRequest, drawn: Sequence[Candidate], seconds: dict[str, float]) -> SampleResult:
        """Of candidates that are equally consistent the first."""
        best = int(np.argmax([each.score for each in drawn]))
        kept, annotated = drawn[best], drawn[best].annotation is not None
        words = [request.prompt] if self._text is not None and request.prompt is not None else []
        long = self._text.warnings(words) if self._text is not None else ()
        return SampleResult(
            image=kept.image,
            annotation=kept.annotation,
            hands=kept.hands,
            consistency=kept.score if annotated else None,
            candidate=best,
            scores=tuple(each.score for each in drawn) if annotated else (),
            request=request,
            seconds=seconds,
            warnings=(*long, *_notes(kept, annotated)),
        )

    def _preview(self, x_0: Channels) -> Picture:
        return np.asarray(self._decoding.sketch(x_0)[0])


def _notes(kept: Candidate, annotated: bool) -> list[str]:
    """What the caller should know of the picture that was kept."""
    none = ["the annotation shows no hand"] if annotated and not kept.hands else []
    return none if kept.note is None else [*none, kept.note]
