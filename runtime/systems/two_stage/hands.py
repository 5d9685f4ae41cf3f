"""Stage 1: every hand of every picture as one batch, picture and mask at once (paper, section III-B).

Knows nothing about bodies or the canvas; a hand is a crop, its condition, a prompt and a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.cuda.lane import Lane
from handfirst.engines.engine import Engine, Placed
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.diffusion.device import DeviceLoop
from handfirst.runtime.diffusion.device_loops import Launches, Loops, Rows, bound, place_contexts
from handfirst.runtime.diffusion.gesture import gesture_prompt
from handfirst.runtime.diffusion.launch import Launch, common_lane
from handfirst.runtime.diffusion.loop_shape import loop_shape
from handfirst.runtime.diffusion.masks import binarise
from handfirst.runtime.diffusion.noise import Streams, part_seed
from handfirst.runtime.diffusion.sampler import Guided, Predict, Prediction, Step, denoise, predicting
from handfirst.runtime.diffusion.table import StepTable
from handfirst.runtime.geometry import warp
from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.pose.view import hand_words
from handfirst.runtime.running import host, run_kept, run_rows, upload
from handfirst.runtime.systems.two_stage.canvas import clean_mask
from handfirst.runtime.systems.two_stage.close_up import window_of
from handfirst.runtime.systems.two_stage.condition import condition
from handfirst.runtime.systems.two_stage.crops import Found, find_crops
from handfirst.runtime.systems.two_stage.request import CloseUp, HandResult, Request
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

SMALL = 96 / 512
"""Crops below this fraction of the canvas' shorter side come out coarse in stage 2."""


@dataclass(frozen=True, eq=False)
class Hand:
    """One crop to generate.

    Attributes:
        found: where it is on the canvas, which hands it holds, and whose.
        c_p: the condition, float32 [K', h, w].
        prompt, negative_prompt, seed: its own; with a gesture the prompt ends in the gesture's words.
        gesture: what is fused into the prompt's embedding, and the share mu of that embedding's own.
    """

    found: Found
    c_p: NDArray[np.float32]
    prompt: str
    negative_prompt: str
    seed: int
    gesture: tuple[str, float] | None = None

    @property
    def crop(self) -> HandCrop:
        """Of `found`."""
        return self.found.crop

    def result(
        self, image: NDArray[np.uint8], mask: NDArray[np.bool_], bones: NDArray[np.float64] | None = None
    ) -> HandResult:
        """What is made of it."""
        return HandResult(self.found.person, self.crop, image, mask, self.found.partner, bones)


def find_hands(request: Request, settings: TwoStageSettings) -> tuple[Hand, ...]:
    """The hands of a resolved request that can be seen on the canvas, person by person, left before right."""
    return tuple(
        Hand(
            found=found,
            c_p=_condition(found, request.hand_mask, settings),
            prompt=_prompt(found, request, settings),
            negative_prompt=request.negative_prompt,
            seed=part_seed(request.seed, found.name),
            gesture=None if request.gesture is None else (request.gesture, float(request.mu or 0)),
        )
        for found in find_crops(request, settings)
    )


def count_hands(request: Request, settings: TwoStageSettings) -> int:
    """How many hands find_hands would find: rows of stage 1's batch."""
    return len(find_crops(request, settings))


def count_close_ups(request: Request, settings: TwoStageSettings) -> int:
    """How many of them get a close-up, if all are found in what stage 1 draws."""
    crops = [found.crop for found in find_crops(request, settings)]
    return sum(window_of(crop, request.close_up, settings) is not None for crop in crops)


def hand_warnings(hands: Sequence[HandResult], close_up: CloseUp, settings: TwoStageSettings) -> list[str]:
    """A line per hand that the picture may not do justice to."""
    if not hands:
        return ["the pose has no hand with enough visible points on the canvas; the body is painted without stage 1"]
    small = SMALL * min(settings.body.width, settings.body.height)
    lines = [
        f"{hand.name} is small ({hand.crop.side_px:.0f} pixels with its margin); "
        f"from {small:.0f} pixels on hands come out clearer, or ask for a close-up (--close-up auto)"
        for hand in hands
        if hand.crop.side_px < small and window_of(hand.crop, close_up, settings) is None
    ]
    return lines + [
        f"{hand.name}: no hand was found in the generated crop, so nothing of it is kept; try another seed"
        for hand in hands
        if not hand.mask.any()
    ]


