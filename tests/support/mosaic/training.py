"""The second system's training: one stage, on pictures whose mean colour it is told."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from support.mosaic.networks import Networks, load, save
from support.mosaic.runtime import CHANNELS, MosaicSettings, enlarged

from handfirst.training.loop.options import ShardOptions
from handfirst.training.loop.task import Drawn, Stage, Task
from handfirst.training.losses import Noising, add_noise, noise_loss
from handfirst.training.system import StageKind


class Options(ShardOptions):
    snr_cap: float = 5.0


@dataclass(frozen=True)
class Samples:
    """x_0 float32 [4, h, w]; colour float32 [3]; eps float32 [4, h, w]; t int64 []."""

    settings: MosaicSettings

    def draw(self, example, rng):
        return self.fix(example, rng, int(rng.integers(self.settings.schedule.train_steps)))

    def fix(self, example, rng, t):
        side = self.settings.side
        tiles = cv2.resize(example.rgb, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
        kept = cv2.resize((example.hands > 0).astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) * 2 - 1
        return {
            "x_0": np.concatenate([tiles.transpose(2, 0, 1), kept[None]]),
            "colour": tiles.mean((0, 1)),
            "eps": rng.standard_normal((CHANNELS, side, side), np.float32),
            "t": np.array(t),
        }


class TileTask(Task):
    def __init__(self, networks, settings, snr_cap):
        super().__init__("tiles", networks)
        self.noising = Noising(settings.schedule, snr_cap)

    def forward(self, batch):
        x_t = add_noise(batch["x_0"], batch["eps"], self.noising.at(batch["t"]))
        wanted = self.noising.target(batch["x_0"], batch["eps"], batch["t"])
        prediction = self.model(x_t, batch["t"], batch["colour"])
        return {"noise": noise_loss(prediction, wanted, self.noising.weight(batch["t"]))}


class TileStage(Stage):
    def __init__(self, task, settings):
        self.task, self.settings = task, settings

    @property
    def train_steps(self):
        return self.settings.schedule.train_steps

    def encode(self, samples):
        return samples

    def draw(self, samples, steps, seed):
        context = self.task.model.mixer(samples["colour"])
        drawn = [enlarged(tiles[:, None, None].repeat(4, 1).repeat(4, 2), 8)[0] for tiles in context.numpy()]
        return Drawn((np.stack(drawn),))


class Maker:
    def __init__(self, model, options):
        self._networks, self._settings, self._training = load(model)
        self._options = options

    @property
    def samples(self):
        return Samples(self._settings)

    def stage(self):
        return TileStage(TileTask(self._networks, self._settings, self._options.snr_cap), self._settings)

    def write(self, stage, training, out):
        save(out, stage.task.model, self._settings, {**self._training, **training})


STAGES = {"tiles": StageKind("The only stage, on pictures.", Options, Maker)}


def untrained(folder):
    torch.manual_seed(0)
    return save(folder, Networks(), MosaicSettings(), {"note": "by hand"})
