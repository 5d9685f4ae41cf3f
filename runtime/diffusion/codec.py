"""Pixels to latents and back: uint8 pictures <-> [-1, 1] <-> raw latents <-> standardised latents.

The only file that knows a latent's mean and std; nothing after it sees a raw latent. Knows nothing about hands.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.engine import Engine
from handfirst.engines.errors import EngineError
from handfirst.runtime.diffusion.settings import LatentSettings
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.running import run_rows

MOST_PICTURES = 4
"""At once: the decoder's full-size maps are the largest of the whole pipeline, and small batches fill a machine."""


class Codec:
    """The autoencoder of a model. Encoding is deterministic: the latent's mode, never a sample.

    Args:
        encoder: None for models that only decode.
        sketcher: a small decoder with the same inputs and outputs, for `sketch`; None: the bundle has none.
    """

    def __init__(
        self, encoder: Engine | None, decoder: Engine, latent: LatentSettings, sketcher: Engine | None = None
    ) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._sketcher = sketcher
        self._mean = np.array(latent.mean, np.float32)[:, None, None]
        self._std = np.array(latent.std, np.float32)[:, None, None]
        self._preview = np.array(latent.preview, np.float32)
        self._factor = latent.factor

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """images uint8 [B, H, W, 3] -> standardised latents float32 [B, C, H / factor, W / factor].

        Raises:
            ValueError: there is no encoder.
        """
        if self._encoder is None:
            raise ValueError("this model has a decoder only")
        raw = run_rows(self._encoder, {"image": to_signed(images)}, MOST_PICTURES)["latent"]
        latents: NDArray[np.float32] = (raw - self._mean) / self._std
        return latents

    def decode(self, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """standardised latents float32 [B, C, h, w] -> images uint8 [B, h * factor, w * factor, 3].

        Raises:
            EngineError: if the picture holds NaN or infinity, the sign of half precision overflowing.
        """
        return self._decoded(self._decoder, latents)

    def _decoded(self, decoder: Engine, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        image = run_rows(decoder, {"latent": latents * self._std + self._mean}, MOST_PICTURES)["image"]
        if not np.isfinite(image).all():
            raise EngineError(
                f"{decoder.name}: expected finite pixels, got NaN or infinity; "
                "export this engine in float32 or bfloat16"
            )
        return to_uint8(image)

    def sketch(self, latents: NDArray[np.float32]) -> NDArray[np.uint8]:
        """What `decode` shows, for less: by the small decoder where there is one, else a colour per latent cell,
        enlarged bilinearly. Where the model's settings have no weights for that either, this is `decode` and costs as
        much.

        Args, returns, raises: as `decode`.
        """
        if self._sketcher is not None:
            return self._decoded(self._sketcher, latents)
        if not self._preview.size:
            return self.decode(latents)
        cells = to_uint8(np.einsum("kc,bchw->bkhw", self._preview, latents * self._std + self._mean))
        height, width = (side * self._factor for side in cells.shape[1:3])
        enlarge = Similarity(1 / self._factor, 0.0, 0.0)
        return np.rint([warp(each, enlarge, height, width) for each in cells]).astype(np.uint8)


def to_signed(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [-1, 1]."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """float32 [B, 3, H, W], clipped to [-1, 1] -> uint8 [B, H, W, 3], rounded."""
    scaled = np.rint((np.clip(images, -1, 1) + 1) * 127.5)
    return np.ascontiguousarray(scaled.transpose(0, 2, 3, 1).astype(np.uint8))
