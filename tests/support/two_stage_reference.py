"""The two-stage loop once more: torch modules, diffusers' DDIMScheduler, torch's own noise; and what must be equal.

Shares no code with the runtime's loop: heat maps are written out as a formula, the reductions are torch's, the masks
grow by scipy. Only what has its own reference tests is borrowed: the drawing of the skeleton and the placing of
pictures.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from support.ddim import ddim
from support.tiny_model import CAPTIONS

from handfirst.engines.verify import psnr
from handfirst.runtime.diffusion.noise import part_seed
from handfirst.runtime.pose.crop import hand_crops
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.pose.topology import HAND_EDGES
from handfirst.runtime.systems.two_stage.canvas import Canvas, clean_mask
from handfirst.runtime.systems.two_stage.request import HandResult, Request, Result
from handfirst.training.systems.two_stage.model_folder import TwoStageModel

STEPS = 20


def spread_masks(model: TwoStageModel, middle: float = 0.56) -> None:
    """Random weights would see no hand at all: spreads the mask's values around `middle`."""
    with torch.no_grad():
        last = model.hand.mask_head.layers[-1]
        last.weight.mul_(30)
        last.bias.fill_(middle)  # enough of the field lies above it to hang together


def make_pose(seed: int, width: int = 64, height: int = 64) -> Pose:
    """A person on a canvas, both hands apart; a bundle of random points serves as a hand."""
    rng = np.random.default_rng(seed)
    points = np.full((133, 2), np.nan)
    points[:17] = rng.uniform(8, 56, (17, 2))
    points[91:112] = rng.uniform(34, 60, (21, 2)) * [1, 0.5]
    points[112:133] = rng.uniform(4, 28, (21, 2)) * [1, 0.7] + [0, 30]
    points *= np.array([width, height]) / 64
    return Pose((Person(points, np.isfinite(points[:, 0]).astype(float)),), width, height)


@torch.no_grad()
def contexts(model: TwoStageModel, prompts: list[str]) -> torch.Tensor:
    """As transformers would: begin, tokens, end, padding."""
    rows = []
    for prompt in prompts:
        ids = [0, *model.tokenizer.encode(prompt).ids[:14], 1]
        rows.append(ids + [1] * (16 - len(ids)))
    return model.text_encoder(input_ids=torch.tensor(rows)).last_hidden_state


def heat_maps(points: np.ndarray, group: int) -> torch.Tensor:
    """exp(-|p - u|^2 / sigma^2) at pixel centres, the maximum over wrist and finger: [10, 64, 64]."""
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    u = torch.tensor(points)
    each = torch.exp(-((x - u[:, 0, None, None]) ** 2 + (y - u[:, 1, None, None]) ** 2) / (0.05 * 64) ** 2)
    maps = torch.zeros(10, 64, 64, dtype=torch.float64)
    for finger in range(5):
        maps[5 * group + finger] = torch.cat([each[:1], each[1 + 4 * finger : 5 + 4 * finger]]).max(0).values
    return maps


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))


def signed(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None].float() / 127.5 - 1


