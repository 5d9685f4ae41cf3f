"""Painting again: the runtime's loop, from the true latent half-way, hands kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.recipe.bodies import BodyData
from handfirst.training.recipe.hands import HandData
from handfirst.training.recipe.painting import STARTS, STEPS, paint_hands, paint_people
from handfirst.training.systems.two_stage.config import load_config

COUNT, SIDE = 5, 32
CELLS = SIDE // 8


@pytest.fixture(scope="module")
def settings() -> TwoStageSettings:
    settings = load_config("demo").settings
    assert settings.schedule.prediction == "sample"
    return settings


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).half()


def body_data(settings: TwoStageSettings, covered: bool = False) -> BodyData:
    """Five people with latents of noise on zero canvases; their hands cover nothing, or the left half."""
    latents = noise(COUNT, settings.latent.channels, CELLS, CELLS)
    hands = torch.zeros(COUNT, SIDE, SIDE, dtype=torch.uint8)
    reach = torch.full((COUNT, CELLS, CELLS), torch.inf).half()
    if covered:
        hands[:, :, : SIDE // 2] = 1
        reach[:, :, : CELLS // 2] = 0
    return BodyData(
        latents=latents,
        canvases=torch.zeros_like(latents),
        skeletons=torch.zeros(COUNT, SIDE, SIDE, 3, dtype=torch.uint8),
        hands=hands,
        reach=reach,
        contexts=torch.ones(1, COUNT, 2, 3).half(),
        empty=torch.zeros(2, 3).half(),
    )


class Oracle(nn.Module):
    """Knows x_0 of the pictures in order, where it is given a prompt; says `wrong` where not. Remembers its inputs."""

    def __init__(self, x_0: Tensor, wrong: float) -> None:
        super().__init__()
        self.x_0, self.wrong, self.times, self.seen = x_0, wrong, list[int](), list[Tensor]()

    def forward(self, x: Tensor, t: Tensor, context: Tensor, hint: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        self.times.append(int(t[0]))
        self.seen.append(x[: len(self.x_0)].clone())
        prompted = context.abs().sum((1, 2))[:, None, None, None] > 0
        x_0 = torch.cat([self.x_0, self.x_0])
        out = torch.where(prompted, x_0, torch.full_like(x_0, self.wrong))
        return out if hint is not None else (out, x)


def test_an_oracle_paints_what_was_there_and_guidance_goes_from_the_empty_prompt_to_the_prompt(
    settings: TwoStageSettings,
) -> None:
    data = body_data(settings)
    oracle = Oracle(data.latents.float(), wrong=0.5)
    painted = paint_people(oracle, data, settings, COUNT, seed=3, show=False)  # type: ignore[arg-type]
    assert painted.pictures.tolist() == list(range(COUNT))
    g = settings.defaults.guidance
    torch.testing.assert_close(painted.latents, 0.5 + g * (data.latents.float() - 0.5), atol=0.05, rtol=0.01)


def test_hands_see_their_condition_without_its_mask(settings: TwoStageSettings) -> None:
    latents = noise(COUNT, settings.latent.channels, CELLS, CELLS)
    conditions = torch.ones(COUNT, settings.condition_channels, CELLS, CELLS).half()
    contexts, empty = torch.ones(1, COUNT, 2, 3).half(), torch.zeros(2, 3).half()
    data = HandData(latents, contexts, empty, conditions, torch.zeros(COUNT, SIDE, SIDE, dtype=torch.uint8))
    oracle = Oracle(latents.float(), wrong=0.5)
    painted = paint_hands(oracle, data, settings, COUNT, seed=3, show=False)  # type: ignore[arg-type]
    g = settings.defaults.hand_guidance
    torch.testing.assert_close(painted.latents, 0.5 + g * (latents.float() - 0.5), atol=0.05, rtol=0.01)
    c_p = oracle.seen[0][:, settings.latent.channels :]
    first_mask = 10 * settings.hand.condition.fold**2
    assert c_p[:, :first_mask].eq(1).all() and c_p[:, first_mask:].eq(0).all()


def test_it_starts_half_way_from_the_true_latent_and_takes_the_rest_of_the_steps(settings: TwoStageSettings) -> None:
    data = body_data(settings)
    oracle = Oracle(data.latents.float(), wrong=0.0)
    paint_people(oracle, data, settings, COUNT, seed=4, show=False)  # type: ignore[arg-type]
    schedule = Schedule(settings.schedule)
    everything = [t for t, _ in schedule.timesteps(STEPS)]
    assert oracle.times == everything[-len(oracle.times) :]
    assert STEPS - STARTS[1] < len(oracle.times) <= STEPS - STARTS[0]
    a = float(schedule.alpha_bar[oracle.times[0]])
    eps = (oracle.seen[0] - a**0.5 * data.latents.float()) / (1 - a) ** 0.5
    assert abs(float(eps.mean())) < 0.2 and 0.85 < float(eps.std()) < 1.15


def test_kept_cells_hold_the_canvas_until_the_last_steps(settings: TwoStageSettings) -> None:
    data = body_data(settings, covered=True)
    far = 10.0  # an oracle whose x_0 no canvas of zeros could be mistaken for
    oracle = Oracle(torch.full_like(data.latents, far).float(), wrong=far)
    paint_people(oracle, data, settings, COUNT, seed=3, show=False)  # type: ignore[arg-type]
    left = CELLS // 2
    for x_t in oracle.seen[1 : len(oracle.seen) - settings.body.unblended]:
        assert float(x_t[..., :left].mean()) < 0.5 < 0.1 * far < float(x_t[..., left:].mean())