class HandStage:
    """The hand generator H_theta with its mask head f_m. Holds engines and settings, of a run its loop's memory."""

    def __init__(
        self, unet: Engine, mask_head: Engine, codec: Codec, settings: TwoStageSettings, loops: Loops[Launches]
    ) -> None:
        self._unet = unet
        self._mask_head = mask_head
        self._codec = codec
        self._settings = settings
        self._loops = loops

    def steps(self, hands: Sequence[Hand], guided: Guided, table: StepTable) -> Iterator[Step]:
        """Denoises all hands together; the last step's extras hold the feature [B or 2 B, F, h, w], the prompted rows
        last. Earlier steps on the host do not ask for it; the table's last step must not be a forecast.

        Args:
            hands: B of them, at least one.
            guided: contexts of their prompts, [B, L, D].
        """
        c_p = np.stack([hand.c_p for hand in hands])
        shape = (self._settings.latent.channels, *c_p.shape[-2:])
        streams = Streams([hand.seed for hand in hands], shape, table.noisy)

        lane = common_lane(len(guided.rows(c_p)), self._unet)
        if lane is None:
            yield from self._on_host(guided, table, streams, c_p)
        else:
            yield from self._on_device(lane, guided, table, streams, c_p)

    def _on_host(self, guided: Guided, table: StepTable, streams: Streams, c_p: NDArray[np.float32]) -> Iterator[Step]:
        last = table.timestep[-1]

        def ask(guided: Guided) -> Predict:
            context = upload(guided.context, self._unet)

            def predict(x_t: NDArray[np.float32], timestep: int) -> Prediction:
                inputs = guided.inputs(np.concatenate([x_t, c_p], 1), timestep, {"context": context})
                wanted = ("prediction", "feature") if timestep == last else ("prediction",)
                answer = run_kept(self._unet, inputs, ("feature",), wanted=wanted)
                extras = {name: value for name, value in answer.items() if name == "feature"}
                return guided.prediction(host(answer["prediction"]), extras)

            return predict

        yield from denoise(predicting(ask, guided, table), streams.x_T, table, noise=streams.fresh)

    def _on_device(
        self, lane: Lane, guided: Guided, table: StepTable, streams: Streams, c_p: NDArray[np.float32]
    ) -> Iterator[Step]:
        def launches(loop: DeviceLoop, inputs: Mapping[str, Placed], rows: Rows) -> list[Launch]:
            feature = loop.outputs(self._unet.spec, inputs, ("feature",))
            return [Launch.of(self._unet, {**inputs, **feature, "prediction": rows(loop.prediction)})]

        shape = loop_shape(table, streams.x_T, guided, streams.x_T.shape[1] + c_p.shape[1], known=False)
        bind = partial(bound, launches, guided)
        with self._loops.taken(lane, shape, guided.context.shape, bind) as (loop, (whole, alone)):
            place_contexts(loop, guided)
            yield from loop.run(table, streams.draws, whole, condition=c_p, extras=("feature",), alone=alone)

    def finish(self, hands: Sequence[Hand], last: Step) -> list[HandResult]:
        """Pictures and masks from the last step: its feature has seen the least noise (decision A6.3)."""
        images = self._codec.decode(host(last.x_t))
        feature = host(last.extras["feature"])[-len(hands) :]
        predicted = run_rows(self._mask_head, {"feature": feature})["mask"][:, 0]
        masks = binarise(predicted, self._settings.hand.mask_threshold)
        return [
            hand.result(image, clean_mask(mask), hand.found.bones)
            for hand, image, mask in zip(hands, images, masks, strict=True)
        ]

    def preview(self, hands: Sequence[Hand], step: Step) -> list[HandResult]:
        """The hands as they stand at `step`, sketched, whole squares: the mask is not known yet."""
        whole = np.ones((self._settings.hand.size,) * 2, np.bool_)
        images = self._codec.sketch(host(step.x_0)[: len(hands)])
        return [hand.result(image, whole) for hand, image in zip(hands, images, strict=True)]


def _condition(found: Found, mask: NDArray[np.bool_] | None, settings: TwoStageSettings) -> NDArray[np.float32]:
    """c_p of one crop: only the crop's own hands are drawn, even where the other one peeks in (decision A6.16)."""
    crop = found.crop
    points = {side: crop.similarity.apply(found.hands.hand(side)) for side in crop.sides}
    cut = None if mask is None else warp(mask, crop.similarity.inverse(), crop.size, crop.size) >= 0.5
    return condition(
        points.get("left"),
        points.get("right"),
        None if cut is None else cut.astype(np.float32),
        crop.size,
        settings.hand.condition,
        settings.latent.factor,
    )


def _prompt(found: Found, request: Request, settings: TwoStageSettings) -> str:
    words = f"{hand_words(found.hands, found.crop)}, " if settings.hand.view_words else ""
    prompt = words + (request.hand_prompt or request.prompt)
    return prompt if request.gesture is None else gesture_prompt(prompt, settings.gesture(request.gesture).words)
