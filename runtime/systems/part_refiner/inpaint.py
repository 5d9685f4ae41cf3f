"""Stage 2: the seam between a refined part and its photo, painted by a nine-channel UNet (RealisHuman, section 3.3).

Its input is x_t, the ring to repaint, and latents of what is known: the part inside, the photo beyond. Before every
step the photo around the part is put in as noisy as the step expects, with fresh noise, and clean after the last.
Where there is no first stage the ring is all of the part, and the UNet is told the pose. Knows nothing about how the
part came to be. The loop is NumPy's on every engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Engine
from handfirst.runtime.diffusion.codec import Codec
from handfirst.runtime.diffusion.masks import reduce_mask
from handfirst.runtime.diffusion.noise import Streams, part_seed
from handfirst.runtime.diffusion.sampler import Guided, Known, Prediction, Step, denoise, noised
from handfirst.runtime.diffusion.table import StepTable
from handfirst.runtime.running import host, run_kept, run_rows
from handfirst.runtime.systems.part_refiner.crops import Rgb
from handfirst.runtime.systems.part_refiner.masks import masked
from handfirst.runtime.systems.part_refiner.refine import Drawing, pose_input
from handfirst.runtime.systems.part_refiner.settings import PartRefinerSettings


class InpaintStage:
    """The inpainting UNet. Holds engines and settings, nothing of a run.

    Args:
        pose_guider: where the UNet is told the pose; see settings.drawn_by.
    """

    def __init__(
        self, unet: Engine, codec: Codec, settings: PartRefinerSettings, pose_guider: Engine | None = None
    ) -> None:
        self._unet = unet
        self._codec = codec
        self._settings = settings
        self._pose_guider = pose_guider

    def steps(
        self,
        drawings: Sequence[Drawing],
        refined: Sequence[Rgb | None],
        guided: Guided,
        table: StepTable,
        from_noise: bool,
    ) -> Iterator[Step]:
        """Paints all seams together.

        Args:
            drawings: B of them, at least one.
            refined: what the first stage drew of each, uint8 [S, S, 3]; None where there is none.
            guided: what the UNet is told of each, "context" [B, L, D].
            table: one that blends before its steps.
            from_noise: whether they begin at noise alone; else at the photo, as noisy as the first step expects.
        """
        shown = [
            masked(each.crop, each.crop if part is None else part, each.masks)
            for each, part in zip(drawings, refined, strict=True)
        ]
        x_c = self._codec.encode(np.stack([each.crop for each in drawings]))
        known_cells = self._codec.encode(np.stack(shown))
        factor = self._settings.latent.factor
        rings = np.stack([reduce_mask(each.masks.ring, factor, "nearest") for each in drawings])
        beyond = ~np.stack([reduce_mask(each.masks.dilated, factor, "nearest") for each in drawings])
        condition = np.concatenate([rings[:, None].astype(np.float32), known_cells], 1)
        seam, around = ([part_seed(each.seed, name) for each in drawings] for name in ("seam", "ground"))
        streams = Streams(seam, x_c.shape[1:], table.noisy)
        ground = Streams(around, x_c.shape[1:], len(table) - 1)
        kept = np.broadcast_to(beyond[:, None], (len(drawings), len(table), *beyond.shape[1:]))
        known = Known(x_c, streams.x_T, kept, lambda index: ground.draws[:, index - 1])
        context = {**guided.tensors, **self._posed(drawings, guided)}

        def predict(x_t: NDArray[np.float32], timestep: int) -> Prediction:
            inputs = guided.inputs(np.concatenate([x_t, condition], 1), timestep, context)
            return guided.prediction(host(run_kept(self._unet, inputs)["prediction"]))

        x_T = streams.x_T if from_noise else noised(x_c, streams.x_T, table.row(1))
        yield from denoise(predict, x_T, table, known, streams.fresh)

    def _posed(self, drawings: Sequence[Drawing], guided: Guided) -> dict[str, NDArray[np.float32]]:
        """What the UNet is told of the poses, with words and without."""
        if self._pose_guider is None:
            return {}
        feature = run_rows(self._pose_guider, {"pose": pose_input([each.pose for each in drawings])})["pose_feature"]
        return {"pose_feature": guided.rows(feature)}

    def finish(self, last: Step) -> list[Rgb]:
        """Pictures of the crops, uint8 [S, S, 3] each."""
        return list(self._codec.decode(np.asarray(last.x_t)))

    def preview(self, step: Step) -> list[Rgb]:
        """The crops as they stand at `step`, sketched."""
        return list(self._codec.sketch(np.asarray(step.x_0)))
