"""What every stage keeps of an example: the latents of its picture, as the autoencoder gives them, and its caption."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from handfirst.training.data.example import Example, fit
from handfirst.training.data.store import key_of
from handfirst.training.loop.machine import computes_in
from handfirst.training.loop.samples import Sample
from handfirst.training.models.encoders import Encoders
from handfirst.training.systems.gesture_text.samples import GestureSamples

VERSION = b"gesture 1"


@dataclass(frozen=True, eq=False)
class GestureKeeper:
    """See Keeper."""

    samples: GestureSamples
    encoders: Encoders

    @property
    def identity(self) -> bytes:
        said = {"size": self.samples.settings.size, "precision": computes_in(self.samples.options.precision)}
        weights = sorted(self.encoders.autoencoder.state_dict().items())
        digests = (key_of(tensor.detach().cpu().float().numpy().tobytes()) for _, tensor in weights)
        return key_of(VERSION, json.dumps(said).encode(), *digests)

    def prepare(self, example: Example, place: int = 0) -> Sample:
        self.samples.check(example)
        return {"rgb": fit(example, self.samples.settings.size).rgb, "caption": np.array(example.caption)}

    def finish(self, prepared: Sequence[Sample], device: torch.device) -> list[bytes]:
        rgb = torch.stack([torch.from_numpy(sample["rgb"]) for sample in prepared])
        raw = self.encoders.raw(rgb.to(device)).float().cpu().numpy()
        return [_bytes(x_0, str(sample["caption"])) for x_0, sample in zip(raw, prepared, strict=True)]

    def drawer(self) -> GestureDrawer:
        return GestureDrawer(self.samples)


@dataclass(frozen=True)
class GestureDrawer:
    """Samples as GestureSamples makes them, with raw latents "raw_x_0" float32 [C, h, w] for rgb."""

    samples: GestureSamples

    def draw(self, kept: bytes, rng: np.random.Generator) -> Sample:
        with np.load(io.BytesIO(kept), allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        return {"raw_x_0": found["x_0"], **self.samples.told(str(found["caption"]), *self.samples.drawn(rng), rng)}


def _bytes(x_0: np.ndarray, caption: str) -> bytes:
    out = io.BytesIO()
    np.savez(out, x_0=x_0, caption=np.array(caption))
    return out.getvalue()
