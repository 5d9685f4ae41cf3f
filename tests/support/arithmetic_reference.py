"""Steps 1 to 11 of the specification as one plain loop in double precision, over the arithmetic model."""

import numpy as np
from support.arithmetic_model import (
    SETTINGS,
    blocks,
    body_unet,
    controlnet,
    grown,
    hand_unet,
    ids_of,
    text_encoder,
    vae_decoder,
    vae_encoder,
    word,
)

from handfirst.runtime.diffusion.masks import mask_table
from handfirst.runtime.diffusion.noise import part_seed, randn
from handfirst.runtime.pose.crop import hand_crops
from handfirst.runtime.pose.skeleton import hint
from handfirst.runtime.systems.two_stage.canvas import Canvas
from handfirst.runtime.systems.two_stage.condition import condition


def ddim(predict, x, steps, guidance, after=None):
    """eps-prediction, eta 0; `after(s, x, alpha_bar)` may change x after step s = 1..steps."""
    alpha_bar = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 100) ** 2)
    times = list(range(0, 100 - 100 % steps, 100 // steps))[:steps][::-1]
    for s, t in enumerate((time + 1 for time in times), 1):
        previous = t - 100 // steps
        a, b = alpha_bar[t], alpha_bar[previous] if previous >= 0 else alpha_bar[0]
        without, given = predict(x, t)
        eps = without + guidance * (given - without)
        x = np.sqrt(b) * (x - np.sqrt(1 - a) * eps) / np.sqrt(a) + np.sqrt(1 - b) * eps
        x = after(s, x, b) if after else x
    return x


def context_of(*words):
    return text_encoder({"ids": np.array([ids_of(*words)])})["context"]


def normalised(raw):
    return (raw - np.array(SETTINGS.latent.mean)[:, None, None]) / np.array(SETTINGS.latent.std)[:, None, None]


def pictures(latent):
    raw = latent * np.array(SETTINGS.latent.std)[:, None, None] + np.array(SETTINGS.latent.mean)[:, None, None]
    image = np.clip(vae_decoder({"latent": raw})["image"], -1, 1)
    return np.rint((image + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)


def reference(asked, steps=6, guidance=2.0, hand_guidance=1.5):
    """(final latents [4, 8, 8], image [64, 64, 3]) of a request with the prompt "a red man" and one person."""
    (someone,) = asked.pose.people
    given, without = context_of("a", "red", "man"), context_of()
    canvas = Canvas.empty(SETTINGS.body)
    for crop in hand_crops(someone, SETTINGS.hand, 64, 64):
        points = {side: crop.similarity.apply(someone.hand(side)) for side in crop.sides}
        c_p = condition(points.get("left"), points.get("right"), None, 32, SETTINGS.hand.condition, 8)[None]

        def hands(x, t, c_p=c_p):
            sample = np.concatenate([x, c_p], 1)
            return [
                hand_unet({"sample": sample, "timestep": np.array([t]), "context": c})["prediction"]
                for c in (without, given)
            ]

        name = f"hand-0-{'both' if len(crop.sides) == 2 else crop.sides[0]}"
        x = ddim(hands, randn(part_seed(asked.seed, name), (1, 4, 4, 4)).astype(np.float64), steps, hand_guidance)
        seen = c_p.max(1, keepdims=True) + 0.01 * word({"context": given, "timestep": np.array([1])})
        canvas = canvas.place(pictures(x)[0], grown(seen[0, 0], 8) >= 0.25, crop.similarity)
    table = mask_table(canvas.parts, steps, asked.blend or SETTINGS.defaults.blend, SETTINGS.body, 8)
    latents, image = painted(canvas, asked.pose, asked.seed, table, steps, guidance)
    return latents, np.where(canvas.mask[..., None], canvas.image, image)


def painted(canvas, pose, seed, table, steps=6, guidance=2.0):
    """Stage 2 alone: (final latents [4, 8, 8], decoded image [64, 64, 3]); it keeps the cells of `table` [T, 8, 8]."""
    given, without = context_of("a", "red", "man"), context_of()
    x_c = normalised(vae_encoder({"image": canvas.image.transpose(2, 0, 1)[None] / 127.5 - 1})["latent"])
    eps_0 = randn(seed, (1, 4, 8, 8)).astype(np.float64)
    hint_feature = blocks(hint(pose, canvas.mask, 64, 64)[None], 8)

    def body(x, t):
        answers = []
        for c in (without, given):
            inputs = {"sample": x, "timestep": np.array([t]), "context": c}
            answers.append(body_unet({**inputs, **controlnet({**inputs, "hint_feature": hint_feature})})["prediction"])
        return answers

    def blend(s, x, a):
        known = np.sqrt(a) * x_c + np.sqrt(1 - a) * eps_0
        return np.where(table[s - 1], known, x) if s <= steps - 2 else x

    latents = ddim(body, eps_0, steps, guidance, blend)
    return latents[0], pictures(latents)[0]
