"""The whole recipe: from nothing but this repository to a trained two-stage model. One command, resumable, time-boxed.

    render -> autoencoder (gate) -> text -> (hand | body) -> decoder -> model folder

The two branches run side by side, each with half of a CPU's threads (measured to be faster than one after the other
with all of them). What a step leaves on disk is not done again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.loop.feed import Feed
from handfirst.training.loop.loop import Loop
from handfirst.training.loop.machine import StoppedError, make_accelerator, pick_device
from handfirst.training.loop.task import Evaluation, Task
from handfirst.training.models.autoencoder import Autoencoder, build_autoencoder, latent_statistics
from handfirst.training.models.discriminator import PatchDiscriminator
from handfirst.training.models.encoders import denormalise, normalise
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.recipe import autoencoder as pixels
from handfirst.training.recipe import bodies, decoder, hands, painting, prompts, text
from handfirst.training.recipe.autoencoder import codec_of, fidelity, shortfalls
from handfirst.training.recipe.run import (
    Recipe,
    add_note,
    assemble,
    body_data,
    hand_data,
    held_out,
    load_tensor,
    pictures,
    save_tensor,
    trained_autoencoder,
    trained_body,
    trained_hand,
)
from handfirst.training.systems.two_stage.networks import channels_last, new_body, new_hand
from handfirst.training.systems.two_stage.options import BodyPhase, HandPhase, PhaseOptions
from handfirst.training.systems.two_stage.tasks import BodyTask, HandTask

HELD_OUT = 70_000_000
"""First seed of the pictures that nothing is trained on."""
Sheet = tuple[NDArray[np.uint8], ...]
"""Rows of pictures, uint8 [N, H, W, 3] or [N, H, W]."""


def run_recipe(recipe: Recipe) -> Path:
    """Runs what is not done yet and returns the model's folder."""
    render(recipe)
    settings = train_autoencoder(recipe)
    train_text(recipe, settings)
    prepare(recipe, settings)
    _side_by_side([train_hand, train_body], recipe)
    train_decoder(recipe)
    return assemble(recipe.config, recipe.out, settings)


def train(
    recipe: Recipe, task: Task, feed: Feed, options: PhaseOptions, sheet: Callable[[], Sheet] | None = None
) -> None:
    """One phase, in the folder of its name; its task is left with the averaged weights.

    Args:
        sheet: draws rows of pictures with the weights of the moment.

    Raises:
        UserError: a loss that is not finite.
        StoppedError: the phase was asked to stop.
    """
    folder = recipe.out / task.name
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = make_accelerator(options, cpu=pick_device().type == "cpu")
    evaluate = None if sheet is None else lambda _device: Evaluation(rows=sheet())
    if not Loop(task, feed, options, folder, accelerator, evaluate, recipe.show).run():
        raise StoppedError(f"stopped and saved; the same command goes on: {recipe.out}")
    task.eval()


def render(recipe: Recipe) -> None:
    """Shards of hands and people, and of those that are held out."""
    data, settings = recipe.config.data, recipe.config.settings
    for kind, count, size in (("hand", data.hands, settings.hand.size), ("person", data.people, settings.body.height)):
        for name, first_seed, number in ((kind, 0, count), (f"held-out-{kind}", HELD_OUT, data.held_out)):
            render_dataset(
                kind, recipe.out / "shards" / name, number, size, first_seed, recipe.workers, progress=recipe.show
            )


def train_autoencoder(recipe: Recipe) -> TwoStageSettings:
    """The autoencoder; then the settings with its latent statistics, kept in settings.json of the run.

    Raises:
        UserError: it misses the configuration's gate after its full minutes.
    """
    torch.manual_seed(recipe.seed)
    file = recipe.out / "settings.json"
    if file.exists():
        return TwoStageSettings.model_validate_json(file.read_text(), strict=True)
    sources = pictures(recipe)
    model = channels_last(build_autoencoder(recipe.config.autoencoder))
    task, options = pixels.AutoencoderTask(model), recipe.options("autoencoder", PhaseOptions)
    train(recipe, task, pixels.crop_feed(sources, options), options, lambda: pixels.reconstructions(model, sources))
    _pass_gate(recipe, model)
    raw = [pixels.encode_pictures(model, source) for source in sources]
    for name, latents in zip(("hand", "person"), raw, strict=True):
        save_tensor(recipe.out / "arrays" / f"{name}-raw.pt", latents)
    flat = torch.cat([x.transpose(0, 1).flatten(1) for x in raw], 1)
    mean, std = latent_statistics(flat[None, :, :, None])
    latent = recipe.config.settings.latent.model_copy(update={"mean": mean, "std": std})
    settings = recipe.config.settings.model_copy(update={"latent": latent})
    with atomic_path(file) as temporary:
        temporary.write_text(settings.model_dump_json(indent=1))
    return settings


