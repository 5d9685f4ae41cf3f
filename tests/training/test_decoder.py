"""Polishing the decoder: crops look at faces, and each side of the game moves its own weights alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from handfirst.training.autoencoder_training import CROP, crops, face_circle, pixel_losses
from handfirst.training.data.arrays import Pictures
from handfirst.training.decoder_training import ADVERSARIAL, FEATURES, adversarial_losses
from handfirst.training.models.discriminator import PatchDiscriminator


def pictures(face: bool) -> Pictures:
    """Two 192 x 192 pictures; a face of radius 12 around (150, 40), a hand in a corner."""
    keypoints = np.zeros((2, 133, 3), np.float32)
    if face:
        angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
        keypoints[:, 23:91, 0] = 150 + 12 * np.cos(angles)
        keypoints[:, 23:91, 1] = 40 + 12 * np.sin(angles)
        keypoints[:, 23:91, 2] = 1
    hands = np.zeros((2, 192, 192), np.uint8)
    hands[:, 180:, 180:] = 2
    rgb = np.random.default_rng(0).integers(0, 256, (2, 192, 192, 3)).astype(np.uint8)
    return Pictures(rgb, hands, keypoints, ("a", "b"), ({}, {}))


def test_a_face_is_a_circle_around_its_points() -> None:
    circle = face_circle(pictures(True).keypoints[0])
    assert circle is not None
    np.testing.assert_allclose(circle, (150, 40, 18), atol=0.05)
    assert face_circle(pictures(False).keypoints[0]) is None


def test_crops_are_cut_from_the_picture_and_look_at_faces_more_often_than_chance() -> None:
    source, rng = pictures(True), np.random.default_rng(1)
    image, detail = crops(source, 200, rng)
    assert image.shape == (200, 3, CROP, CROP) and detail.shape == (200, 1, CROP, CROP)
    first = np.rint((image[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(source.rgb, (CROP, CROP), (1, 2))
    assert (windows[..., 0, 0] == first[0, 0]).all(-1).any()
    whole = (detail.sum((1, 2, 3)) > 0.95 * np.pi * 18**2).float().mean()
    plain = crops(pictures(False), 200, np.random.default_rng(1))[1]
    assert whole > 0.5 > 0.2 > (plain.sum((1, 2, 3)) > 0).float().mean()


def test_details_count_three_times_as_much() -> None:
    image, decoded = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    decoded[..., 0, 0] = 1.0
    off, on = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    for name, value in {"l1": 1 / 16, "gradient": 2 / 12}.items():
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
