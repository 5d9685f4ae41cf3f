"""How a batch is made to fit: the bytes that are counted against those worked by hand, and the choice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from support.finetuning import hand_options, leave_no_process_state, train
from support.tiny_model import tiny_model
from torch import nn

from handfirst.engines.errors import UserError
from handfirst.training.loop import memory
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.loop.memory import LEAST, Need, choose, compute_twice, peak_bytes
from handfirst.training.loop.task import Task

CPU = torch.device("cpu")
K = 1024


def test_bytes_are_those_of_the_tensors_that_live() -> None:
    """b and c live with a, 4 kB each; c goes before d comes."""

    def run() -> None:
        a = torch.zeros(K)
        b = a + 1
        c = b.view(2, -1) * 2  # a view takes nothing
        del c
        d = torch.cat([a, b])
        assert d.nbytes == 8 * K

    assert peak_bytes(run, CPU) == 4 * K * 2 + 8 * K
    assert peak_bytes(run, CPU, [torch.zeros(K)]) == 4 * K * 3 + 8 * K


def test_a_linear_layer_keeps_its_inputs() -> None:
    """Four layers of 64 x 64 without bias and a tanh after each: every further sample keeps an output of each tanh."""
    layers = nn.Sequential(*(nn.Sequential(nn.Linear(64, 64, False), nn.Tanh()) for _ in range(4)))

    def peak(count: int) -> int:
        def run() -> None:
            layers(torch.zeros(count, 64)).sum().backward()

        layers.zero_grad()
        return peak_bytes(run, CPU, layers.parameters())

    peak(1)
    one = (peak(512) - peak(256)) / 256
    assert 4 * 256 <= one <= 4 * 256 + 4 * 64 * 3  # four outputs, and at most three further rows at the peak


def test_computing_twice_takes_less() -> None:
    unet = tiny_model().body.unet.train()
    peaks = []
    for way in (False, True):
        compute_twice(unet, way)

        def run() -> None:
            out = unet(torch.zeros(8, 4, 8, 8), torch.zeros(8, dtype=torch.long), torch.zeros(8, 16, 32))
            out.sample.sum().backward()

        unet.zero_grad()
        peaks.append(peak_bytes(run, CPU))
    assert peaks[1] < 0.9 * peaks[0]


class Layers(Task):
    """Four layers of 256 x 256 without bias and a tanh after each."""

    def __init__(self) -> None:
        layers = (nn.Sequential(nn.Linear(256, 256, False), nn.Tanh()) for _ in range(4))
        super().__init__("layers", nn.Sequential(*layers))

    def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.model(batch).sum()}


def test_a_further_sample_counts_where_gradients_are_larger() -> None:
    """A MB of weights, gradients, two moments and an average, 5 in all; a sample keeps its input and four outputs."""
    leave_no_process_state()
    weights, layer, row = 4 * 4 * 256**2, 4 * 256**2, 4 * 256
    need = memory.measured(Layers(), lambda count: torch.ones(count, 256), hand_options(), Accelerator(cpu=True))
    assert 5 * row <= need.sample <= 8 * row
    assert 5 * weights <= need.fixed <= 5 * weights + 2 * layer


KEPT, TWICE = Need(16, 5), Need(16, 1)


@pytest.mark.parametrize(
    ("available", "parts", "twice"),
    [(176, 1, False), (175, 2, False), (56, 4, False), (26, 16, False), (25, 4, True), (17, 32, True)],
)
def test_the_choice_by_hand(available: int, parts: int, twice: bool) -> None:
    """32 samples of 5 bytes each, or of 1 byte where activations are computed twice, beside 16 bytes of weights."""
    chosen = choose(32, lambda way: TWICE if way else KEPT, available, None, None)
    assert (chosen.parts, chosen.twice) == (parts, twice)
    assert f"32 samples a step in {parts} parts of {32 // parts}" in chosen.said


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UserError, match=r"a step of 1 samples needs 17.0 GB, 16.0 GB are there; --lora 16 needs less"):
        choose(32, lambda way: Need(16 * 10**9, 10**9), 16 * 10**9, None, None)


@given(
    share=st.integers(1, 64), fixed=st.integers(0, 100), kept=st.integers(1, 50), part=st.integers(1, 50),
    available=st.integers(0, 3000),
)  # fmt: skip
def test_what_is_chosen_fits_and_divides(share: int, fixed: int, kept: int, part: int, available: int) -> None:
    needs = [Need(fixed, kept), Need(fixed, min(kept, part))]
    try:
        chosen = choose(share, lambda way: needs[way], available, None, None)
    except UserError:
        assert fixed + needs[True].sample > available
        return
    size = share // chosen.parts
    assert size * chosen.parts == share
    assert fixed + size * needs[chosen.twice].sample <= available
    assert chosen.twice or size >= min(LEAST, share)
    bigger = [s for s in range(size + 1, share + 1) if share % s == 0]
    assert all(fixed + s * needs[chosen.twice].sample > available for s in bigger)


def test_a_run_says_what_it_chose_and_trains_as_before(
    tiny: Path, hands: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory for half of the batch: the line says so, and the losses are those of the whole batch at once."""
    short = {"steps": 2, "ema": 0, "validate_every": None}
    train(tiny, hands, hand_options(**short), tmp_path / "whole")
    assert "memory:" not in capsys.readouterr().err
    needs = []
    measured = memory.measured
    monkeypatch.setattr(memory, "measured", lambda *arguments: needs.append(measured(*arguments)) or needs[-1])
    with pytest.raises(UserError, match="a step of 1 samples needs"):
        train(tiny, hands, hand_options(**short, memory_gb=1e-6), tmp_path / "none")
    kept, twice = needs
    assert kept.fixed == pytest.approx(twice.fixed, rel=0.2) and twice.sample < kept.sample
    assert not (tmp_path / "none" / "model").exists()
    train(tiny, hands, hand_options(**short, memory_gb=(kept.fixed + 2.5 * kept.sample) / 1e9), tmp_path / "half")
    assert "4 samples a step in 2 parts of 2, activations kept" in capsys.readouterr().err
    rows = [read_journal(tmp_path / name / LOSSES) for name in ("whole", "half")]
    for row, other in zip(*rows, strict=True):
        assert row == pytest.approx(other, rel=2e-4)
