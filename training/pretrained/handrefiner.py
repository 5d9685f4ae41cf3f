"""A ControlNet of hands and an inpainting checkpoint -> a part refiner without a first stage (HandRefiner, 2311.17957).

For HandRefiner's own file (control_sd15_inpaint_depth_hand) and others of Stable Diffusion 1.x. The network is told
the pose picture, capsules shaded by depth as HandRefiner's renders of meshes are; one of skeletons needs pictures of
its own kind (`--pose-picture`). As there the ControlNet sees x_t at full strength, and all begins at noise; other than
there the answer without words is the empty prompt's, not that of a list of faults. One network is in memory at a time.
Knows nothing about how it looks: no such file was here.
"""

from __future__ import annotations

from pathlib import Path

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.systems.part_refiner.settings import (
    SYSTEM,
    Defaults,
    KindSettings,
    PartRefinerSettings,
    PartSettings,
)
from handfirst.training.models.folder import next_folder, save_words
from handfirst.training.pretrained.realishuman import SIZE, fitting, read_base_unet, read_text
from handfirst.training.pretrained.stable_diffusion import latent_of, read_vae
from handfirst.training.pretrained.start import read_controlnet
from handfirst.training.pretrained.tokenizer import read_tokenizer, text_settings
from handfirst.training.systems.part_refiner.model_folder import save_pose_guider, save_unet

PROMPT = "a hand, realistic"
"""Ours: HandRefiner takes the picture's own."""
DEFAULTS = Defaults(steps=50, guidance=9.0)
"""As its released script has them."""


def write_controlled(controlnet: Path, inpainting: Path, vae: Path | None, tokenizer: Path | None, out: Path) -> None:
    """Reads all pieces, one after the other, and writes the model folder.

    Args:
        controlnet: folder or file.
        inpainting: a Stable Diffusion 1.x inpainting checkpoint, folder or file.
        vae: instead of the checkpoint's.
        tokenizer: a folder, where `inpainting` is a file.

    Raises:
        UserError: a piece is damaged, of another kind, or does not fit the others. Nothing is left behind.
    """
    with next_folder(out) as folder:
        autoencoder = read_vae(vae or inpainting)
        autoencoder.save_pretrained(folder / "vae")
        latent = latent_of(autoencoder)
        encoder, words = read_text(inpainting, tokenizer)
        found = read_tokenizer(words)
        text = text_settings(words, found, encoder)
        encoder.save_pretrained(folder / "text_encoder")
        found.save(str(folder / "tokenizer.json"))
        del encoder, autoencoder
        unet = fitting(read_base_unet(inpainting), text.width, 2 * latent.channels + 1, inpainting)
        widths = list(unet.config.block_out_channels)
        save_unet(unet, folder, "inpaint_unet")
        del unet
        control = fitting(read_controlnet(controlnet), text.width, latent.channels, controlnet)
        if list(control.config.block_out_channels) != widths:
            got = list(control.config.block_out_channels)
            raise UserError(
                f"{controlnet}: expected the inpainting UNet's widths {widths}, got {got}; give one that fits"
            )
        control.save_pretrained(folder / "controlnet")
        save_pose_guider(control.controlnet_cond_embedding, folder)
        settings = PartRefinerSettings(
            schedule=ScheduleSettings(),
            drawn_by="control",
            latent=latent,
            text=text,
            part=PartSettings(size=SIZE, hand=KindSettings(prompt=PROMPT)),
            defaults=DEFAULTS,
        )
        save_words(SYSTEM, settings, {"note": "HandRefiner"}, folder)