def _pass_gate(recipe: Recipe, model: Autoencoder) -> None:
    """Notes the figures; stops a full run whose autoencoder is too weak, warns in a shortened one."""
    figures = fidelity(codec_of(model), *held_out(recipe))
    add_note(recipe.out, "autoencoder", figures)
    missed = shortfalls(figures, recipe.config.gate) if recipe.config.gate else []
    if not missed:
        return
    says = f"the autoencoder is too weak for what follows: {'; '.join(missed)} (held-out pictures)"
    if recipe.gate and recipe.full:
        raise UserError(
            f"{says}. Its state is kept: give [train.autoencoder] more minutes and run the same command again, "
            "or go on as it is with --no-gate"
        )
    print(f"warning: {says}", file=sys.stderr)


def _prompts(recipe: Recipe) -> tuple[list[list[str]], list[list[str]]]:
    of_hands, people = pictures(recipe)
    hand = recipe.config.settings.hand
    return (
        prompts.hand_prompts(
            of_hands.keypoints, of_hands.captions, of_hands.attributes, people.attributes, hand.size, hand.view_words,
            recipe.seed,
        ),
        prompts.body_prompts(people.captions, recipe.seed),
    )  # fmt: skip


def train_text(recipe: Recipe, settings: TwoStageSettings) -> None:
    """The tokenizer, the text encoder and the contexts of all prompts."""
    torch.manual_seed(recipe.seed + 1)
    done = recipe.out / "arrays" / "empty.pt"
    if done.exists():
        return
    hand_prompts, body_prompts = _prompts(recipe)
    everything = [p for variants in (*hand_prompts, *body_prompts) for p in variants]
    tokenizer = train_tokenizer(everything, recipe.config.text_encoder_training.get("vocabulary", 700))
    tokenizer.save(str(recipe.out / "tokenizer.json"))
    limits = settings.text
    ids = [[text.encode_ids(tokenizer, limits, v) for v in source] for source in (hand_prompts, body_prompts)]
    latents = [
        normalise(load_tensor(recipe.out / "arrays" / f"{n}-raw.pt").float(), settings.latent).half()
        for n in ("hand", "person")
    ]
    model = build_text_encoder(recipe.config.text_encoder, limits.length, limits.width, tokenizer.get_vocab_size())
    options = recipe.options("text", PhaseOptions)
    doubled = [x.repeat(len(v), 1, 1, 1) for x, v in zip(latents, ids, strict=True)]
    feed = text.text_feed(doubled, [torch.cat(v) for v in ids], options)
    train(recipe, text.TextTask(model, settings.latent.channels), feed, options)
    model.save_pretrained(recipe.out / "text" / "encoder")
    for name, variants in zip(("hand", "person"), ids, strict=True):
        contexts = torch.stack([text.encode_contexts(model, v) for v in variants])
        save_tensor(recipe.out / "arrays" / f"{name}-contexts.pt", contexts)
    save_tensor(done, text.encode_contexts(model, text.encode_ids(tokenizer, limits, [""]))[0])


