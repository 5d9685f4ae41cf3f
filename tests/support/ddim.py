"""diffusers' DDIM of a model's own schedule: what loops that share no code with the runtime's are made of."""

from __future__ import annotations

from diffusers import DDIMScheduler

from handfirst.runtime.diffusion.settings import ScheduleSettings


def ddim(schedule: ScheduleSettings, steps: int | None = None) -> DDIMScheduler:
    """Set to so many steps; None: to none yet, as a pipeline of diffusers sets them itself."""
    made = DDIMScheduler(
        num_train_timesteps=schedule.train_steps,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        beta_schedule=schedule.betas,
        prediction_type=schedule.prediction,
        timestep_spacing=schedule.spacing,
        steps_offset=schedule.steps_offset,
        set_alpha_to_one=schedule.set_alpha_to_one,
        rescale_betas_zero_snr=schedule.zero_snr,
        clip_sample=False,
    )
    if steps is not None:
        made.set_timesteps(steps)
    return made