def decode(model: TwoStageModel, latents: torch.Tensor) -> np.ndarray:
    mean, std = (torch.tensor(v)[:, None, None] for v in (model.settings.latent.mean, model.settings.latent.std))
    image = model.autoencoder.decode(latents * std + mean)
    return ((image.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def reference_hands(model: TwoStageModel, request: Request) -> list[HandResult]:
    """Stage 1 for one picture."""
    pose, g, out = request.pose, request.hand_guidance, []
    person = pose.people[0]
    for group, crop in enumerate(hand_crops(person, model.settings.hand, pose.width, pose.height)):
        side = crop.sides[0]
        maps = torch.cat([heat_maps(crop.similarity.apply(person.hand(side)), group), torch.zeros(1, 64, 64)])
        small = F.interpolate(maps[None].float(), size=(16, 16), mode="bilinear", align_corners=False)
        c_p = F.pixel_unshuffle(small, 2)
        steps = ddim(model.settings.schedule, request.steps)
        x_t = noise(part_seed(request.seed, f"hand-0-{side}"), 1, 4, 8, 8)
        both = contexts(model, ["", request.prompt])
        for t in steps.timesteps:
            u, c = model.hand(torch.cat([torch.cat([x_t, c_p], 1)] * 2), t.expand(2), both)[0].chunk(2)
            feature = model.hand(torch.cat([x_t, c_p], 1), t.expand(1), both[1:])[1]
            x_t = steps.step(u + g * (c - u), t, x_t, eta=0.0).prev_sample
        mask = model.hand.mask(feature)[0, 0].clamp(0, 1).numpy() >= 0.5
        ends = person.hand(side)[list(HAND_EDGES)]
        out.append(HandResult(0, crop, decode(model, x_t)[0], clean_mask(mask), bones=ends))
    return out


def blended_latent_diffusion(mask: np.ndarray, steps: int, count: int) -> list[torch.Tensor]:
    """The kept cells after each step: `count` masks, dilated in latent cells, in equal shares, the largest first."""
    cells = (F.avg_pool2d(torch.tensor(mask)[None, None].float(), 8) > 0.5)[0, 0].numpy()
    kernels = [2 * i + 1 for i in range(1, count)]
    masks = [*(ndimage.binary_dilation(cells, np.ones((k, k))) for k in reversed(kernels)), cells]
    chosen = [masks[step // (steps // count + 1)] for step in range(steps)]
    return [torch.tensor(each)[None, None] for each in [*chosen[:-1], cells]]


@torch.no_grad()
def reference_body(
    model: TwoStageModel, request: Request, canvas: np.ndarray, mask: np.ndarray
) -> tuple[torch.Tensor, np.ndarray]:
    """Stage 2 for one picture, sequential mask expansion included: (latents, picture)."""
    latent, pose, total, g = model.settings.latent, request.pose, request.steps, request.guidance
    mean, std = (torch.tensor(v)[:, None, None] for v in (latent.mean, latent.std))
    x_c = (model.autoencoder.encode(signed(canvas)) - mean) / std
    skeleton = torch.tensor(draw_skeleton(pose, pose.width, pose.height)).permute(2, 0, 1).float() / 255
    hint = torch.cat([skeleton, 1 - torch.tensor(mask)[None].float()])[None]
    rows, columns = pose.height // 8, pose.width // 8
    steps, both = ddim(model.settings.schedule, total), contexts(model, ["", request.prompt])
    eps_0 = noise(request.seed, 1, 4, rows, columns)
    x_t, widest = eps_0, 50 / 512 * min(pose.width, pose.height)
    times = [int(t) for t in steps.timesteps]
    for s, t in enumerate(steps.timesteps, 1):
        u, c = model.body(torch.cat([x_t, x_t]), t.expand(2), both, torch.cat([hint, hint])).chunk(2)
        x_t = steps.step(u + g * (c - u), t, x_t, eta=0.0).prev_sample
        if s <= total - 2:
            radius = int(np.floor(widest * (total - s) / (total - 1) + 0.5))
            if model.settings.body.mask_schedule == "latent":
                kept = blended_latent_diffusion(mask, total, model.settings.body.mask_count)[s - 1]
            else:
                grown = ndimage.binary_dilation(mask, np.ones((3, 3)), iterations=radius) if radius else mask
                kept = F.avg_pool2d(torch.tensor(grown)[None, None].float(), 8) > 0.5
            x_t = torch.where(kept, steps.add_noise(x_c, eps_0, torch.tensor([times[s]])), x_t)
    image = decode(model, x_t)[0]
    return x_t[0], np.where(mask[..., None], canvas, image)


def make_requests(count: int, width: int = 64, height: int = 64) -> list[Request]:
    return [
        Request(
            pose=make_pose(i, width, height),
            prompt=CAPTIONS[i],
            seed=7 + i,
            steps=STEPS,
            guidance=2.0,
            hand_guidance=1.5,
        )
        for i in range(count)
    ]


def check(model: TwoStageModel, request: Request, result: Result) -> None:
    """One result of the runtime against the reference."""
    hands = reference_hands(model, request)
    assert len(hands) == len(result.hands) == 2
    for ours, theirs in zip(result.hands, hands, strict=True):
        assert (ours.mask == theirs.mask).all()
        assert psnr(theirs.image, ours.image) >= 50
        assert np.abs(theirs.image.astype(int) - ours.image).max() <= 1
    canvas = Canvas.build(hands, model.settings.on_canvas(request.pose.width, request.pose.height).body)
    assert (canvas.mask == result.mask).all()
    assert np.abs(canvas.image.astype(int) - result.canvas).max() <= 1
    latents, image = reference_body(model, request, result.canvas, result.mask)
    assert result.latents.shape == latents.shape
    assert np.abs(latents.numpy() - result.latents).max() <= 1e-3
    assert psnr(image, result.image) >= 50
