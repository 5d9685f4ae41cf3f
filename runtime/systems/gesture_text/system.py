"""Gestures in words: a text-to-image model whose prompts carry a gesture's mean hand feature (arXiv 2408.15461).

`_paint` is the whole story; every noun in it has a file of its own. Knows nothing about files beyond the bundle.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.bundle import Bundle
from handfirst.engines.choice import Choice, choose
from handfirst.engines.engine import Array, Engine
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.diffusion.gesture import Gesture, Gestures, read_gestures
from handfirst.runtime.diffusion.noise import Streams
from handfirst.runtime.diffusion.sampler import Guided, Latents, Prediction, Step, denoise
from handfirst.runtime.diffusion.table import Schedule, StepTable, ddim_table
from handfirst.runtime.diffusion.text import Text
from handfirst.runtime.loaded import GIVEN, Loaded, finished, given, in_groups
from handfirst.runtime.residency import open_resident
from handfirst.runtime.running import host, run_rows
from handfirst.runtime.system import Progress, Resident
from handfirst.runtime.systems.gesture_text.request import GestureRequest, GestureResult
from handfirst.runtime.systems.gesture_text.roles import ROLES, check_roles
from handfirst.runtime.systems.gesture_text.settings import GestureTextSettings, read_settings
from handfirst.runtime.timing.spans import Clock


class GestureText(Loaded):
    """A loaded model. Keeps contexts of prompts, which change no picture: threads may share it.

    Args:
        settings: what the model is.
        engines: one per role of `roles.ROLES`.
        tokenizer: a `tokenizer.json`.
        gestures: by the names in the settings.
        bundle: where they came from, if from one.
        engine: what runs them, and why.

    Raises:
        BundleError: if engines or tokenizer do not fit the settings.
    """

    def __init__(
        self,
        settings: GestureTextSettings,
        engines: Mapping[str, Engine],
        tokenizer: bytes,
        gestures: Mapping[str, Gesture],
        bundle: Bundle | None = None,
        engine: Choice = GIVEN,
    ) -> None:
        check_roles(settings, {role: opened.spec for role, opened in engines.items()})
        super().__init__(engines, bundle, engine)
        self.settings = settings
        self._adapters = {name: gesture.more for name, gesture in gestures.items()}
        self._schedule = Schedule(settings.schedule)
        self._codec = Codec(None, self._engines["vae_decoder"], settings.latent)
        self._text = Text(tokenizer, settings.text, self._engines["text_encoder"])
        self._gestures = Gestures(settings.gestures, gestures, self._text)

    @classmethod
    def of(cls, bundle: Bundle, engine: str, threads: int | None, resident: Resident) -> GestureText:
        """The model of a bundle; see `handfirst.open`."""
        manifest = bundle.manifest
        settings = read_settings(manifest)
        check_roles(settings, {role: entry.spec for role, entry in manifest.engines.items()})
        gestures = read_gestures(bundle, settings.gestures, settings.text, settings.adapter.values)
        chosen = choose(engine, sum(file.size for file in manifest.files.values()))
        engines = open_resident(bundle, ROLES, [(role,) for role in ROLES], chosen.engine, threads, resident)
        return cls(settings, engines, bundle.tokenizer(), gestures, bundle, chosen)

    def render(self, request: GestureRequest) -> GestureResult:
        """One picture."""
        return self.render_batch([request])[0]

    def render_batch(self, requests: Sequence[GestureRequest]) -> list[GestureResult]:
        """One picture per request, in their order; those of equal `GestureRequest.loop` are denoised together."""
        resolved = [self._resolved(request) for request in requests]
        return in_groups(resolved, lambda each: each.loop, lambda some: finished(self._paint(some)))

    def steps(self, request: GestureRequest) -> Generator[Progress, None, None]:
        """One picture, step by step; the last item holds the result. Closing the iterator stops the work at once."""
        return self._steps(self._resolved(request))

    def _steps(self, request: GestureRequest) -> Generator[Progress, None, None]:
        (result,) = yield from self._paint([request])
        yield Progress("decode", 1, 1, lambda: result.image, result)

    def _resolved(self, request: GestureRequest) -> GestureRequest:
        """The request for this model; raises what either raises, before any work."""
        resolved = request.resolve(self.settings)
        self._schedule.timesteps(given(resolved.steps))
        return resolved

    def _paint(self, requests: Sequence[GestureRequest]) -> Generator[Progress, None, list[GestureResult]]:
        """Resolved requests of equal loops -> their pictures."""
        clock, first = Clock("text", "sample", "decode"), requests[0]
        table = ddim_table(self._schedule, given(first.steps), given(first.guidance), given(first.eta))
        with clock("text"):
            guided = self.guided(requests, table)
        for step in clock.steps("sample", self.denoised([each.seed for each in requests], guided, table)):
            yield Progress("sample", step.index, len(table), partial(self._preview, host(step.x_0)[:1]))
        with clock("decode"):
            images = self._codec.decode(host(step.x_t))
        seconds = clock.seconds
        return [
            GestureResult(image, request, seconds, self._text.warnings([self._words(request)]))
            for image, request in zip(images, requests, strict=True)
        ]

    def denoised(self, seeds: Sequence[int], guided: Guided, table: StepTable) -> Generator[Step, None, None]:
        """The loop alone, from noise of the seeds."""
        cells, unet = self.settings.cells, self._engines["unet"]
        streams = Streams(seeds, (self.settings.latent.channels, cells, cells), table.noisy)
        told = guided.tensors

        def predict(x_t: Latents, timestep: int) -> Prediction:
            rows = guided.rows(x_t)
            times = np.full(len(rows), timestep, np.int64)
            inputs: dict[str, Array] = {"sample": rows, "timestep": times, **told}
            return guided.prediction(run_rows(unet, inputs)["prediction"])

        yield from denoise(predict, streams.x_T, table, noise=streams.fresh)

    def guided(self, requests: Sequence[GestureRequest], table: StepTable) -> Guided:
        """What the UNet is told of each picture: E'' and the gesture's adapter; without the words, the empty prompt's
        own embedding and the same adapter."""
        contexts = np.stack([self.context(request) for request in requests])
        adapters = np.stack([self._adapter(request.gesture) for request in requests])
        if not table.guided:
            return Guided({"context": contexts, "adapter": adapters}, None)
        empty = self._text.contexts([""] * len(requests))
        return Guided({"context": contexts, "adapter": adapters}, {"context": empty, "adapter": adapters})

    def context(self, request: GestureRequest) -> NDArray[np.float32]:
        """E'' float32 [L, D] of a resolved request; E where it names no gesture."""
        if request.gesture is not None:
            return self._gestures.context(request.prompt or "", request.gesture, given(request.mu))
        (context,) = self._text.contexts([self._words(request)])
        return np.asarray(context)

    def _words(self, request: GestureRequest) -> str:
        prompt = request.prompt or ""
        return prompt if request.gesture is None else self._gestures.prompt(prompt, request.gesture)

    def _adapter(self, gesture: str | None) -> NDArray[np.float32]:
        if gesture is None:
            return np.zeros(self.settings.adapter.values, np.float32)
        return self._adapters[gesture]

    def _preview(self, x_0: Latents) -> NDArray[np.uint8]:
        return np.asarray(self._codec.sketch(x_0)[0])
