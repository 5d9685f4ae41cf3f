"""Phase 6: the decoder once more, while the latents, on which the UNets were trained, stay as they are.

L1 alone leaves blurred what a latent does not tell for certain, such as the eyes of a small face; a critic of patches
asks for something that could be there. It judges people only: on crops of hands, whose latents tell enough, it was
measured to cost more than it brings. Losses as in latent diffusion's autoencoder (arXiv 2112.10752, section 3.1), with
the critic's own features in place of a pretrained perceptual network, which cannot be had here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handfirst.training.autoencoder_training import crops, decode_noisy, draw_sheet, pixel_losses
from handfirst.training.config import PhaseOptions
from handfirst.training.data.arrays import Pictures
from handfirst.training.fit import Phase
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.discriminator import PatchDiscriminator

ADVERSARIAL = 0.06
FEATURES = 5.0  # spectral norms make features small


class DecoderAndCritic(nn.Module):
    """Both as one module, so that one checkpoint holds them."""

    def __init__(self, autoencoder: Autoencoder, critic: PatchDiscriminator) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.critic = critic


def decoder_phase(
    model: DecoderAndCritic, hands: Pictures, people: Pictures, options: PhaseOptions, seed: int
) -> Phase:
    """The autoencoder's pixel losses; on people also a hinge loss against the critic and a match of its features."""
    sources = (hands, people)
    model.autoencoder.model.encoder.requires_grad_(False)

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, DecoderAndCritic)
        rng = np.random.default_rng((seed, 1, step))
        source = sources[step % 2]
        image, detail = crops(source, options.batch, rng)
        with torch.no_grad():
            latent = module.autoencoder.encode(image)
        decoded = decode_noisy(module.autoencoder, latent, rng)
        pixels = pixel_losses(decoded, image, detail)
        return pixels if source is hands else {**pixels, **adversarial_losses(module.critic, decoded, image)}

    def sheet(module: nn.Module, file: Path) -> None:
        assert isinstance(module, DecoderAndCritic)
        draw_sheet(module.autoencoder, sources, file)

    return Phase("decoder", model, losses, sheet, sheet_minutes=4)


def adversarial_losses(critic: PatchDiscriminator, decoded: Tensor, image: Tensor) -> dict[str, Tensor]:
    """Both sides of the game in one step: each term moves the weights of its own side alone.

    Args:
        decoded, image: [B, 3, H, W]; gradients reach `decoded` through "adversarial" and "features" only, and the
            critic through "critic" only.
    """
    fixed = {name: value.detach() for name, value in critic.named_parameters()}
    verdict, features = torch.func.functional_call(critic, fixed, (decoded,))
    real, fake = critic(image), critic(decoded.detach())
    matched = [F.l1_loss(a.float(), b.detach().float()) for a, b in zip(features, real[1], strict=True)]
    return {
        "adversarial": -ADVERSARIAL * verdict.float().mean(),
        "features": FEATURES * torch.stack(matched).mean(),
        "critic": F.relu(1 - real[0].float()).mean() + F.relu(1 + fake[0].float()).mean(),
    }