def prepare(recipe: Recipe, settings: TwoStageSettings) -> None:
    """What the two branches index: conditions, standardised latents, canvases, skeletons."""
    arrays = recipe.out / "arrays"
    of_hands, people = pictures(recipe)
    for name in ("hand", "person"):
        if not (file := arrays / f"{name}-latents.pt").exists():
            raw = load_tensor(arrays / f"{name}-raw.pt").float()
            save_tensor(file, normalise(raw, settings.latent).half())
    if not (file := arrays / "hand-conditions.pt").exists():
        save_tensor(file, hands.draw_conditions(of_hands, settings, recipe.workers))
    bodies.draw_skeletons(people, arrays / "person-skeletons.npy", recipe.workers)
    if not (file := arrays / "person-reach.pt").exists():
        save_tensor(file, bodies.measure_reach(people, settings))
    if not (file := arrays / "person-canvases.pt").exists():
        model = trained_autoencoder(recipe.config, recipe.out)
        save_tensor(file, bodies.encode_canvases(model, people, settings))


def train_hand(recipe: Recipe) -> None:
    """The hand generator."""
    settings, codec = _begin_branch(recipe, 2)
    options, model, data = recipe.options("hand", HandPhase), new_hand(recipe.config), hand_data(recipe)
    task, feed = HandTask(model, settings, options), hands.hand_feed(data, settings, options)
    train(recipe, task, feed, options, lambda: hands.hand_sheet(model, data, codec, settings, recipe.seed))


def train_body(recipe: Recipe) -> None:
    """The base UNet with its ControlNet."""
    settings, codec = _begin_branch(recipe, 3)
    options, model, data = recipe.options("body", BodyPhase), new_body(recipe.config), body_data(recipe)
    task, feed = BodyTask(model, settings, options), bodies.body_feed(data, settings, options)
    train(recipe, task, feed, options, lambda: bodies.body_sheet(model, data, codec, settings, recipe.seed))


def _begin_branch(recipe: Recipe, number: int) -> tuple[TwoStageSettings, Autoencoder]:
    """Seeds what a branch draws, and gives it what the autoencoder's phase left."""
    torch.manual_seed(recipe.seed + number)
    return train_autoencoder(recipe), trained_autoencoder(recipe.config, recipe.out).to(pick_device())


def train_decoder(recipe: Recipe) -> None:
    """The decoder once more, on the latents that the UNets now know, encoded and painted."""
    torch.manual_seed(recipe.seed + 4)
    shown = pictures(recipe)
    options = recipe.options("decoder", PhaseOptions)
    sources = (
        decoder.Source(shown[0], painted(recipe, "hand"), judged=False),
        decoder.Source(shown[1], painted(recipe, "person"), judged=True),
    )
    codec = trained_autoencoder(recipe.config, recipe.out)
    task = decoder.DecoderTask(channels_last(decoder.DecoderAndCritic(codec, PatchDiscriminator())))
    feed = decoder.decoder_feed(sources, options)
    train(recipe, task, feed, options, lambda: pixels.reconstructions(codec, shown))
    add_note(recipe.out, "decoder", fidelity(codec_of(codec), *held_out(recipe)))


def painted(recipe: Recipe, kind: Literal["hand", "person"]) -> painting.Painted:
    """Pictures painted again by the trained networks, as raw latents; painted once, then read from disk."""
    settings, arrays = train_autoencoder(recipe), recipe.out / "arrays"
    latents, which = arrays / f"painted-{kind}-latents.pt", arrays / f"painted-{kind}.pt"
    if not latents.exists():
        count = recipe.config.data.painted
        if kind == "hand":
            hand = trained_hand(recipe.config, recipe.out)
            made = painting.paint_hands(hand, hand_data(recipe), settings, count, recipe.seed, recipe.show)
        else:
            body = trained_body(recipe.config, recipe.out)
            made = painting.paint_people(body, body_data(recipe), settings, count, recipe.seed, recipe.show)
        save_tensor(which, made.pictures)
        save_tensor(latents, made.latents.half())
    return painting.Painted(denormalise(load_tensor(latents), settings.latent), load_tensor(which))


def _side_by_side(branches: list[Callable[[Recipe], None]], recipe: Recipe) -> None:
    context = get_context("spawn")
    threads = max(1, recipe.workers // len(branches))
    processes = [context.Process(target=_limited, args=(branch, recipe, threads)) for branch in branches]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise UserError("a training branch stopped with an error (see above); the same command goes on where it was")


def _limited(branch: Callable[[Recipe], None], recipe: Recipe, threads: int) -> None:
    torch.set_num_threads(threads)
    branch(recipe)
