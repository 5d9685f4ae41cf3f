"""Phase 5: the decoder once more, while the latents, on which the UNets were trained, stay as they are.

It learns in turn from true latents and from painted ones, of hands and of people. L1 alone leaves blurred what a latent
does not tell for certain, such as the eyes of a small face; a critic of patches asks for something that could be
there. It judges people only: on crops of hands, whose latents tell enough, it was measured to cost more than it brings.
Losses as in latent diffusion's autoencoder (arXiv 2112.10752, section 3.1), with the critic's own features in place of
a pretrained perceptual network, which cannot be had here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handfirst.training.autoencoder_training import decode_noisy, draw_sheet, pixel_losses
from handfirst.training.crops import CROP, CropSource
from handfirst.training.data.arrays import Pictures
from handfirst.training.draws import Draws
from handfirst.training.fit import Phase, pick_device
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.discriminator import PatchDiscriminator
from handfirst.training.painting import Painted
from handfirst.training.systems.two_stage.options import PhaseOptions

ADVERSARIAL = 0.06
FEATURES = 5.0  # spectral norms make features small
# On painted latents the pixels count less, faces no more than the rest, since such a latent does not tell where every
# hair was; the critic counts more, its features less.
PIXELS, ADVERSARIAL_GAIN, FEATURES_GAIN = 0.5, 1.5, 0.6


class DecoderAndCritic(nn.Module):
    """Both as one module, so that one checkpoint holds them."""

    def __init__(self, autoencoder: Autoencoder, critic: PatchDiscriminator) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.critic = critic


@dataclass(frozen=True)
class Source:
    """Pictures of one kind, their painted latents (raw), and whether the critic judges them."""

    pictures: Pictures
    painted: Painted
    judged: bool


def decoder_phase(model: DecoderAndCritic, sources: tuple[Source, ...], options: PhaseOptions, seed: int) -> Phase:
    """Each source in turn, from true latents and from painted ones."""
    model.autoencoder.model.encoder.requires_grad_(False)
    device = pick_device()
    crops = [CropSource.of(source.pictures, device) for source in sources]
    painted = [source.painted.to(device) for source in sources]

    def losses(module: nn.Module, step: int) -> dict[str, Tensor]:
        assert isinstance(module, DecoderAndCritic)
        draws, k = Draws(device, seed, 1, step), step % len(sources)
        if step // len(sources) % 2:
            return _painted_losses(module, crops[k], painted[k], sources[k].judged, options.batch, draws)
        image, detail = crops[k].draw(options.batch, draws)
        with torch.no_grad():
            latent = module.autoencoder.encode(image)
        decoded = decode_noisy(module.autoencoder, latent, draws)
        pixels = pixel_losses(decoded, image, detail)
        return {**pixels, **adversarial_losses(module.critic, decoded, image)} if sources[k].judged else pixels

    def sheet(module: nn.Module, file: Path) -> None:
        assert isinstance(module, DecoderAndCritic)
        draw_sheet(module.autoencoder, tuple(source.pictures for source in sources), file)

    return Phase("decoder", model, losses, sheet, sheet_minutes=15)


def _painted_losses(
    module: DecoderAndCritic, crops: CropSource, painted: Painted, judged: bool, count: int, draws: Draws
) -> dict[str, Tensor]:
    factor = crops.size // painted.latents.shape[-1]
    row = draws.integers(len(painted.pictures), count)
    windows = crops.windows(painted.pictures[row], draws, grid=factor)
    image, detail = crops.cut(windows)
    span = torch.arange(CROP // factor, device=row.device)
    y, x = (windows.y[:, None] // factor + span)[:, :, None], (windows.x[:, None] // factor + span)[:, None, :]
    latent = painted.latents[row[:, None, None], :, y, x].permute(0, 3, 1, 2)
    decoded = module.autoencoder.decode(latent).float()
    if not judged:
        return pixel_losses(decoded, image, detail)
    pixels = {name: PIXELS * value for name, value in pixel_losses(decoded, image, 0 * detail).items()}
    terms = adversarial_losses(module.critic, decoded, image)
    gains = {"adversarial": ADVERSARIAL_GAIN, "features": FEATURES_GAIN, "critic": 1.0}
    return {**pixels, **{name: gains[name] * value for name, value in terms.items()}}


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
