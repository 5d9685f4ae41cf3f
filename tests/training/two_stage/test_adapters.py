"""Low-rank adapters: little is trained, the rest is left alone, and merging changes nothing but the speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from support.finetuning import body_options, hand_options, train
from torch import Tensor

from handfirst.engines.errors import UserError
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.models.adapters import merge_adapter
from handfirst.training.pretrained.folder import read_folder
from handfirst.training.systems.two_stage.model_folder import ModelFolder, load_model, save_model

ADAPTER = {"rank": 2, "alpha": 4.0}


@pytest.fixture(scope="module")
def hand_run(tiny: Path, hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hand")
    train(tiny, hands, hand_options(adapter=ADAPTER, lr=1e-2, checkpoint_activations=True), out)
    return out


@pytest.fixture(scope="module")
def body_run(tiny: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("body")
    train(tiny, people, body_options(adapter=ADAPTER, lr=1e-2, ema=0), out)
    return out


def inputs(folder: Path, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    text = ModelFolder(folder).settings.text
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(2, channels, 8, 8, generator=generator)
    return sample, torch.tensor([3, 700]), torch.randn(2, text.length, text.width, generator=generator)


def unmerged(folder: Path, name: str) -> Any:
    """The UNet of a model folder with its adapter beside the weights, as peft loads it."""
    from diffusers import UNet2DConditionModel

    return PeftModel.from_pretrained(
        read_folder(UNet2DConditionModel, folder / name), folder / f"{name}_adapter"
    ).eval()


@pytest.mark.parametrize("name", ["hand_unet", "body_unet"])
def test_merged_equals_unmerged(name: str, tiny: Path, hand_run: Path, body_run: Path) -> None:
    model = (hand_run if name == "hand_unet" else body_run) / "model"
    merged = load_model(model)
    unet = merged.hand.unet if name == "hand_unet" else merged.body.unet
    assert type(unet).__name__ == "UNet2DConditionModel"
    assert not any("lora" in key for key in unet.state_dict())
    apart = unmerged(model, name)
    sample, t, context = inputs(model, apart.config.in_channels)
    with torch.no_grad():
        wanted = apart(sample, t, encoder_hidden_states=context).sample
        if name == "hand_unet":
            got = merged.hand(sample, t, context)[0]
            before = load_model(tiny).hand.eval()(sample, t, context)[0]
        else:
            got = unet(sample, t, encoder_hidden_states=context).sample
            before = load_model(tiny).body.unet(sample, t, encoder_hidden_states=context).sample
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    assert (got - before).abs().max() > 1e-3  # it learnt something that merging could have lost


def test_the_weights_beside_an_adapter_are_the_sources_own(tiny: Path, hand_run: Path, body_run: Path) -> None:
    for name, run in (("hand_unet", hand_run), ("body_unet", body_run)):
        file = f"{name}/diffusion_pytorch_model.safetensors"
        assert (run / "model" / file).read_bytes() == (tiny / file).read_bytes()
        assert (run / "model" / f"{name}_adapter" / "adapter_model.safetensors").is_file()


def test_little_is_trained(tiny: Path, hand_run: Path, body_run: Path) -> None:
    before, after = load_model(tiny), load_model(hand_run / "model")
    a, b = before.hand.state_dict(), after.hand.state_dict()
    moved = {key for key in a if not torch.equal(a[key], b[key])}
    whole = {key for key in a if key.startswith(("mask_head.", "unet.conv_in."))}
    attention = {key for key in a if ".attn" in key and key.endswith("weight") and "norm" not in key}
    assert moved == whole | attention
    checkpoint = torch.load(body_run / "checkpoints" / "step-0000006.pt", weights_only=True)
    assert all("lora_" in key for key in checkpoint["weights"])
    ranks = {min(tensor.shape) for tensor in checkpoint["weights"].values()}
    assert ranks == {2}
    controlnets = [load_model(folder).body.controlnet.state_dict() for folder in (tiny, body_run / "model")]
    assert all(torch.equal(controlnets[0][key], controlnets[1][key]) for key in controlnets[0])


def test_an_adapter_on_top_of_an_adapter(tiny: Path, people: Path, body_run: Path, tmp_path: Path) -> None:
    """The older one is merged into the weights, the newer one lies beside them."""
    train(body_run / "model", people, body_options(adapter=ADAPTER, lr=1e-9, steps=1), tmp_path)
    first, second = (ModelFolder(run / "model").network("base").state_dict() for run in (body_run, tmp_path))
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)


def test_saving_a_merged_model_leaves_no_adapter_behind(body_run: Path, tmp_path: Path) -> None:
    model = load_model(body_run / "model")
    save_model(model, tmp_path / "model")
    assert not (tmp_path / "model" / "body_unet_adapter").exists()
    again = load_model(tmp_path / "model").body.unet.state_dict()
    assert all(torch.equal(again[key], tensor) for key, tensor in model.body.unet.state_dict().items())


def test_training_with_an_adapter_resumes(tiny: Path, hands: Path, hand_run: Path, tmp_path: Path) -> None:
    options = {"adapter": ADAPTER, "lr": 1e-2, "checkpoint_activations": True}
    train(tiny, hands, hand_options(**options, steps=3), tmp_path)
    train(tiny, hands, hand_options(**options), tmp_path)
    assert (tmp_path / LOSSES).read_bytes() == (hand_run / LOSSES).read_bytes()
    assert len(read_journal(tmp_path / LOSSES)) == 6


def test_a_layer_that_is_not_there_is_named(tiny: Path, hands: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no layer whose name ends in 'to_x'"):
        train(tiny, hands, hand_options(adapter={"rank": 2, "layers": ["to_q", "to_x"]}), tmp_path)


def test_a_missing_adapter_is_not_looked_for_on_a_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_a, **_k: pytest.fail("a name was looked up"))
    monkeypatch.chdir(tmp_path)
    Path("some/adapter").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot read the adapter"):
        merge_adapter(torch.nn.Linear(2, 2), Path("some/adapter"))  # type: ignore[arg-type]
