"""Latents that are kept: training on them equals training without, a second run encodes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.finetuning import body_options, hand_options, train
from support.tiny_model import tiny_model

from handfirst.engines.errors import UserError
from handfirst.training.data.store import Store
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.loop.kept import hash_of
from handfirst.training.models.autoencoder import Autoencoder
from handfirst.training.systems.two_stage.kept import _bits, _floats


@pytest.mark.parametrize("region", ["precise", "expanded"])
def test_losses_are_those_of_training_without(
    tiny: Path, people: Path, tmp_path: Path, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"kept_region": region, "steps": 4, "ema": 0, "validate_every": None}
    train(tiny, people, body_options(**options, keep_latents=False), tmp_path / "without")
    train(tiny, people, body_options(**options, keep_latents=True), tmp_path / "with")
    assert not (tmp_path / "without" / "latents.sqlite").exists()
    rows = [read_journal(tmp_path / name / LOSSES) for name in ("without", "with")]
    assert len(rows[0]) == len(rows[1]) == 4
    for row, other in zip(*rows, strict=True):
        assert row["noise"] == pytest.approx(other["noise"], abs=1e-6)
        assert row["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-4)
    kept = len(Store(tmp_path / "with" / "latents.sqlite"))
    assert kept > 0
    if region == "precise":  # going on encodes nothing but what the validation at the end looks at
        encode, shown = Autoencoder.encode, []
        monkeypatch.setattr(Autoencoder, "encode", lambda self, image: shown.append(len(image)) or encode(self, image))
        train(tiny, people, body_options(**{**options, "steps": 6}, keep_latents=True), tmp_path / "with")
        again = sum(shown)
        shown.clear()
        train(tiny, people, body_options(**{**options, "steps": 6}, keep_latents=False), tmp_path / "without")
        assert sum(shown) - again == 2 * 2 * 4  # two steps of four pictures and their canvases
        assert len(Store(tmp_path / "with" / "latents.sqlite")) == kept


def test_what_changes_its_colours_is_not_kept(tiny: Path, people: Path, hands: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"keep_latents: nothing .* where colours change, latents change"):
        train(tiny, people, body_options(colours={"shift_probability": 0.5}, keep_latents=True), tmp_path / "body")
    with pytest.raises(UserError, match="keep_latents"):
        train(tiny, hands, hand_options(keep_latents=True), tmp_path / "hand")


def test_other_weights_have_another_key() -> None:
    one, two = tiny_model(seed=0).autoencoder, tiny_model(seed=0).autoencoder
    assert hash_of(one) == hash_of(two)
    with torch.no_grad():
        next(two.parameters()).view(-1)[0] += 1e-6
    assert hash_of(one) != hash_of(two)


def test_bfloat16_survives_the_disk() -> None:
    values = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert _bits(values).dtype == np.uint16
    np.testing.assert_array_equal(_floats(_bits(values)), values.float().numpy())
    whole = torch.randn(2, 3)
    np.testing.assert_array_equal(_floats(_bits(whole)), whole.numpy())
