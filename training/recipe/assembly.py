"""The networks of a run with the weights that its phases left, and all of them in one model folder."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from transformers import CLIPTextModel

from handfirst.runtime.settings import TwoStageSettings
from handfirst.training.checkpoint import TwoStageModel, save_model
from handfirst.training.loop.checkpoints import averaged_weights
from handfirst.training.models.autoencoder import Autoencoder, build_autoencoder
from handfirst.training.models.body_outpainter import BodyOutpainter
from handfirst.training.models.hand_generator import HandGenerator
from handfirst.training.recipe.run import costs, notes
from handfirst.training.systems.two_stage.config import TrainingConfig
from handfirst.training.systems.two_stage.networks import new_body, new_hand


def assemble(config: TrainingConfig, out: Path, settings: TwoStageSettings) -> Path:
    """The averaged weights of every phase, as one model folder in diffusers' layout."""
    model = TwoStageModel(
        settings=settings,
        tokenizer=Tokenizer.from_file(str(out / "tokenizer.json")),
        text_encoder=CLIPTextModel.from_pretrained(out / "text" / "encoder"),
        autoencoder=polished_autoencoder(config, out),
        hand=trained_hand(config, out),
        body=trained_body(config, out),
        training={"phases": costs(out), **notes(out)},
    )
    save_model(model, out / "model")
    return out / "model"


def trained_hand(config: TrainingConfig, out: Path) -> HandGenerator:
    """As its phase saved it last."""
    model = new_hand(config)
    model.load_state_dict(averaged_weights(out / "hand"))
    return model.eval()


def trained_body(config: TrainingConfig, out: Path) -> BodyOutpainter:
    """As its phase saved it last."""
    model = new_body(config)
    model.load_state_dict(averaged_weights(out / "body"))
    return model.eval()


def trained_autoencoder(config: TrainingConfig, out: Path) -> Autoencoder:
    """As its own phase left it."""
    model = build_autoencoder(config.autoencoder)
    model.load_state_dict(averaged_weights(out / "autoencoder"))
    return model.eval()


def polished_autoencoder(config: TrainingConfig, out: Path) -> Autoencoder:
    """With the decoder of the last phase."""
    model = trained_autoencoder(config, out)
    name, last = "autoencoder.", averaged_weights(out / "decoder")
    decoder = {key.removeprefix(name): tensor for key, tensor in last.items() if key.startswith(name)}
    model.load_state_dict({**model.state_dict(), **decoder})
    return model
