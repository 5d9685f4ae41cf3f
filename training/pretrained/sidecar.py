"""model.yaml beside model.ckpt: CompVis' configuration of a single file, as far as weights cannot tell it.

Knows nothing about weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.guard import one_line

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
        params = _at(yaml.safe_load(file.read_text(encoding="utf-8-sig")), "model", "params")
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
    text = _at(params, "cond_stage_config", "params")
    if not isinstance(text, dict) or text.get("layer", "last") not in ("hidden", "penultimate"):
        return None
    index = text.get("layer_idx", -2) if text["layer"] == "hidden" else -2
    if type(index) is not int or not -13 <= index <= 12:
        raise ValueError(f"layer_idx is {index!r:.40}")
    return 12 - index if index >= 0 else -1 - index


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
