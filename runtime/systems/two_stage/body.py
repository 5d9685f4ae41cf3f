"""Stage 2: the body painted around the hands while the kept region gives way (paper, sections III-C and III-D).

Knows nothing about how the hands came to be: a canvas, a pose, a context and a seed per picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import Engine, Placed
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.diffusion.device import DeviceLoop
from handfirst.runtime.diffusion.device_loops import Launches, Loops, Rows, bound, place_contexts
from handfirst.runtime.diffusion.launch import Launch, common_lane
from handfirst.runtime.diffusion.loop_shape import loop_shape
from handfirst.runtime.diffusion.masks import mask_table, reduce_mask
from handfirst.runtime.diffusion.noise import Streams
from handfirst.runtime.diffusion.sampler import Guided, Known, Predict, Prediction, Step, denoise, predicting
from handfirst.runtime.diffusion.table import StepTable
from handfirst.runtime.geometry import paste
from handfirst.runtime.loaded import given
from handfirst.runtime.pose.skeleton import hint
from handfirst.runtime.running import host, run_kept, run_rows, upload
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.runtime.timing.spans import span


class BodyStage:
    """The ControlNet Omega on its base UNet. Holds engines and settings, of a run the memory of its loop alone."""

    def __init__(
        self,
        hint_encoder: Engine,
        controlnet: Engine,
        unet: Engine,
        codec: Codec,
        settings: TwoStageSettings,
        loops: Loops[Launches],
    ) -> None:
        self._hint_encoder = hint_encoder
        self._controlnet = controlnet
        self._unet = unet
        self._codec = codec
        self._settings = settings
        self._loops = loops

    def steps(
        self, requests: Sequence[Request], canvases: Sequence[Canvas], guided: Guided, table: StepTable
    ) -> Iterator[Step]:
        """Denoises all pictures together.

        The fixed noise eps_0 that the canvas is noised with is the starting noise x_T itself (decision A6.8).

        Args:
            requests: B resolved ones.
            canvases: theirs.
            guided: contexts of their prompts, [B, L, D].
        """
        x_c = self._codec.encode(np.stack([canvas.image for canvas in canvases]))
        _, channels, rows, columns = x_c.shape
        seeds = [request.seed for request in requests]
        streams = Streams(seeds, (channels, rows, columns), table.noisy)
        known = Known(x_c, streams.x_T, np.stack(self._kept(requests, canvases, len(table))))
        hint_feature = self._hint_feature(requests, canvases)
        lane = common_lane(len(guided.rows(hint_feature)), self._controlnet, self._unet)
        if lane is None:
            yield from self._on_host(guided, table, streams, known, hint_feature)
        else:
            yield from self._on_device(lane, guided, table, streams, known, hint_feature)

    def _on_host(
        self, guided: Guided, table: StepTable, streams: Streams, known: Known, hint_feature: NDArray[np.float32]
    ) -> Iterator[Step]:
        residual_names = [tensor.name for tensor in self._controlnet.spec.outputs]

        def ask(guided: Guided) -> Predict:
            hint = upload(guided.rows(hint_feature), self._controlnet)
            context = upload(guided.context, self._controlnet, self._unet)

            def predict(x_t: NDArray[np.float32], timestep: int) -> Prediction:
                inputs = guided.inputs(x_t, timestep, {"context": context})
                residuals = run_kept(self._controlnet, {**inputs, "hint_feature": hint}, residual_names, self._unet)
                return guided.prediction(host(run_kept(self._unet, {**inputs, **residuals})["prediction"]))

            return predict

        yield from denoise(predicting(ask, guided, table), streams.x_T, table, known, streams.fresh)

    def _on_device(
        self, lane: Lane, guided: Guided, table: StepTable, streams: Streams, known: Known,
        hint_feature: NDArray[np.float32],
    ) -> Iterator[Step]:  # fmt: skip
        def launches(loop: DeviceLoop, inputs: Mapping[str, Placed], rows: Rows) -> list[Launch]:
            hint = rows(loop.room("hint_feature", hint_features.shape, "float32"))
            residuals = loop.outputs(self._controlnet.spec, {**inputs, "hint_feature": hint})
            controlnet = Launch.of(self._controlnet, {**inputs, "hint_feature": hint, **residuals})
            return [controlnet, Launch.of(self._unet, {**inputs, **residuals, "prediction": rows(loop.prediction)})]

        hint_features = guided.rows(hint_feature)
        shape = loop_shape(table, streams.x_T, guided, streams.x_T.shape[1], known=True)
        key = guided.context.shape, hint_features.shape
        with self._loops.taken(lane, shape, key, partial(bound, launches, guided)) as (loop, (whole, alone)):
            place_contexts(loop, guided)
            loop.place("hint_feature", hint_features)
            yield from loop.run(table, streams.draws, whole, known=known, alone=alone)

    def finish(self, requests: Sequence[Request], canvases: Sequence[Canvas], last: Step) -> list[NDArray[np.uint8]]:
        """The pictures uint8 [H, W, 3], every hand pixel put back as it was on the canvas."""
        return [
            paste(image, canvas.image, canvas.mask, given(request.feather))
            for image, canvas, request in zip(self._codec.decode(host(last.x_t)), canvases, requests, strict=True)
        ]

    def preview(self, step: Step) -> NDArray[np.uint8]:
        """The first picture as it stands at `step`, sketched."""
        first: NDArray[np.uint8] = self.sketches(step, 1)[0]
        return first

    def sketches(self, step: Step, count: int | None = None) -> NDArray[np.uint8]:
        """The first `count` pictures, or all, as they stand at `step`: uint8 [B, H, W, 3]."""
        shown: NDArray[np.uint8] = self._codec.sketch(host(step.x_0)[:count])
        return shown

    def regions(self, request: Request, canvas: Canvas, table: StepTable) -> NDArray[np.bool_]:
        """What is kept after each step, bool [T, H, W], latent cells as squares; nothing where nothing is blended."""
        kept = self._kept([request], [canvas], len(table))[0]
        kept = kept & (table.blend | table.before)[:, None, None]
        factor = self._settings.latent.factor
        return kept.repeat(factor, 1).repeat(factor, 2)

    def _kept(self, requests: Sequence[Request], canvases: Sequence[Canvas], steps: int) -> list[NDArray[np.bool_]]:
        body, factor = self._settings.body, self._settings.latent.factor
        with span("mask_table"):
            return [
                _with_around(mask_table(canvas.parts, steps, given(request.blend), body, factor), canvas, factor)
                for canvas, request in zip(canvases, requests, strict=True)
            ]

    def _hint_feature(self, requests: Sequence[Request], canvases: Sequence[Canvas]) -> NDArray[np.float32]:
        """Skeleton and precise mask do not change over the steps, so they are encoded once."""
        body = self._settings.body
        with span("hint_drawing"):
            hints = [
                hint(request.pose, canvas.mask, body.width, body.height)
                for request, canvas in zip(requests, canvases, strict=True)
            ]
        return run_rows(self._hint_encoder, {"hint": np.stack(hints)})["hint_feature"]


def _with_around(kept: NDArray[np.bool_], canvas: Canvas, factor: int) -> NDArray[np.bool_]:
    """The table of kept cells, bool [S, h, w], with those in which nothing is to be painted, kept throughout."""
    return kept if canvas.around is None else kept | ~reduce_mask(~canvas.around, factor, "max")
