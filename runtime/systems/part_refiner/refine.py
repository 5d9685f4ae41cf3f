"""Stage 1: parts drawn anew after a reference and in a pose (RealisHuman, section 3.2).

The main UNet attends to what the reference UNet saw of the old part; guidance leads from a picture of mean colour
without a reference. Rows with and without one are a batch. Knows nothing about photos; a part is a crop, its pose
picture, its mask and a seed. The loop is NumPy's on every engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Engine
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.diffusion.noise import Streams
from handfirst.runtime.diffusion.sampler import Guided, Prediction, Step, denoise, noised
from handfirst.runtime.diffusion.table import StepTable
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.running import host, run_kept, run_rows
from handfirst.runtime.systems.part_refiner.banks import BankKeeper, Reference
from handfirst.runtime.systems.part_refiner.crops import Rgb
from handfirst.runtime.systems.part_refiner.masks import PartMasks, foreground
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings


@dataclass(frozen=True, eq=False)
class Drawing:
    """One part to draw.

    Attributes:
        crop: uint8 [S, S, 3], as it was.
        pose: uint8 [S, S, 3], as it shall be.
        masks: of the pose.
        seed: of its noise; those of the second stage's follow from it.
        prompt: of the second stage.
    """

    crop: Rgb
    pose: Rgb
    masks: PartMasks
    seed: int
    prompt: str


class RefineStage:
    """Image encoder, pose guider, reference and main UNet. Keeps banks of the last references, nothing else."""

    def __init__(
        self, image_encoder: Engine, pose_guider: Engine, reference_unet: Engine, main_unet: Engine, codec: Codec,
        settings: PartRefinerSettings,
    ) -> None:  # fmt: skip
        self._image_encoder = image_encoder
        self._pose_guider = pose_guider
        self._main_unet = main_unet
        self._codec = codec
        self._settings = settings
        self._keeper = BankKeeper(reference_unet, settings.bank_bytes)

    def steps(self, drawings: Sequence[Drawing], table: StepTable, whole: bool) -> Iterator[Step]:
        """Draws all parts together.

        Args:
            drawings: B of them, at least one.
            table: of the steps that are left after strength has cut them.
            whole: whether they begin at noise alone; else at the old parts, as noisy as the first step expects.
        """
        old = [foreground(drawing.crop, drawing.masks.part) for drawing in drawings]
        latents = self._codec.encode(np.stack(old))
        streams = Streams([drawing.seed for drawing in drawings], latents.shape[1:], table.noisy)
        guided = self._guided(old, [drawing.pose for drawing in drawings], table.guided)
        with_reference = guided.conditional
        references = [
            Reference(latents[i], with_reference["context"][i], with_reference["pose_feature"][i])
            for i in range(len(drawings))
        ]
        fixed, times = guided.tensors, [self._reference_time(t) for t in table.timestep.tolist()]
        banks = self._keeper.banks(references, list(dict.fromkeys(times)))

        def predict(x_t: NDArray[np.float32], timestep: int) -> Prediction:
            bank = {name: guided.rows(rows) for name, rows in banks(self._reference_time(timestep)).items()}
            answer = run_kept(self._main_unet, {**guided.inputs(x_t, timestep, fixed), **bank})
            return guided.prediction(host(answer["prediction"]))

        x_T = streams.x_T if whole else noised(latents, streams.x_T, table.row(1))
        yield from denoise(predict, x_T, table, noise=streams.fresh)

    def finish(self, last: Step) -> list[Rgb]:
        """Pictures of the parts, uint8 [S, S, 3] each, on black."""
        return list(self._codec.decode(np.asarray(last.x_t)))

    def preview(self, step: Step) -> list[Rgb]:
        """The parts as they stand at `step`, sketched."""
        return list(self._codec.sketch(np.asarray(step.x_0)))

    def _reference_time(self, timestep: int) -> int:
        return timestep if self._settings.reference_timestep == "current" else 0

    def _guided(self, old: Sequence[Rgb], poses: Sequence[Rgb], guided: bool) -> Guided:
        """What rows with a reference are told, and those without."""
        pictures = [encoder_picture(each, self._settings) for each in old]
        nothing = [np.zeros_like(pictures[0])] if guided else []  # of mean colour
        contexts = run_rows(self._image_encoder, {"picture": np.stack([*pictures, *nothing])})["context"]
        feature = run_rows(self._pose_guider, {"pose": pose_input(poses)})["pose_feature"]
        count = len(old)
        told = {"context": contexts[:count], "pose_feature": feature, "referenced": np.ones(count, np.float32)}
        if not guided:
            return Guided(told, None)
        without = np.repeat(contexts[count:], count, 0)
        return Guided(told, {**told, "context": without, "referenced": np.zeros(count, np.float32)})


def pose_input(poses: Sequence[Rgb]) -> NDArray[np.float32]:
    """Pose pictures, uint8 [S, S, 3] each -> what a pose guider takes, float32 [B, 3, S, S] in [0, 1]."""
    return np.ascontiguousarray(np.stack(poses).transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def encoder_picture(picture: Rgb, settings: PartRefinerSettings) -> NDArray[np.float32]:
    """A part on black, uint8 [S, S, 3] -> float32 [3, s, s], as the image encoder is given it: area means, then
    (colour - mean) / std."""
    encoder = settings.image_encoder
    resized = warp(picture, Similarity(len(picture) / encoder.size, 0.0, 0.0), encoder.size, encoder.size) / 255
    normal = (resized - np.array(encoder.mean)) / np.array(encoder.std)
    return np.ascontiguousarray(normal.transpose(2, 0, 1), np.float32)
