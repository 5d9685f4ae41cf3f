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

import torch

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training import (
    autoencoder_training,
    body_training,
    decoder_training,
    hand_training,
    painting,
    prompts,
    text_training,
)
from handfirst.training.assembly import assemble, channels_last, new_body, new_hand, trained_autoencoder, typed
from handfirst.training.autoencoder_gate import codec_of, fidelity, shortfalls
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.fit import fit, pick_device
from handfirst.training.models.autoencoder import Autoencoder, build_autoencoder, latent_statistics
from handfirst.training.models.discriminator import PatchDiscriminator
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.recipe_run import Recipe, body_data, hand_data, held_out, pictures
from handfirst.training.run_folder import add_note, ema_weights, load_tensor, save_tensor
from handfirst.training.sampling import denormalise, normalise

HELD_OUT = 70_000_000
"""First seed of the pictures that nothing is trained on."""


def run_recipe(recipe: Recipe) -> Path:
    """Runs what is not done yet and returns the model's folder."""
    render(recipe)
    settings = train_autoencoder(recipe)
    train_text(recipe, settings)
    prepare(recipe, settings)
    _side_by_side([train_hand, train_body], recipe)
    train_decoder(recipe)
    return assemble(recipe.config, recipe.out, settings)


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
    hands, people = pictures(recipe)
    model = channels_last(build_autoencoder(recipe.config.autoencoder))
    options = recipe.options("autoencoder")
    phase = autoencoder_training.autoencoder_phase(model, (hands, people), options, recipe.seed)
    trained = typed(fit(phase, options, recipe.out / "autoencoder", recipe.max_steps, recipe.show), Autoencoder)
    _pass_gate(recipe, trained)
    raw = [autoencoder_training.encode_pictures(trained, source) for source in (hands, people)]
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
    hands, people = pictures(recipe)
    hand = recipe.config.settings.hand
    return (
        prompts.hand_prompts(
            hands.keypoints,
            hands.captions,
            hands.attributes,
            people.attributes,
            hand.size,
            hand.view_words,
            recipe.seed,
        ),
        prompts.body_prompts(people.captions, recipe.seed),
    )


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
    text = settings.text
    ids = [[text_training.encode_ids(tokenizer, text, v) for v in source] for source in (hand_prompts, body_prompts)]
    latents = [
        normalise(load_tensor(recipe.out / "arrays" / f"{n}-raw.pt").float(), settings.latent).half()
        for n in ("hand", "person")
    ]
    model = build_text_encoder(recipe.config.text_encoder, text.length, text.width, tokenizer.get_vocab_size())
    options = recipe.options("text")
    doubled = [x.repeat(len(v), 1, 1, 1) for x, v in zip(latents, ids, strict=True)]
    phase = text_training.text_phase(model, doubled, [torch.cat(v) for v in ids], options, recipe.seed)
    pair = fit(phase, options, recipe.out / "text", recipe.max_steps, recipe.show)
    trained = pair.text
    trained.save_pretrained(recipe.out / "text" / "encoder")  # type: ignore[operator,union-attr]
    for name, variants in zip(("hand", "person"), ids, strict=True):
        contexts = torch.stack([text_training.encode_contexts(trained, v) for v in variants])
        save_tensor(recipe.out / "arrays" / f"{name}-contexts.pt", contexts)
    save_tensor(done, text_training.encode_contexts(trained, text_training.encode_ids(tokenizer, text, [""]))[0])


def prepare(recipe: Recipe, settings: TwoStageSettings) -> None:
    """What the two branches index: conditions, standardised latents, canvases, skeletons."""
    arrays = recipe.out / "arrays"
    hands, people = pictures(recipe)
    for name in ("hand", "person"):
        if not (file := arrays / f"{name}-latents.pt").exists():
            raw = load_tensor(arrays / f"{name}-raw.pt").float()
            save_tensor(file, normalise(raw, settings.latent).half())
    if not (file := arrays / "hand-conditions.pt").exists():
        save_tensor(file, hand_training.draw_conditions(hands, settings, recipe.workers))
    body_training.draw_skeletons(people, arrays / "person-skeletons.npy", recipe.workers)
    if not (file := arrays / "person-reach.pt").exists():
        save_tensor(file, body_training.measure_reach(people, settings))
    if not (file := arrays / "person-canvases.pt").exists():
        save_tensor(
            file, body_training.encode_canvases(trained_autoencoder(recipe.config, recipe.out), people, settings)
        )


def train_hand(recipe: Recipe) -> None:
    """The hand generator."""
    torch.manual_seed(recipe.seed + 2)
    settings, options = train_autoencoder(recipe), recipe.options("hand")
    autoencoder = trained_autoencoder(recipe.config, recipe.out).to(pick_device())
    model = new_hand(recipe.config)
    phase = hand_training.hand_phase(model, hand_data(recipe), autoencoder, settings, options, recipe.seed)
    fit(phase, options, recipe.out / "hand", recipe.max_steps, recipe.show)


def train_body(recipe: Recipe) -> None:
    """The base UNet with its ControlNet."""
    torch.manual_seed(recipe.seed + 3)
    settings, options = train_autoencoder(recipe), recipe.options("body")
    autoencoder = trained_autoencoder(recipe.config, recipe.out).to(pick_device())
    model = new_body(recipe.config)
    phase = body_training.body_phase(model, body_data(recipe), autoencoder, settings, options, recipe.seed)
    fit(phase, options, recipe.out / "body", recipe.max_steps, recipe.show)


def train_decoder(recipe: Recipe) -> None:
    """The decoder once more, on the latents that the UNets now know, encoded and painted."""
    torch.manual_seed(recipe.seed + 4)
    hands, people = pictures(recipe)
    options = recipe.options("decoder")
    sources = (
        decoder_training.Source(hands, painted(recipe, "hand"), judged=False),
        decoder_training.Source(people, painted(recipe, "person"), judged=True),
    )
    model = decoder_training.DecoderAndCritic(trained_autoencoder(recipe.config, recipe.out), PatchDiscriminator())
    phase = decoder_training.decoder_phase(channels_last(model), sources, options, recipe.seed)
    trained = typed(fit(phase, options, recipe.out / "decoder", recipe.max_steps, recipe.show), type(model))
    add_note(recipe.out, "decoder", fidelity(codec_of(typed(trained.autoencoder, Autoencoder)), *held_out(recipe)))


def painted(recipe: Recipe, kind: Literal["hand", "person"]) -> painting.Painted:
    """Pictures painted again by the trained networks, as raw latents; painted once, then read from disk."""
    settings, arrays = train_autoencoder(recipe), recipe.out / "arrays"
    latents, which = arrays / f"painted-{kind}-latents.pt", arrays / f"painted-{kind}.pt"
    if not latents.exists():
        count = recipe.config.data.painted
        if kind == "hand":
            hand = new_hand(recipe.config)
            hand.load_state_dict(ema_weights(recipe.out, "hand"))
            made = painting.paint_hands(hand, hand_data(recipe), settings, count, recipe.seed, recipe.show)
        else:
            body = new_body(recipe.config)
            body.load_state_dict(ema_weights(recipe.out, "body"))
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
