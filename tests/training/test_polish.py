"""Painting people again: the loop is the runtime's, the start is the true latent, crops match their latents."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from handfirst.runtime.diffusion.table import Schedule
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.autoencoder_training import CROP, windows
from handfirst.training.body_training import BodyData
from handfirst.training.config import load_config
from handfirst.training.data.arrays import Pictures
from handfirst.training.polish_training import STARTS, STEPS, paint_people

PEOPLE, SIDE = 5, 32


def body_data(settings: TwoStageSettings) -> BodyData:
    """Five people with latents of noise; the hands cover nothing."""
    noise = torch.Generator().manual_seed(0)
    latents = torch.randn(PEOPLE, settings.latent.channels, SIDE // 8, SIDE // 8, generator=noise).half()
    blank = np.zeros((PEOPLE, SIDE, SIDE), np.uint8)
    return BodyData(
        latents=latents,
        canvases=torch.zeros_like(latents),
        skeletons=np.repeat(blank[..., None], 3, 3),
        hands=blank,
        contexts=torch.ones(1, PEOPLE, 2, 3).half(),
        empty=torch.zeros(2, 3).half(),
    )


class Oracle(nn.Module):
    """Knows x_0 of the people in order, where it is given a prompt; says `wrong` where not. Remembers its times."""

    def __init__(self, x_0: Tensor, wrong: float) -> None:
        super().__init__()
        self.x_0, self.wrong, self.times = x_0, wrong, list[int]()
        self.first: Tensor | None = None

    def forward(self, x: Tensor, t: Tensor, context: Tensor, hint: Tensor) -> Tensor:
        self.times.append(int(t[0]))
        if self.first is None:
            self.first = x[: len(self.x_0)].clone()
        prompted = context.abs().sum((1, 2))[:, None, None, None] > 0
        return torch.where(prompted, torch.cat([self.x_0, self.x_0]), torch.full_like(x, self.wrong))


def test_an_oracle_paints_what_was_there_and_guidance_goes_from_the_empty_prompt_to_the_prompt() -> None:
    settings = load_config("demo").settings
    assert settings.schedule.prediction == "sample"
    data = body_data(settings)
    oracle = Oracle(data.latents.float(), wrong=0.5)
    latents, picks = paint_people(oracle, data, settings, PEOPLE, seed=3, show=False)  # type: ignore[arg-type]
    assert picks.tolist() == list(range(PEOPLE))
    g = settings.defaults.guidance
    torch.testing.assert_close(latents.float(), 0.5 + g * (data.latents.float() - 0.5), atol=0.05, rtol=0.01)


def test_it_starts_half_way_from_the_true_latent_and_takes_the_rest_of_the_steps() -> None:
    settings = load_config("demo").settings
    data = body_data(settings)
    oracle = Oracle(data.latents.float(), wrong=0.0)
    paint_people(oracle, data, settings, PEOPLE, seed=4, show=False)  # type: ignore[arg-type]
    schedule = Schedule(settings.schedule)
    everything = [t for t, _ in schedule.timesteps(STEPS)]
    assert oracle.times == everything[-len(oracle.times) :]
    assert STEPS - STARTS[1] < len(oracle.times) <= STEPS - STARTS[0]
    a = float(schedule.alpha_bar[oracle.times[0]])
    assert oracle.first is not None
    eps = (oracle.first - a**0.5 * data.latents.float()) / (1 - a) ** 0.5
    assert abs(float(eps.mean())) < 0.2 and 0.85 < float(eps.std()) < 1.15


def test_windows_lie_on_the_grid_and_inside() -> None:
    blank = np.zeros((3, 192, 192), np.uint8)
    keypoints = np.zeros((3, 133, 3), np.float32)
    keypoints[:, 23:91] = (150, 40, 1)
    source = Pictures(np.repeat(blank[..., None], 3, 3), blank, keypoints, ("a",) * 3, ({},) * 3)
    places = windows(source, np.array([2, 0] * 50), np.random.default_rng(0), grid=8)
    assert [i for i, _, _ in places] == [2, 0] * 50
    for _, y, x in places:
        assert y % 8 == 0 and x % 8 == 0 and min(x, y) >= 0 and max(x, y) <= 192 - CROP
