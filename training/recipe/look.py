"""A look at a run while it trains: held-out hands and people as its last checkpoints draw them, with a few figures.

Reads what the run has saved and nothing of the running processes; writes LOOK.png and a line of looks.jsonl. Judges
nothing by landmarks (`handfirst evaluate judge` does that on an exported model).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.masks import binarise
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.arrays import Pictures
from handfirst.training.data.procedural.writer import read_dataset
from handfirst.training.evaluate.colours import Coloured, agreement, background_region, chest_region
from handfirst.training.loop.checkpoints import Checkpoints
from handfirst.training.loop.journal import to_uint8, write_sheet
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.models.encoders import normalise
from handfirst.training.recipe import bodies, prompts
from handfirst.training.recipe import hands as hand_phase
from handfirst.training.recipe import text as text_phase
from handfirst.training.recipe.autoencoder import encode_pictures, images
from handfirst.training.recipe.pool import to_pictures
from handfirst.training.recipe.run import (
    Recipe,
    costs,
    held_out,
    load_tensor,
    trained_autoencoder,
    trained_body,
    trained_hand,
)
from handfirst.training.systems.two_stage.sampling import sample_hands
from handfirst.training.systems.two_stage.stages import overlap

SHOWN = 12
STEPS = 12
Rgb = NDArray[np.uint8]


@torch.no_grad()
def look(recipe: Recipe) -> dict[str, Any]:
    """Draws the held-out pictures with the weights saved last; the figures of this look.

    Raises:
        UserError: neither branch has saved anything yet.
    """
    out = recipe.out
    if not (out / "settings.json").exists() or not (_saved(out, "hand") or _saved(out, "body")):
        raise UserError(f"{out}: expected a run whose hands or bodies have been saved at least once, found none")
    settings = TwoStageSettings.model_validate_json((out / "settings.json").read_text(), strict=True)
    hands, people = (_unmirrored(pictures) for pictures in held_out(recipe))
    autoencoder = trained_autoencoder(recipe.config, out)
    row: dict[str, Any] = {"phases": {k: v for k, v in costs(out).items() if k in ("hand", "body")}}
    for name, draw in (("hand", look_at_hands), ("body", look_at_people)):
        if _saved(out, name):
            pictures = hands if name == "hand" else people
            figures, sheet = draw(recipe, settings, autoencoder, pictures)
            row[name] = figures
            write_sheet(out / f"look-{name}-{row['phases'][name]['step']:07d}.png", sheet)
    with (out / "looks.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    return row


def _saved(run: Path, phase: str) -> bool:
    return bool(Checkpoints(run / phase).steps())


def look_at_hands(
    recipe: Recipe, settings: TwoStageSettings, autoencoder: Autoencoder, hands: Pictures
) -> tuple[dict[str, float], list[Rgb]]:
    """Intersection over union of the masks; rows of drawn hands, their masks, true renders."""
    model = trained_hand(recipe.config, recipe.out)
    words = [
        prompts.view_words(points, facts["side"], settings.hand.size) + ", " + caption
        for points, facts, caption in zip(hands.keypoints, hands.attributes, hands.captions, strict=True)
    ]
    c_p = hand_phase.draw_conditions(hands, settings, 1)
    x_0, mask = sample_hands(
        model, hand_phase.without_mask(c_p, settings), _contexts(recipe, settings, words),
        load_tensor(recipe.out / "arrays" / "empty.pt").float(), settings, STEPS, settings.defaults.hand_guidance, 0,
    )  # fmt: skip
    drawn = to_pictures(autoencoder, x_0, settings.latent)
    found = binarise(mask[:, 0].numpy(), settings.hand.mask_threshold)
    iou = overlap(torch.from_numpy(found), torch.from_numpy(hands.hands > 0))
    shown = [drawn[:SHOWN], (found[:SHOWN] * np.uint8(255)), hands.rgb[:SHOWN]]
    return {"n": len(hands), "mask_iou": round(float(iou.mean()), 4)}, shown


def look_at_people(
    recipe: Recipe, settings: TwoStageSettings, autoencoder: Autoencoder, people: Pictures
) -> tuple[dict[str, Any], list[Rgb]]:
    """Colour agreement of what is painted, comes back from the autoencoder, and is true; rows of the same."""
    model = trained_body(recipe.config, recipe.out)
    data = bodies.BodyData(
        latents=normalise(encode_pictures(autoencoder, people).float(), settings.latent),
        canvases=bodies.encode_canvases(autoencoder, people, settings),
        skeletons=torch.from_numpy(np.stack([bodies.one_skeleton(k, people.size) for k in people.keypoints])),
        hands=torch.from_numpy(people.hands),
        reach=bodies.measure_reach(people, settings),
        contexts=_contexts(recipe, settings, list(people.captions))[None],
        empty=load_tensor(recipe.out / "arrays" / "empty.pt"),
    )
    x_0 = bodies.paint(model, data, settings, STEPS, 0)
    pictures = {
        "painted": to_pictures(autoencoder, x_0, settings.latent),
        "reconstructed": to_uint8(autoencoder.decode(autoencoder.encode(images(people, slice(None))))),
        "true": people.rgb,
    }
    truth = _coloured(recipe)
    figures = {name: {k: round(v, 3) for k, v in agreement(list(rgb), truth).items()} for name, rgb in pictures.items()}
    shown = [data.skeletons[:SHOWN].numpy(), *(rgb[:SHOWN] for rgb in pictures.values())]
    return {"n": len(people), **figures}, shown


def _contexts(recipe: Recipe, settings: TwoStageSettings, words: list[str]) -> torch.Tensor:
    """[N, L, D] float32."""
    tokenizer = Tokenizer.from_file(str(recipe.out / "tokenizer.json"))
    model = CLIPTextModel.from_pretrained(recipe.out / "text" / "encoder", local_files_only=True)
    return text_phase.encode_contexts(model, text_phase.encode_ids(tokenizer, settings.text, words)).float()


def _coloured(recipe: Recipe) -> list[Coloured]:
    samples = read_dataset(recipe.out / "shards" / "held-out-person")
    return [
        Coloured(
            background_region(s.person_mask), s.attributes["background_colour"],
            chest_region(s.keypoints, s.hands > 0), s.attributes["top"],
        )
        for s in samples
    ]  # fmt: skip


def _unmirrored(pictures: Pictures) -> Pictures:
    n = len(pictures) // 2
    return Pictures(
        pictures.rgb[:n], pictures.hands[:n], pictures.keypoints[:n], pictures.captions[:n], pictures.attributes[:n]
    )
