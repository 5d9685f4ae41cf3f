"""A gesture in a prompt's embedding: worked by hand, equal in NumPy and torch, and the published random map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.engines.errors import UserError
from handfirst.runtime.diffusion.gesture import (
    FrozenRandom,
    Gesture,
    LowRank,
    double_fused,
    gesture_prompt,
    read_gesture,
    write_gesture,
)
from handfirst.runtime.diffusion.noise import Uniforms
from handfirst.runtime.diffusion.settings import GestureSettings
from handfirst.runtime.systems.gesture_text.settings import (
    AdapterSettings,
    GestureTextSettings,
)
from handfirst.training.gestures.fusion import FrozenFusion, LowRankFusion
from handfirst.training.systems.gesture_text.fed import UNIT, FedUNet, Layout
from handfirst.training.systems.gesture_text.networks import GestureModel

L, D, R = 3, 4, 2
N = L * D


def floats(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_low_rank_fusion_by_hand() -> None:
    """F = E + U V [vec(E); g], number by number; NumPy's and torch's are the same."""
    E, g, V, U = floats(0, L, D), floats(1, 63), floats(2, R, N + 63), floats(3, N, R)
    inner = [sum(V[k, j] * x for j, x in enumerate([*E.ravel(), *g])) for k in range(R)]
    expected = np.array([E.ravel()[i] + sum(U[i, k] * inner[k] for k in range(R)) for i in range(N)]).reshape(L, D)
    fused = Gesture(g, LowRank(V, U), np.zeros(0, np.float32)).fused(E)
    np.testing.assert_allclose(fused, expected, rtol=1e-4, atol=1e-4)
    fusion = LowRankFusion(N, R)
    fusion.load_state_dict({"V": torch.from_numpy(V), "U": torch.from_numpy(U)})
    both = torch.from_numpy(np.stack([E, 2 * E]))
    found = fusion(both, torch.from_numpy(g)).detach().numpy()
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(double_fused(E, fused, 0.7), 0.7 * E + 0.3 * expected, rtol=1e-4, atol=1e-4)


def test_a_fresh_fusion_changes_nothing_and_learns() -> None:
    fusion, E = LowRankFusion(N, R), torch.randn(2, L, D)
    assert torch.equal(fusion(E, torch.randn(63)), E)
    fusion(E, torch.randn(63)).square().sum().backward()
    assert fusion.U.grad is not None and fusion.U.grad.abs().max() > 0


@pytest.mark.parametrize("seed", [0, 7, 2**33 + 5])
def test_the_random_map_is_torchs_fresh_linear_layer(seed: int) -> None:
    torch.manual_seed(seed & 0xFFFFFFFF)
    linear, E, g = torch.nn.Linear(N + 63, N), floats(0, L, D), floats(1, 63)
    with torch.no_grad():
        expected = linear(torch.from_numpy(np.concatenate([E.ravel(), g]))).numpy()
    np.testing.assert_allclose(FrozenRandom(seed)(E.ravel(), g), expected, rtol=1e-4, atol=1e-6)
    found = FrozenFusion(seed)(torch.from_numpy(E[None]), torch.from_numpy(g))
    np.testing.assert_allclose(found.numpy().ravel(), expected, rtol=1e-4, atol=1e-6)


def test_the_random_map_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    E, g = floats(0, N), floats(1, 63)
    whole = FrozenRandom(3)(E, g)
    monkeypatch.setattr("handfirst.runtime.diffusion.gesture.TOGETHER", 5 * (N + 63) + 1)
    np.testing.assert_allclose(FrozenRandom(3)(E, g), whole, rtol=1e-5, atol=1e-6)


def test_uniform_numbers_are_torchs() -> None:
    torch.manual_seed(11)
    expected = [torch.empty(50).uniform_(-2, 3), torch.empty(7).uniform_(0, 1)]
    stream = Uniforms(11)
    np.testing.assert_allclose(stream.draw(50, -2, 3), expected[0].numpy(), atol=1e-6)
    np.testing.assert_allclose(stream.draw(7, 0, 1), expected[1].numpy(), atol=1e-6)


def test_rows_without_a_gesture_are_told_the_words_alone() -> None:
    fusion, E, g = LowRankFusion(N, R), torch.randn(2, L, D), torch.randn(63)
    torch.nn.init.normal_(fusion.U)
    model = GestureModel(torch.nn.Identity(), fusion, g)
    told = model.told(E, torch.tensor([True, False]), 0.7)
    torch.testing.assert_close(told[0], 0.7 * E[0] + 0.3 * fusion(E, g)[0])
    assert torch.equal(told[1], E[1]) and model.told(E, torch.tensor([True, True]), 1.0) is E


@given(st.text(alphabet="ab ,.", max_size=20), st.text(alphabet="ab", min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_a_prompt_ends_in_the_words_once(prompt: str, words: str) -> None:
    made = gesture_prompt(prompt, words)
    assert made.endswith(words) and gesture_prompt(made, words) == made


def test_prompts_by_hand() -> None:
    assert gesture_prompt("A man.", "making the ok hand gesture") == "A man, making the ok hand gesture"
    assert gesture_prompt(" a man making a Fist ", "making a fist") == "a man making a Fist"
    assert gesture_prompt("", "fist") == "fist"


class Two(torch.nn.Module):
    """Two layers that adapters change and one that they do not."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.other = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3), torch.nn.Linear(3, 3)

    def forward(self, sample, timestep, encoder_hidden_states, return_dict):
        return (self.other(self.to_k(self.to_q(encoder_hidden_states))),)


