"""stable-diffusion.cpp as a contender of peers.py: full size alone, as its networks are built in; ControlNet and all.

It takes whole checkpoints in the original layout, which are written beside the weights when it first takes part: the
same UNet and ControlNet in float16 (of the hint the skeleton's three channels: the fourth is zero where there are no
hands), with a text encoder and a decoder of random weights, whose time is told with it. Its noise is its own, so its
latents are not compared. Written from the interface of stable-diffusion-cpp-python 0.4; it has not run here yet.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from peers_model import GUIDANCE, Inputs, Model, network
from peers_own import Mark
from PIL import Image


class StableDiffusionCpp:
    """txt2img with its ControlNet."""

    def __init__(self, model: Model, threads: int) -> None:
        from stable_diffusion_cpp import StableDiffusion

        checkpoint, controlnet = _checkpoints(model)
        self._model = StableDiffusion(
            model_path=str(checkpoint), control_net_path=str(controlnet), n_threads=threads, verbose=False
        )

    def run(self, inputs: Inputs, mark: Mark) -> None:
        """Nothing: its pictures are of other noise."""
        job, skeleton = inputs.job, np.rint(255 * inputs.hint[0, :3].transpose(1, 2, 0)).astype(np.uint8)

        def stepped(step: int, steps: int, seconds: float) -> None:
            mark()

        self._model.generate_image(
            prompt="a person", width=job.size, height=job.size, batch_count=job.batch, sample_steps=job.steps,
            cfg_scale=GUIDANCE, sample_method="ddim_trailing", seed=0, control_image=Image.fromarray(skeleton),
            progress_callback=stepped,
        )  # fmt: skip


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "sdcpp-checkpoint.safetensors", folder / "sdcpp-controlnet.safetensors"


def _checkpoints(model: Model) -> tuple[Path, Path]:
    """The two files, written if they are not there."""
    checkpoint, guide = _files(model.folder)
    if guide.exists():
        return checkpoint, guide
    subprocess.run([sys.executable, __file__, str(model.folder)], check=True)  # torch's memory is not its own
    return checkpoint, guide


def _make(model: Model, checkpoint: Path, guide: Path) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from diffusers import AutoencoderKL
    from support.original_layout import FULL_TEXT, FULL_VAE, original_checkpoint, original_controlnet
    from transformers import CLIPTextConfig, CLIPTextModel

    vae = AutoencoderKL(
        **FULL_VAE, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2, sample_size=512,
    )  # fmt: skip
    text = CLIPTextModel(CLIPTextConfig(**FULL_TEXT, hidden_act="quick_gelu"))
    _write(original_checkpoint(network(model.folder, "base"), vae, text), checkpoint)
    controlnet = original_controlnet(network(model.folder, "controlnet"))
    first = "control_model.input_hint_block.0.weight"
    controlnet[first] = controlnet[first][:, :3].contiguous()
    _write(controlnet, guide)


def _write(weights: dict[str, Any], file: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({k: v.to(torch.float16) if v.is_floating_point() else v for k, v in weights.items()}, file)


if __name__ == "__main__":
    _make(Model(Path(sys.argv[1])), *_files(Path(sys.argv[1])))
