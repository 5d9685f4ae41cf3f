"""Phase 5: the decoder once more, while the latents, on which the UNets were trained, stay as they are.

It learns in turn from true latents and from painted ones, of hands and of people. L1 alone leaves blurred what a latent
does not tell for certain, such as the eyes of a small face; a critic of patches asks for something that could be
there. It judges people only: on crops of hands, whose latents tell enough, it was measured to cost more than it brings.
Losses as in latent diffusion's autoencoder (arXiv 2112.10752, section 3.1), with the critic's own features in place of
a pretrained perceptual network, which cannot be had here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handfirst.training.data.arrays import Pictures
from handfirst.training.loop.feed import Draws, StepFeed
from handfirst.training.loop.machine import pick_device
from handfirst.training.loop.options import LoopOptions
from handfirst.training.loop.task import Task
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.discriminator import PatchDiscriminator
from handfirst.training.recipe.autoencoder import CropBatch, decode_noisy, pixel_losses
from handfirst.training.recipe.crops import CROP, CropSource
from handfirst.training.recipe.painting import Painted

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


@dataclass(frozen=True, eq=False)
class DecoderBatch:
    """Crops, and where they were painted again their latents [B, C, h, w]; whether the critic judges them."""

    crops: CropBatch
    painted: Tensor | None
    judged: bool


class DecoderTask(Task):
    """The decoder against the critic; the encoder is frozen."""

    model: DecoderAndCritic

    def __init__(self, model: DecoderAndCritic) -> None:
        super().__init__("decoder", model)
        model.autoencoder.model.encoder.requires_grad_(False)

    def forward(self, batch: DecoderBatch) -> dict[str, Tensor]:
        """Of the pixels; and where the critic judges, "adversarial", "features" and "critic"."""
        crops, autoencoder = batch.crops, self.model.autoencoder
        if batch.painted is not None:
            return self._painted(autoencoder.decode(batch.painted).float(), batch)
        with torch.no_grad():
            latent = autoencoder.encode(crops.image)
        decoded = decode_noisy(autoencoder, latent, crops.draws)
        pixels = pixel_losses(decoded, crops.image, crops.detail)
        return {**pixels, **adversarial_losses(self.model.critic, decoded, crops.image)} if batch.judged else pixels

    def _painted(self, decoded: Tensor, batch: DecoderBatch) -> dict[str, Tensor]:
        image, detail = batch.crops.image, batch.crops.detail
        if not batch.judged:
            return pixel_losses(decoded, image, detail)
        pixels = {name: PIXELS * value for name, value in pixel_losses(decoded, image, 0 * detail).items()}
        terms = adversarial_losses(self.model.critic, decoded, image)
        gains = {"adversarial": ADVERSARIAL_GAIN, "features": FEATURES_GAIN, "critic": 1.0}
        return {**pixels, **{name: gains[name] * value for name, value in terms.items()}}


def decoder_feed(sources: tuple[Source, ...], options: LoopOptions) -> StepFeed:
    """Each source in turn, with true latents and with painted ones."""
    device = pick_device()
    crops = [CropSource.of(source.pictures, device) for source in sources]
    painted = [source.painted.to(device) for source in sources]

    def make(step: int) -> DecoderBatch:
        draws, k = Draws(device, options.seed, 1, step), step % len(sources)
        if step // len(sources) % 2:
            batch, latent = _painted_crops(crops[k], painted[k], options.batch, draws)
            return DecoderBatch(batch, latent, sources[k].judged)
        return DecoderBatch(CropBatch(*crops[k].draw(options.batch, draws), draws), None, sources[k].judged)

    return StepFeed(make)


def _painted_crops(crops: CropSource, painted: Painted, count: int, draws: Draws) -> tuple[CropBatch, Tensor]:
    """Crops of painted pictures, and the parts of the painted latents that belong to them, [B, C, h, w]."""
    factor = crops.size // painted.latents.shape[-1]
    row = draws.integers(len(painted.pictures), count)
    windows = crops.windows(painted.pictures[row], draws, grid=factor)
    span = torch.arange(CROP // factor, device=row.device)
    y, x = (windows.y[:, None] // factor + span)[:, :, None], (windows.x[:, None] // factor + span)[:, None, :]
    latent = painted.latents[row[:, None, None], :, y, x].permute(0, 3, 1, 2)
    return CropBatch(*crops.cut(windows), draws), latent


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