def test_fed_factors_are_added_to_their_layers_row_by_row() -> None:
    network = Two()
    layout = Layout.of(network, R, ("to_q", "to_k"))
    assert layout.values == R * (4 + 6) + R * (6 + 3)
    factors = [
        {"to_q": (torch.randn(R, 4), torch.randn(6, R)), "to_k": (torch.randn(R, 6), torch.randn(3, R))}
        for _ in range(2)
    ]
    rows = torch.stack([layout.joined(each) for each in factors])
    x, fed = torch.randn(2, 5, 4), FedUNet(network, layout)  # type: ignore[arg-type]
    found = fed(x, torch.zeros(2), x, rows)
    for row, each in enumerate(factors):
        (A, B), (C, E) = each["to_q"], each["to_k"]
        h = x[row] @ (network.to_q.weight + B @ A).T + network.to_q.bias
        h = h @ (network.to_k.weight + E @ C).T + network.to_k.bias
        torch.testing.assert_close(found[row], network.other(h), rtol=1e-4, atol=1e-4)
    assert not any(module._forward_hooks for module in network.modules()) and 1 / UNIT == 16


def test_layers_that_cannot_be_fed_are_refused() -> None:
    with pytest.raises(UserError, match="no layer whose name ends in nothing"):
        Layout.of(Two(), 1, ("nothing",))
    with pytest.raises(UserError, match="expected linear layers, got 0, a Conv2d"):
        Layout.of(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1)), 1, ("0",))
    layout = Layout.of(Two(), R, ("to_q",))
    with pytest.raises(UserError, match="adapter: to_q: expected factors"):
        layout.joined({"to_q": (torch.zeros(R, 5), torch.zeros(6, R))})


def test_what_a_bundle_holds_of_a_gesture_comes_back() -> None:
    said = GestureTextSettings(
        text={"length": 4, "width": 3}, adapter=AdapterSettings(rank=1, values=5),
        gestures=(GestureSettings(name="ok", words="ok", rank=R), GestureSettings(name="fist", words="fist",
                                                                                  fusion="frozen-random", seed=3)),
    )  # fmt: skip
    low, random = said.gestures
    values = floats(0, said.values(low))
    read = read_gesture(write_gesture(values, half=False), low, said.text, "here", 5)
    assert isinstance(read.fuse, LowRank)
    flat = [read.feature, read.fuse.V.ravel(), read.fuse.U.ravel(), read.more]
    np.testing.assert_array_equal(np.concatenate(flat), values)
    assert said.values(random) == 63 + 5
    again = read_gesture(write_gesture(floats(1, 68), half=True), random, said.text, "here", 5)
    assert again.fuse == FrozenRandom(3) and len(again.more) == 5
