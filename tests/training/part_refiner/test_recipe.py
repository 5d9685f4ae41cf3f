"""The refiner's recipe at toy size: kept rows are what samples are, a run goes on, and it writes a model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from support.finetuning import SHORT, leave_no_process_state
from support.tiny_refiner import tiny_config

from handfirst.engines.errors import UserError
from handfirst.training.data.procedural.twice import sample_pair
from handfirst.training.data.shards import open_shards
from handfirst.training.data.store import Store
from handfirst.training.loop.kept import FILE, example_key, kept_bytes, unpacked
from handfirst.training.loop.samples import Mixture, Pick, TrainingSamples
from handfirst.training.models.autoencoder import build_autoencoder
from handfirst.training.recipe.repair import RepairRecipe, shared_autoencoder, stage_minutes, train_repair
from handfirst.training.systems.part_refiner.config import NetworkConfig
from handfirst.training.systems.part_refiner.kept import KEPT, PartKeeper, kept_feed, mirrored
from handfirst.training.systems.part_refiner.model_folder import PartRefinerFolder
from handfirst.training.systems.part_refiner.options import InpaintOptions, RefineOptions
from handfirst.training.systems.part_refiner.samples import pose_picture
from handfirst.training.systems.part_refiner.training import PartRefinerMaker
from handfirst.training.systems.two_stage.config import load_config as two_stage_config

TINY = {name: value for name, value in SHORT.items() if name not in ("steps", "held_out")}


def as_toml(values: object) -> str:
    """JSON's values inside TOML's tables, a key a line; what is None is left out."""
    lines: list[str] = []

    def table(path: str, entries: dict[str, object]) -> None:
        inner = {name: value for name, value in entries.items() if isinstance(value, dict)}
        lines.extend([f"[{path}]"] if path else [])
        lines.extend(
            f"{name} = {json.dumps(value)}"
            for name, value in entries.items()
            if name not in inner and value is not None
        )
        for name, value in inner.items():
            table(f"{path}.{name}" if path else name, value)

    assert isinstance(values, dict)
    table("", values)
    return "\n".join(lines)


@pytest.fixture(scope="module")
def recipe(refiner: Path, tmp_path_factory: pytest.TempPathFactory) -> RepairRecipe:
    folder = tmp_path_factory.mktemp("repair")
    config: NetworkConfig = tiny_config()
    (folder / "tiny.toml").write_text(as_toml(config.model_dump(mode="json")))
    return RepairRecipe(
        folder / "run", refiner, str(folder / "tiny.toml"), pairs=3, held_out=2, steps=2, changes=TINY, show=False
    )


def test_a_run_writes_a_model_and_is_not_done_twice(recipe: RepairRecipe) -> None:
    leave_no_process_state()
    model = train_repair(recipe)
    assert model == recipe.out / "model"
    source = PartRefinerFolder(model)
    assert {source.training[stage]["steps"] for stage in ("refine", "inpaint")} == {2}
    assert len(Store(recipe.out / "refine" / FILE)) == 3
    fresh = PartRefinerFolder(recipe.out / "fresh")
    for name in ("main_unet", "inpaint_unet"):
        before, after = (dict(folder.network(name).named_parameters()) for folder in (fresh, source))
        assert any(not torch.equal(before[key], after[key]) for key in before)
    stamp = (model / "settings.json").stat().st_mtime_ns
    leave_no_process_state()
    assert train_repair(recipe) == model and (model / "settings.json").stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="begun with pairs = 3, got 4"):
        train_repair(replace(recipe, pairs=4))


def test_latents_are_standardised_by_what_is_learnt_from(recipe: RepairRecipe) -> None:
    """Of the true pictures, whole and on black where no capsule is: float64 statistics of the encoder's answers."""
    autoencoder, _ = shared_autoencoder(recipe.vae)
    shards = open_shards(recipe.out / "shards" / "pair", recipe.out / "index")
    examples = [shards.read(i) for i in range(3)]
    parts = [each.rgb * (pose_picture(each, "hand") >= 0.4 * 255).all(-1)[..., None] for each in examples]
    rows = np.stack([*(each.rgb for each in examples), *parts])
    image = torch.from_numpy(rows).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        raw = autoencoder.encode(image).double().numpy()
    latent = PartRefinerFolder(recipe.out / "fresh").settings.latent
    np.testing.assert_allclose(latent.mean, raw.mean((0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(latent.std, raw.std((0, 2, 3), ddof=1), rtol=1e-4)


@pytest.mark.parametrize("options", [RefineOptions(batch=4, reference_dropout=0.5), InpaintOptions(batch=4)])
def test_kept_rows_are_the_samples_and_survive_a_kill(
    options: RefineOptions | InpaintOptions, refiner: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_no_process_state()
    monkeypatch.setattr("handfirst.training.loop.kept.TOGETHER", 2)
    maker, accelerator = PartRefinerMaker(refiner, options), Accelerator(cpu=True)
    stage, shards = maker.stage(), open_shards(pairs, tmp_path)
    samples = TrainingSamples([shards], Mixture([len(shards)], [1.0], 0), maker.samples, 0)

    finish, parts = PartKeeper.finish, []

    def stops(self: PartKeeper, *some: Any) -> list[bytes]:
        parts.append(some)
        if len(parts) == 3:
            raise KeyboardInterrupt
        return finish(self, *some)

    monkeypatch.setattr(PartKeeper, "finish", stops)
    with pytest.raises(KeyboardInterrupt):
        kept_feed(stage, samples, tmp_path / "killed", accelerator)
    assert len(Store(tmp_path / "killed" / FILE)) == 4
    feeds = [kept_feed(stage, samples, tmp_path / name, accelerator) for name in ("killed", "whole")]
    one, other = (feed.make(7) for feed in feeds)
    for name, tensor in vars(one).items():
        assert tensor is None or torch.equal(tensor, vars(other)[name])
    drawn = maker.samples.draw(mirrored(shards.read(5)), np.random.default_rng((0, KEPT, 11)))
    batch = stage.encode({name: torch.from_numpy(np.asarray(value))[None] for name, value in drawn.items()})
    keeper = PartKeeper(stage, maker.samples, 0)
    key = example_key(keeper.identity, [shards], Pick(0, 5))
    row = unpacked(kept_bytes(Store(tmp_path / "killed" / FILE), key))["x_0"][1]
    assert row.dtype == np.float16 and row.std() > 0.1
    np.testing.assert_allclose(row, batch.x_0[0].numpy(), atol=2e-2, rtol=2e-3)  # 11 bits, another size of batch
    if isinstance(options, RefineOptions):
        dropped = one.referenced == 0
        assert dropped.any() and not dropped.all() and not one.picture[dropped].any() and one.picture[~dropped].any()
    else:
        assert set(one.ring.unique().tolist()) == {0.0, 1.0} and one.told.all()


def test_how_long_is_learnt_changes_nothing_that_is_kept(refiner: Path) -> None:
    def identity(options: InpaintOptions) -> bytes:
        maker = PartRefinerMaker(refiner, options)
        return PartKeeper(maker.stage(), maker.samples, 0).identity

    as_it_is = identity(InpaintOptions())
    assert identity(InpaintOptions(minutes=3, steps=None, lr=1e-3, batch=2, workers=0)) == as_it_is
    assert identity(InpaintOptions(ring=(0.5, 1.5))) != as_it_is


def test_a_mirrored_pair_is_the_pair_of_the_other_hand() -> None:
    pair = sample_pair(3, 32)
    there, back = mirrored(pair), mirrored(mirrored(pair))
    assert there.other is not None and pair.other is not None
    assert {pair.attributes["side"], there.attributes["side"]} == {"left", "right"}
    assert there.other.attributes["side"] == there.attributes["side"]
    known = pair.keypoints[pair.keypoints[:, 2] > 0, 0]
    np.testing.assert_allclose(np.sort(32 - there.keypoints[there.keypoints[:, 2] > 0, 0]), np.sort(known), atol=1e-4)
    assert np.array_equal(back.rgb, pair.rgb) and np.array_equal(back.hands, pair.hands)
    assert np.array_equal(there.other.rgb[:, ::-1], pair.other.rgb)


def test_where_the_autoencoder_comes_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a model folder"):
        shared_autoencoder(tmp_path)
    demo = two_stage_config("demo")
    weights = {name: tensor.half() for name, tensor in build_autoencoder(demo.autoencoder).state_dict().items()}
    save_file(weights, tmp_path / "autoencoder.safetensors")
    model, latent = shared_autoencoder(tmp_path)
    assert latent.channels == 12 and latent.preview == demo.settings.latent.preview
    assert all(torch.equal(tensor.half(), weights[name]) for name, tensor in model.state_dict().items())
    (tmp_path / "autoencoder.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not an autoencoder of 'handfirst train demo'"):
        shared_autoencoder(tmp_path)


def test_minutes_are_those_of_both_stages() -> None:
    assert stage_minutes() == 62 + 13.5
