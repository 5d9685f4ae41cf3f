"""The decoder's losses by hand; each side of the game moves its own weights alone."""

from __future__ import annotations

import torch
from torch import nn

from handfirst.training.models.discriminator import PatchDiscriminator
from handfirst.training.recipe.autoencoder import SQUARE_WEIGHT, pixel_losses
from handfirst.training.recipe.decoder import ADVERSARIAL, FEATURES, adversarial_losses


def test_details_count_three_times_as_much() -> None:
    image, decoded = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    decoded[..., 0, 0] = 1.0
    off, on = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    for name, value in {"l1": 1 / 16, "l2": SQUARE_WEIGHT / 16, "gradient": 2 / 12}.items():
        torch.testing.assert_close(pixel_losses(decoded, image, off)[name], torch.tensor(value))
        torch.testing.assert_close(pixel_losses(decoded, image, on)[name], torch.tensor(3 * value))


def test_each_side_learns_from_its_own_terms_alone() -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(8)
    decoded, image = torch.rand(2, 3, 32, 32, requires_grad=True), torch.rand(2, 3, 32, 32)
    terms = adversarial_losses(critic, decoded, image)
    (terms["adversarial"] + terms["features"]).backward(retain_graph=True)
    assert decoded.grad is not None and decoded.grad.abs().max() > 0
    assert all(p.grad is None for p in critic.parameters())
    decoded.grad = None
    terms["critic"].backward()
    assert decoded.grad is None
    assert all(p.grad is not None for p in critic.parameters())


def test_the_terms_are_the_hinge_losses_by_hand() -> None:
    torch.manual_seed(0)
    critic = PatchDiscriminator(8).eval()  # an evaluated spectral norm stays as it is
    decoded, image = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    terms = adversarial_losses(critic, decoded, image)
    fake, fake_features = critic(decoded)
    real, real_features = critic(image)
    assert fake.shape == (2, 1, 4, 4)
    torch.testing.assert_close(terms["adversarial"], -ADVERSARIAL * fake.mean())
    hinge = torch.maximum(1 - real, torch.zeros(())).mean() + torch.maximum(1 + fake, torch.zeros(())).mean()
    torch.testing.assert_close(terms["critic"], hinge)
    distance = sum((a - b).abs().mean() for a, b in zip(fake_features, real_features, strict=True)) / 3
    torch.testing.assert_close(terms["features"], FEATURES * distance)


def test_a_critic_that_learns_tells_noise_from_stripes() -> None:
    torch.manual_seed(0)
    critic: nn.Module = PatchDiscriminator(8)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-2)
    stripes = (torch.arange(32) % 2).float().expand(4, 3, 32, 32)
    for _ in range(30):
        assert isinstance(critic, PatchDiscriminator)
        loss = adversarial_losses(critic, torch.rand(4, 3, 32, 32), stripes)["critic"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(critic(stripes)[0].mean()) > 0.5 > -0.5 > float(critic(torch.rand(4, 3, 32, 32))[0].mean())
