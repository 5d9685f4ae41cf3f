"""From what was denoised to pictures: the channels of the picture and of its annotation, apart.

In mode "latent" one autoencoder decodes both, each by itself. Knows nothing about how they were denoised.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Engine
from handfirst.engines.errors import EngineError
from handfirst.runtime.diffusion.codec import Codec, to_uint8
from handfirst.runtime.systems.annotated.annotation import Picture
from handfirst.runtime.systems.annotated.settings import AnnotatedSettings

Channels = NDArray[np.float32]


class Decoding:
    """Decodes for one model; holds its decoder, if it has one."""

    def __init__(self, settings: AnnotatedSettings, engines: Mapping[str, Engine]) -> None:
        self._settings = settings
        self._codec = None if settings.latent is None else Codec(None, engines["vae_decoder"], settings.latent)

    def pictures(self, x_0: Channels) -> tuple[Picture, Picture | None]:
        """x_0 float32 [B, C, h, w] -> pictures uint8 [B, S, S, 3], and their annotations, where the model draws any.

        Raises:
            EngineError: NaN or infinity, the sign of half precision overflowing.
        """
        if not np.isfinite(x_0).all():
            raise EngineError(
                "denoiser: expected finite numbers, got NaN or infinity; export it in float32 or bfloat16"
            )
        if self._settings.annotation == "none":
            return self._decoded(x_0), None
        image, annotation = np.split(self._decoded(np.concatenate(np.split(x_0, 2, 1))), 2)
        return image, annotation

    def sketch(self, x_0: Channels) -> Picture:
        """The picture alone, uint8 [B, S, S, 3], without the decoder where the settings say how."""
        count = self._settings.channels // (1 if self._settings.annotation == "none" else 2)
        return to_uint8(x_0[:, :count]) if self._codec is None else self._codec.sketch(x_0[:, :count])

    def _decoded(self, channels: Channels) -> Picture:
        return to_uint8(channels) if self._codec is None else self._codec.decode(channels)
