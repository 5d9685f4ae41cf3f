"""What single files say about their schedule and text: keys without weights, words in the header, the schedule's own
buffers, and a .yaml of the same name beside the file.

    v_pred, ztsnr, edm_*        keys that trainers add and user interfaces read (ComfyUI, reForge)
    modelspec.*, ss_*           words in a .safetensors header (Stability AI's model spec, kohya-ss)
    betas, alphas_cumprod       in every file that CompVis' code wrote
    model.yaml                  CompVis' configuration, as far as weights cannot tell it, and as AUTOMATIC1111's
                                interface looks for it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.settings import ScheduleSettings
from handfirst.runtime.diffusion.table import Schedule
from handfirst.training.pretrained.file_kinds import one_line
from handfirst.training.pretrained.schedule import NO_ZERO_SNR, FoundSchedule, as_settings
from handfirst.training.pretrained.weights import Weights

NEAR = 2e-3
"""By how much alpha_bar may differ: many files store it in half precision."""
SHORTEST, LONGEST = 10, 100_000
_PREDICTIONS = {
    "epsilon": "epsilon", "eps": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction", "x0": "sample",
    "sample": "sample",
}  # fmt: skip


@dataclass
class _Said:
    """Collected from all places: settings by our names, where the prediction is from, and notes."""

    given: dict[str, Any] = field(default_factory=dict)
    told: str | None = None
    notes: list[str] = field(default_factory=list)

    def predicts(self, word: str, place: str, file: Path) -> None:
        """Raises UserError for a word that no known trainer uses."""
        if word not in _PREDICTIONS:
            raise UserError(f"{file}: {place} says {word!r:.40}; expected {', '.join(sorted(_PREDICTIONS))}")
        if self.told and self.given["prediction"] != _PREDICTIONS[word]:
            self.notes.append(f"{place} says {word}, but {self.told} is taken: {self.given['prediction']}")
        elif not self.told:
            self.given["prediction"], self.told = _PREDICTIONS[word], place


def file_schedule(weights: Weights, words: Mapping[str, str], file: Path) -> FoundSchedule:
    """The schedule of a single file; SD1.5's where nothing is said.

    Args:
        weights: all tensors of the file.
        words: of its header.
        file: for messages, and to look for the .yaml beside it.

    Raises:
        UserError: it was trained in a way that is not supported, or the .yaml makes no sense.
    """
    said = _Said()
    if any(name.startswith("edm_") for name in weights):
        raise UserError(f"{file}: expected a checkpoint trained on 1,000 time steps, got EDM's; give another one")
    if "ztsnr" in weights:
        raise UserError(f"{file}: {NO_ZERO_SNR.format('the key ztsnr')}")
    if words.get("ss_zero_terminal_snr", "").lower() in ("true", "1"):
        raise UserError(f"{file}: {NO_ZERO_SNR.format('ss_zero_terminal_snr')}")
    if "v_pred" in weights:
        said.predicts("v_prediction", "the key v_pred", file)
    if "modelspec.prediction_type" in words:
        said.predicts(words["modelspec.prediction_type"], "modelspec.prediction_type", file)
    beside = read_sidecar(file)
    if beside.prediction is not None:
        said.predicts(beside.prediction, str(beside.file), file)
    said.given |= beside.schedule
    if "alphas_cumprod" in weights and not beside.schedule:
        _from_buffers(said, weights, file)
    return FoundSchedule(as_settings(said.given, file), said.told, tuple(said.notes))


def file_clip_skip(words: Mapping[str, str], file: Path) -> int:
    """How many of the text encoder's last layers the checkpoint was trained without (0: none)."""
    if (beside := read_sidecar(file).skipped) is not None:
        return beside
    word = words.get("ss_clip_skip", "")
    return max(0, int(word) - 1) if word.isascii() and word.isdecimal() and len(word) < 3 else 0


def _from_buffers(said: _Said, weights: Weights, file: Path) -> None:
    found = _numbers(weights, "alphas_cumprod")
    if found is None:
        said.notes.append(f"{file}: alphas_cumprod is no schedule, and is left out")
        return
    settings = ScheduleSettings()
    if len(found) == settings.train_steps and _near(found, Schedule(settings).alpha_bar):
        return
    for given in _candidates(found, _numbers(weights, "betas")):
        if _near(found, Schedule(as_settings(given, file)).alpha_bar):
            said.given |= given
            return
    if len(found) == settings.train_steps and _near(found, zero_snr(Schedule(settings).alpha_bar)):
        raise UserError(f"{file}: {NO_ZERO_SNR.format('alphas_cumprod ends with 0')}")
    said.notes.append(
        f"{file}: its alphas_cumprod is of no known schedule, and is left out: that of Stable Diffusion 1.5 is taken"
    )


