"""The FID network's front: shapes, arithmetic by scipy, order and resizing by torchmetrics' own forward pass.

Published weights were not at hand: that they load is known by their names and shapes alone.
"""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from torchmetrics.image import fid as torchmetrics_fid

from handfirst.engines.errors import UserError
from handfirst.training.evaluate.inception import FEATURES, Convolution, InceptionFront, load_inception


@pytest.fixture(scope="module")
def network() -> InceptionFront:
    """Random weights and statistics, so that no layer is the identity."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        front = InceptionFront()
        for name, value in front.state_dict().items():
            if "bn.running_var" in name or name.endswith("bn.weight"):
                value.uniform_(0.5, 1.5)
            elif "bn" in name and value.is_floating_point():
                value.normal_(0, 0.1)
    return front


def test_sizes_of_the_maps(network: InceptionFront) -> None:
    sides, x = [], torch.zeros(1, 3, 299, 299)
    for layer in network.children():
        x = layer(x)
        sides.append(x.shape[-1])
    assert sides == [149, 147, 147, 73, 73, 71, 35]
    assert x.shape[1] == FEATURES


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_correlation_normalisation_and_relu(stride: int) -> None:
    rng = np.random.default_rng(0)
    layer = Convolution(2, 3, 3, stride=stride).eval().double()
    for parameter in (*layer.parameters(), layer.bn.running_mean, layer.bn.running_var):
        parameter.data.copy_(torch.from_numpy(rng.uniform(0.2, 1, parameter.shape)))
    x = rng.normal(size=(2, 7, 8))
    weight = layer.conv.weight.detach().numpy()
    expected = []
    for o in range(3):
        plain = sum(correlate(x[i], weight[o, i], mode="valid") for i in range(2))[::stride, ::stride]
        mean, var = layer.bn.running_mean[o].item(), layer.bn.running_var[o].item()
        scaled = (plain - mean) / np.sqrt(var + 1e-3) * layer.bn.weight[o].item() + layer.bn.bias[o].item()
        expected.append(np.maximum(scaled, 0))
    with torch.no_grad():
        np.testing.assert_allclose(layer(torch.from_numpy(x)[None])[0].numpy(), np.stack(expected), rtol=1e-10)


@pytest.mark.parametrize("shape", [(40, 60), (350, 310)])
def test_the_pass_is_torchmetrics_own(
    network: InceptionFront, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchmetrics' forward pass of the same network, run over these layers: resizing, scaling, order, average."""
    monkeypatch.setattr(torchmetrics_fid, "vassert", lambda *_: None)
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (1, 3, *shape)).astype(np.uint8))
    stand_in = types.SimpleNamespace(
        features_list=["192"], use_antialias=True, INPUT_IMAGE_SIZE=299, **dict(network.named_children())
    )
    with torch.no_grad():
        (expected,) = torchmetrics_fid.NoTrainInceptionV3._torch_fidelity_forward(stand_in, images)
        torch.testing.assert_close(network(images), expected)
    assert expected.std() > 1e-3


def test_a_file_of_the_whole_network_loads(network: InceptionFront, tmp_path: Path) -> None:
    """The published file holds deeper layers too, and lacks the counters of batches."""
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save({**state, "Mixed_5b.branch1x1.conv.weight": torch.zeros(64, 192, 1, 1)}, tmp_path / "w.pth")
    loaded, digest = load_inception(tmp_path / "w.pth")
    images = torch.zeros(1, 3, 20, 20, dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))
    assert len(digest) == 64 and not loaded.training and not loaded.train().training


def test_other_files_are_refused_in_one_line(network: InceptionFront, tmp_path: Path) -> None:
    state = dict(network.state_dict())
    wrong = {**state, "Conv2d_3b_1x1.conv.weight": torch.zeros(80, 64, 3, 3)}
    lacking = {k: v for k, v in state.items() if not k.startswith("Conv2d_4a")}
    for name, content in (("wrong", wrong), ("lacking", lacking), ("list", [1, 2]), ("code", network)):
        torch.save(content, tmp_path / name)
    (tmp_path / "noise").write_bytes(b"no weights at all")
    words = {
        "wrong": r"expected shape \[80, 64, 1, 1\], got \[80, 64, 3, 3\]",
        "lacking": "lacks 'Conv2d_4a",
        "list": "holds a list",
        "code": "not a file of PyTorch weights",
        "noise": "not a file of PyTorch weights",
        "absent": "cannot be read",
    }
    for name, message in words.items():
        with pytest.raises(UserError, match=message):
            load_inception(tmp_path / name)
