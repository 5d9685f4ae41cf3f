"""The whole recipe: from nothing but this repository to a trained two-stage model. One command, resumable, time-boxed.

    render -> autoencoder -> text -> (hand | base -> body) -> decoder -> polish -> model folder

On a CPU the two branches run side by side, each with half of the threads (measured to be faster than one after the
other with all of them); on a GPU they run in turn. What a step leaves on disk is not done again.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from handfirst.engines.errors import UserError
from handfirst.engines.files import atomic_path
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training import (
    autoencoder_training,
    body_training,
    decoder_training,
    hand_training,
    polish_training,
    prompts,
    text_training,
)
from handfirst.training.assembly import assemble, channels_last, new_body, new_hand, trained_autoencoder, typed
from handfirst.training.config import PhaseName
from handfirst.training.data.arrays import Pictures
from handfirst.training.data.procedural.writer import render_dataset
from handfirst.training.fit import fit, pick_device
from handfirst.training.models.autoencoder import Autoencoder, build_autoencoder, latent_statistics
from handfirst.training.models.discriminator import PatchDiscriminator
from handfirst.training.models.text_encoder import build_text_encoder, train_tokenizer
from handfirst.training.recipe_run import Recipe, body_data, pictures
from handfirst.training.run_folder import add_note, ema_weights, load_tensor, save_tensor
from handfirst.training.sampling import denormalise, normalise


def run_recipe(recipe: Recipe) -> Path:
    """Runs what is not done yet and returns the model's folder."""
    render(recipe)
    settings = train_autoencoder(recipe)
    train_text(recipe, settings)
    prepare(recipe, settings)
    branches: list[Callable[[Recipe], None]] = [train_hand, train_body]
    if pick_device().type == "cuda":
        for branch in branches:
            branch(recipe)
    else:
        _side_by_side(branches, recipe)
    train_decoder(recipe)
    polish_decoder(recipe)
    return assemble(recipe.config, recipe.out, settings)


def render(recipe: Recipe) -> None:
    """Shards of hands and people."""
    data, settings = recipe.config.data, recipe.config.settings
    for kind, count, size in (("hand", data.hands, settings.hand.size), ("person", data.people, settings.body.height)):
        render_dataset(kind, recipe.out / "shards" / kind, count, size, workers=recipe.workers, progress=recipe.show)


def train_autoencoder(recipe: Recipe) -> TwoStageSettings:
    """The autoencoder; then the settings with its latent statistics, kept in settings.json of the run."""
    torch.manual_seed(recipe.seed)
    file = recipe.out / "settings.json"
    if file.exists():
        return TwoStageSettings.model_validate_json(file.read_text())
    hands, people = pictures(recipe)
    model = channels_last(build_autoencoder(recipe.config.autoencoder))
    options = recipe.options("autoencoder")
    phase = autoencoder_training.autoencoder_phase(model, (hands, people), options, recipe.seed)
    trained = typed(fit(phase, options, recipe.out / "autoencoder", recipe.max_steps, recipe.show), Autoencoder)
    raw = [autoencoder_training.encode_pictures(trained, source) for source in (hands, people)]
    for name, latents in zip(("hand", "person"), raw, strict=True):
        save_tensor(recipe.out / "arrays" / f"{name}-raw.pt", latents)
    _note_psnr(recipe, "autoencoder_psnr", trained, (hands, people))
    flat = torch.cat([x.transpose(0, 1).flatten(1) for x in raw], 1)
    mean, std = latent_statistics(flat[None, :, :, None])
    latent = recipe.config.settings.latent.model_copy(update={"mean": mean, "std": std})
    settings = recipe.config.settings.model_copy(update={"latent": latent})
    with atomic_path(file) as temporary:
        temporary.write_text(settings.model_dump_json(indent=1))
    return settings