def zero_snr(alpha_bar: NDArray[np.float64]) -> NDArray[np.float64]:
    """alpha_bar [T] shifted and scaled so that it ends with 0 (Lin et al., algorithm 1)."""
    root = np.sqrt(alpha_bar)
    return np.asarray(((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2, np.float64)


def _candidates(alpha_bar: NDArray[np.float64], betas: NDArray[np.float64] | None) -> list[dict[str, Any]]:
    """Schedules that might have made these numbers; none where they are too coarse to tell."""
    if betas is None or len(betas) != len(alpha_bar):
        betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]]).clip(1e-12)
    start, end = (float(f"{value:.5g}") for value in (betas[0], betas[-1]))
    steps = {"train_steps": len(alpha_bar)}
    made: list[dict[str, Any]] = [{**steps, "betas": "squaredcos_cap_v2"}]
    if 0 < start < 1 and 0 < end < 1:
        made += [{**steps, "betas": kind, "beta_start": start, "beta_end": end} for kind in ("linear", "scaled_linear")]
    return made


def _numbers(weights: Weights, name: str) -> NDArray[np.float64] | None:
    """A buffer in float64 [T]; None where it is missing or no such thing."""
    value = weights.get(name)
    if value is None or value.ndim != 1 or not SHORTEST <= len(value) <= LONGEST or not value.is_floating_point():
        return None
    numbers = np.asarray(value.double().numpy(), np.float64)
    return numbers if np.isfinite(numbers).all() and (numbers >= 0).all() and (numbers <= 1).all() else None


def _near(found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    return len(found) == len(expected) and float(np.abs(found - expected).max()) <= NEAR


LARGEST = 1 << 20
_BETAS = {"linear": "scaled_linear", "sqrt_linear": "linear", "cosine": "squaredcos_cap_v2"}
"""CompVis' names -> diffusers'."""
_SCALARS = (("timesteps", "train_steps"), ("linear_start", "beta_start"), ("linear_end", "beta_end"))


@dataclass(frozen=True)
class Sidecar:
    """What it says; None and nothing where it does not, or is not there."""

    file: Path | None = None
    prediction: str | None = None
    """CompVis' word: eps, v, x0."""
    schedule: dict[str, Any] = field(default_factory=dict)
    """By the names of our settings."""
    skipped: int | None = None
    """Layers of the text encoder, from the end."""


def read_sidecar(checkpoint: Path) -> Sidecar:
    """The .yaml of the same name, if there is one.

    Raises:
        UserError: it cannot be read, or asks for something that is not supported.
    """
    file = checkpoint.with_suffix(".yaml")
    if file == checkpoint or not file.is_file():
        return Sidecar()
    with one_line(file, "not a configuration of a checkpoint", "mend it, or move it away"):
        import yaml  # type: ignore[import-untyped, unused-ignore]

        if file.stat().st_size > LARGEST:
            raise ValueError("more than 1 MB")
        params = _inside(yaml.safe_load(file.read_text(encoding="utf-8-sig")), "model", "params")
        if not isinstance(params, dict):
            raise ValueError("it has no model.params")
        schedule = {ours: params[theirs] for theirs, ours in _SCALARS if params.get(theirs) is not None}
        if (name := params.get("beta_schedule")) is not None:
            if name not in _BETAS:
                raise ValueError(f"beta_schedule is {name!r:.40}, expected {', '.join(_BETAS)}")
            schedule["betas"] = _BETAS[name]
        if params.get("zero_snr") or params.get("rescale_betas_zero_snr"):
            raise UserError(f"{file}: zero terminal SNR is not supported yet; give another checkpoint")
        if schedule and (_BETAS["linear"] == schedule.get("betas", _BETAS["linear"])):
            schedule = {"beta_start": 1e-4, "beta_end": 2e-2, **schedule}  # CompVis' own defaults
        word = params.get("parameterization")
        return Sidecar(file, None if word is None else str(word), schedule, _skipped(params))


def _skipped(params: dict[str, Any]) -> int | None:
    """Of FrozenCLIPEmbedder: layer "hidden" with layer_idx 11 or -2 of its 13 hidden states, or "last"."""
    text = _inside(params, "cond_stage_config", "params")
    if not isinstance(text, dict) or text.get("layer", "last") not in ("hidden", "penultimate"):
        return None
    index = text.get("layer_idx", -2) if text["layer"] == "hidden" else -2
    if type(index) is not int or not -13 <= index <= 12:
        raise ValueError(f"layer_idx is {index!r:.40}")
    return 12 - index if index >= 0 else -1 - index


def _inside(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
