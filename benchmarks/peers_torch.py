"""Contenders of peers.py in torch: diffusers' StableDiffusionControlNetPipeline, as its users run it on a CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionControlNetPipeline
from peers_model import GUIDANCE, Inputs, Model, network
from peers_own import Latents, Mark


class Diffusers:
    """The pipeline from given contexts and noise to latents.

    Args:
        dtype: bfloat16 comes with channels last, in which its convolutions are faster.
        compiled: torch.compile over both networks.
        interval: DeepCache asks the whole UNet in every `interval`th step; 1 leaves it out.
    """

    def __init__(
        self, model: Model, threads: int, dtype: torch.dtype = torch.float32, compiled: bool = False, interval: int = 1
    ) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
        from support.ddim import ddim

        torch.set_num_threads(threads)
        half = dtype == torch.bfloat16
        layout = torch.channels_last if half else torch.contiguous_format
        unet, controlnet = (
            network(model.folder, name).to(dtype).to(memory_format=layout) for name in ("base", "controlnet")
        )
        if compiled:
            unet, controlnet = (torch.compile(each, dynamic=False) for each in (unet, controlnet))
        self._dtype = dtype
        self._pipeline = StableDiffusionControlNetPipeline(
            vae=None, text_encoder=None, tokenizer=None, unet=unet, controlnet=controlnet,
            scheduler=ddim(model.settings.schedule), safety_checker=None, feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip
        self._pipeline.set_progress_bar_config(disable=True)
        self._cache = _deep_cache(self._pipeline, interval) if interval > 1 else None

    def run(self, inputs: Inputs, mark: Mark) -> Latents:
        """The finished latents."""

        def ended(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            mark()
            return tensors

        if self._cache is not None:
            self._cache.enable()
        try:
            with torch.no_grad():
                found = self._pipeline(
                    prompt_embeds=self._tensor(inputs.contexts(True)),
                    negative_prompt_embeds=self._tensor(inputs.contexts(False)),
                    image=self._tensor(inputs.hint),
                    height=inputs.job.size,
                    width=inputs.job.size,
                    latents=self._tensor(inputs.x_T),
                    num_inference_steps=inputs.job.steps,
                    guidance_scale=GUIDANCE,
                    output_type="latent",
                    callback_on_step_end=ended,
                )
        finally:
            if self._cache is not None:
                self._cache.disable()
        latents: Latents = found.images.float().numpy()
        return latents

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self._dtype)


def _deep_cache(pipeline: Any, interval: int) -> Any:
    from DeepCache import DeepCacheSDHelper

    helper = DeepCacheSDHelper(pipe=pipeline)
    helper.set_params(cache_interval=interval, cache_branch_id=0)
    return helper
