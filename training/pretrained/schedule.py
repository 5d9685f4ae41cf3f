"""The noise schedule that a checkpoint was trained with, as far as its files say it.

Folders say it in scheduler/scheduler_config.json, which means here what it means to diffusers: keys that it lacks have
the defaults of diffusers' classes. Of single files see file_schedule.py. Knows nothing about networks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.training.pretrained.folder import read_json

NO_ZERO_SNR = "the checkpoint was trained with zero terminal SNR ({}), which is not supported yet; give one without it"
_NAMES = {
    "num_train_timesteps": "train_steps",
    "beta_schedule": "betas",
    "beta_start": "beta_start",
    "beta_end": "beta_end",
    "prediction_type": "prediction",
    "timestep_spacing": "spacing",
    "steps_offset": "steps_offset",
    "set_alpha_to_one": "set_alpha_to_one",
}
_SILENT = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
"""What diffusers' classes take where a configuration does not say it."""
_FOREIGN = ("FlowMatch", "EDM", "LCM", "TCD", "Consistency", "Karras", "ScoreSde", "VQ")
"""Schedulers of networks that are trained in other ways; all others sample what DDIM samples."""


@dataclass(frozen=True)
class FoundSchedule:
    """The settings; where its prediction is written, or None; and what the user should know, a line each."""

    settings: ScheduleSettings
    told: str | None = None
    notes: tuple[str, ...] = ()

    def predicting(self, prediction: str | None) -> FoundSchedule:
        """With what the user says that the UNet predicts; None: as it is. A file that says otherwise gives a note."""
        if prediction is None:
            return self
        notes = self.notes
        if self.told and prediction != self.settings.prediction:
            notes += (f"{self.told} says that the UNet predicts {self.settings.prediction}; {prediction} is taken",)
        settings = ScheduleSettings.model_validate({**self.settings.model_dump(), "prediction": prediction})
        return replace(self, settings=settings, told="--prediction", notes=notes)


def read_schedule(file: Path) -> FoundSchedule:
    """What scheduler_config.json says, in our settings; SD1.5's values where there is no such file.

    Raises:
        UserError: it asks for something that is not supported, or makes no sense.
    """
    if not file.is_file():
        return FoundSchedule(ScheduleSettings())
    config = read_json(file)
    if not config:
        return FoundSchedule(ScheduleSettings())
    _refuse(config, file)
    said = {theirs: value for theirs, value in config.items() if theirs in _NAMES and value is not None}
    silent = {name: value for name, value in _SILENT.items() if name not in said}
    if "set_alpha_to_one" not in said and config.get("_class_name") == "DDIMScheduler":
        said["set_alpha_to_one"] = True  # its default; that of the others is False, or they have none
    given = {_NAMES[theirs]: value for theirs, value in {**said, **silent}.items()}
    notes = tuple(f"{file} does not say {name}; diffusers' default {value} is taken" for name, value in silent.items())
    told = str(file) if "prediction" in given else None
    return FoundSchedule(as_settings(given, file), told, notes)


def as_settings(given: dict[str, Any], file: Path) -> ScheduleSettings:
    """Settings of these values.

    Raises:
        UserError: names the first that is not supported, and what is.
    """
    try:
        return ScheduleSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{file}: {first['loc'][0]}: {first['msg']}, got {first['input']!r:.60}") from error


def _refuse(config: dict[str, Any], file: Path) -> None:
    name = str(config.get("_class_name", ""))
    if name.startswith(_FOREIGN):
        raise UserError(
            f"{file}: expected the schedule of a Stable Diffusion 1.x checkpoint, got {name:.60}, of networks that are "
            "trained in another way; give another checkpoint"
        )
    if config.get("rescale_betas_zero_snr"):
        raise UserError(f"{file}: {NO_ZERO_SNR.format('rescale_betas_zero_snr')}")
    if config.get("trained_betas") is not None:
        raise UserError(f"{file}: trained_betas, a list of betas of its own, is not supported; give another checkpoint")
    if config.get("thresholding"):
        raise UserError(f"{file}: thresholding is not supported; set it to false, as for all latent models")
