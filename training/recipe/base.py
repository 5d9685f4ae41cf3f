"""The text-to-image model inside a run of the recipe: the body's base without its ControlNet, as it stands.

The phase that trains it drops the ControlNet's residuals now and then, so that the UNet also stands alone; it never
saw noise without a canvas blended in, which what learns on top of it has to make up for.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from transformers import CLIPTextModel

from handfirst.engines.errors import UserError
from handfirst.runtime.systems.gesture_text.settings import Defaults
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.models.folder import reading
from handfirst.training.recipe.run import trained_autoencoder, trained_body
from handfirst.training.systems.gesture_text.config import Base
from handfirst.training.systems.two_stage.config import TrainingConfig


def run_base(config: TrainingConfig, run: Path) -> Base:
    """Of a run, also while it trains: the averaged weights that it saved last.

    Args:
        config: the run's own.

    Raises:
        UserError: the run has not come to its body yet, or is of another configuration.
    """
    if not (run / "settings.json").is_file() or not (run / "body" / "checkpoints").is_dir():
        raise UserError(f"{run}: expected a run of 'handfirst train demo' that has saved its body, found none")
    with reading(run):
        settings = TwoStageSettings.model_validate_json((run / "settings.json").read_text(), strict=True)
        given = settings.defaults
        return Base(
            unet=trained_body(config, run).unet,
            autoencoder=trained_autoencoder(config, run),
            text_encoder=CLIPTextModel.from_pretrained(run / "text" / "encoder", local_files_only=True).eval(),
            tokenizer=Tokenizer.from_file(str(run / "tokenizer.json")),
            schedule=settings.schedule,
            latent=settings.latent,
            text=settings.text,
            size=settings.body.height,
            defaults=Defaults(steps=given.steps, guidance=given.guidance, eta=given.eta),
        )
