"""A training may ask for another mask head: stage 1 begins a fresh one, stage 2 cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.finetuning import body_options, hand_options, train

from handfirst.engines.errors import UserError
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.systems.two_stage.model_folder import ModelFolder

UP: dict[str, Any] = {"settings": {"hand": {"mask_head": {"source": "up_block"}}}}


@pytest.fixture(scope="module")
def run(tiny: Path, hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("up")
    train(
        tiny, hands, hand_options(**UP, ema=0, adapter={"rank": 2}, checkpoint_activations=True, precision="bf16"), out
    )
    return out


def test_another_feature_begins_with_a_fresh_head_that_the_model_keeps(tiny: Path, run: Path) -> None:
    before, after = ModelFolder(tiny), ModelFolder(run / "model")
    assert before.settings.hand.mask_head.source == "last" and before.network("mask_head").in_channels == 16
    assert after.settings.hand.mask_head.source == "up_block"
    hand = after.network("hand").eval()  # the adapter merged
    assert hand.mask_head.in_channels == 32
    given = torch.randn(1, 48, 8, 8), torch.tensor([5]), torch.randn(1, 16, 32)
    with torch.no_grad():
        feature = hand(*given)[1]
    assert feature.shape == (1, 32, 4, 4) and hand.mask(feature).shape == (1, 1, 64, 64)
    assert all(row["mask"] > 0 for row in read_journal(run / LOSSES))


def test_training_it_further_starts_from_its_own_weights(run: Path, hands: Path, tmp_path: Path) -> None:
    train(run / "model", hands, hand_options(steps=1, lr=1e-9, warmup=0), tmp_path)
    first, second = (ModelFolder(folder / "model").network("mask_head").state_dict() for folder in (run, tmp_path))
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)


def test_the_same_seed_begins_the_same_head(tiny: Path, hands: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train(tiny, hands, hand_options(settings={"hand": {"mask_head": {"layers": 3}}}, steps=2), tmp_path / name)
    first, second = (ModelFolder(tmp_path / name / "model").network("mask_head") for name in ("a", "b"))
    assert len(first.layers) == 5  # three convolutions, two activations
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_cannot_be_is_one_line(tiny: Path, hands: Path, people: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mask_head is part of stage 1: change it in 'handfirst train two-stage hand'"):
        train(tiny, people, body_options(**UP), tmp_path / "body")
    both = {"hand": {"mask_head": {"source": "up_block", "layers": 3}}}
    with pytest.raises(UserError, match=r"settings: .*give 4 pixels per latent cell") as caught:
        train(tiny, hands, hand_options(settings=both), tmp_path / "hand")
    assert "\n" not in str(caught.value) and not any(tmp_path.iterdir())