def _prompts(recipe: Recipe) -> tuple[list[list[str]], list[list[str]]]:
    hands, people = pictures(recipe)
    hand = recipe.config.settings.hand
    return (
        prompts.hand_prompts(
            hands.keypoints, hands.captions, hands.attributes, people.captions, hand.size, hand.view_words, recipe.seed
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
    if not (file := arrays / "person-canvases.pt").exists():
        save_tensor(
            file, body_training.encode_canvases(trained_autoencoder(recipe.config, recipe.out), people, settings)
        )


def train_hand(recipe: Recipe) -> None:
    """The hand generator."""
    torch.manual_seed(recipe.seed + 2)
    settings, arrays = train_autoencoder(recipe), recipe.out / "arrays"
    hands, _ = pictures(recipe)
    data = hand_training.HandData(
        latents=load_tensor(arrays / "hand-latents.pt"),
        conditions=load_tensor(arrays / "hand-conditions.pt"),
        masks=torch.from_numpy(np.array(hands.hands)),
        contexts=load_tensor(arrays / "hand-contexts.pt"),
        empty=load_tensor(arrays / "empty.pt"),
    )
    options = recipe.options("hand")
    phase = hand_training.hand_phase(
        new_hand(recipe.config),
        data,
        trained_autoencoder(recipe.config, recipe.out).to(pick_device()),
        settings,
        options,
        recipe.seed,
    )
    fit(phase, options, recipe.out / "hand", recipe.max_steps, recipe.show)


def train_body(recipe: Recipe) -> None:
    """The base UNet with its ControlNet, then the ControlNet alone."""
    torch.manual_seed(recipe.seed + 3)
    settings, data = train_autoencoder(recipe), body_data(recipe)
    autoencoder = trained_autoencoder(recipe.config, recipe.out).to(pick_device())
    model = new_body(recipe.config)
    phases: tuple[PhaseName, ...] = ("base", "body")
    for name in phases:
        options = recipe.options(name)
        phase = body_training.body_phase(
            model, data, autoencoder, settings, options, recipe.seed, freeze_base=name == "body"
        )
        model.load_state_dict(fit(phase, options, recipe.out / name, recipe.max_steps, recipe.show).state_dict())


def train_decoder(recipe: Recipe) -> None:
    """The decoder once more, on the latents that the UNets now know."""
    torch.manual_seed(recipe.seed + 4)
    hands, people = pictures(recipe)
    options = recipe.options("decoder")
    phase = decoder_training.decoder_phase(_decoder_and_critic(recipe), hands, people, options, recipe.seed)
    fit(phase, options, recipe.out / "decoder", recipe.max_steps, recipe.show)


def polish_decoder(recipe: Recipe) -> None:
    """And once more, on latents as the UNet paints them."""
    torch.manual_seed(recipe.seed + 5)
    hands, people = pictures(recipe)
    model, options = _decoder_and_critic(recipe), recipe.options("polish")
    model.load_state_dict(ema_weights(recipe.out, "decoder"))
    phase = polish_training.polish_phase(model, hands, people, painted_people(recipe), options, recipe.seed)
    trained = fit(phase, options, recipe.out / "polish", recipe.max_steps, recipe.show)
    polished = typed(typed(trained, decoder_training.DecoderAndCritic).autoencoder, Autoencoder)
    _note_psnr(recipe, "decoder_psnr", polished, (hands, people))


def painted_people(recipe: Recipe) -> polish_training.Painted:
    """People painted again by the trained networks; once, then from disk."""
    settings, arrays = train_autoencoder(recipe), recipe.out / "arrays"
    latents, people = arrays / "painted-latents.pt", arrays / "painted-people.pt"
    if not latents.exists():
        body = new_body(recipe.config)
        body.load_state_dict(ema_weights(recipe.out, "body"))
        made, picks = polish_training.paint_people(
            body.to(pick_device()), body_data(recipe), settings, recipe.config.data.painted, recipe.seed, recipe.show
        )
        save_tensor(people, picks)
        save_tensor(latents, made)
    raw = denormalise(load_tensor(latents), settings.latent)
    return polish_training.Painted(raw, load_tensor(people).numpy())


def _decoder_and_critic(recipe: Recipe) -> decoder_training.DecoderAndCritic:
    model = decoder_training.DecoderAndCritic(trained_autoencoder(recipe.config, recipe.out), PatchDiscriminator())
    return typed(channels_last(model), decoder_training.DecoderAndCritic)  # type: ignore[no-any-return]


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


def _note_psnr(recipe: Recipe, key: str, model: Autoencoder, sources: tuple[Pictures, Pictures]) -> None:
    names = ("hand", "person")
    psnr = {n: autoencoder_training.reconstruction_psnr(model, s) for n, s in zip(names, sources, strict=True)}
    add_note(recipe.out, key, {name: round(value, 2) for name, value in psnr.items()})
