"""Torch's own loop for gpu_proof.py, and what all loops of it have in common: what is painted, and how it is timed.

Torch's job does the same networks in the same shapes as often, on random inputs, and all of it on the GPU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from proof_model import Store, in_precision, on_device, synchroniser
from proof_race import Rules

from handfirst.engines.graph import Precision
from handfirst.export.examples import example
from handfirst.export.systems.two_stage.parts import part_makers
from handfirst.runtime.systems.two_stage.hands import count_hands
from handfirst.runtime.systems.two_stage.job import demo_pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.roles import ROLES

PROMPT = "a person, left hand open palm"


@dataclass
class Jobs:
    """What is painted.

    Attributes:
        store: of the model's graphs.
        tokenizer: that fits its settings.
        precision: of all graphs.
        batches: pictures painted together.
        steps: of each stage; twice as many are timed too.
        rounds: timed jobs of each kind, after one that is not.
    """

    store: Store
    tokenizer: bytes
    precision: Precision
    batches: tuple[int, ...]
    steps: int
    rounds: int

    @property
    def request(self) -> Request:
        """The embedded pose, seed 0."""
        return Request(pose=demo_pose(), prompt=PROMPT, steps=self.steps)

    def requests(self, batch: int, times: int = 1) -> list[Request]:
        """With a seed each."""
        return [Request(pose=demo_pose(), prompt=PROMPT, steps=self.steps * times, seed=i) for i in range(batch)]


def times(run: Callable[[int], Any], jobs: Jobs, wait: Callable[[], None]) -> dict[str, Any]:
    """Median milliseconds of a job, and what a step adds.

    Args:
        run: a job of so many times `jobs.steps` steps.
        wait: until the device has nothing left to do.
    """
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for many in seconds:
        run(many)
    for _ in range(jobs.rounds):
        for many, found in seconds.items():
            wait()
            started = time.perf_counter()
            run(many)
            wait()
            found.append(time.perf_counter() - started)
    once, twice = (1e3 * statistics.median(found) for found in seconds.values())
    return {
        "milliseconds": round(once, 3),
        "step_milliseconds": round((twice - once) / jobs.steps, 4),
        "runs": jobs.rounds,
    }


def torch_rows(
    jobs: Jobs, rules: Rules, left: list[dict[str, Any]], mode: str | None, compiled: bool = False
) -> Iterator[dict[str, Any]]:
    """A row per heading in `left`, of torch's loop.

    Args:
        mode: of torch.compile, where `compiled`.
    """
    makers, calls = part_makers(jobs.store.model), {}
    parts = {role: makers[role]() for role in ROLES}
    for role, part in parts.items():
        module = in_precision(part, jobs.precision).to(rules.device)
        call: Any = torch.compile(module, backend=rules.backend, mode=mode, dynamic=False) if compiled else module
        calls[role] = call
    body, factor = jobs.store.model.settings.body, jobs.store.model.settings.latent.factor
    hands = max(1, count_hands(jobs.request.resolve(jobs.store.model.settings), jobs.store.model.settings))
    for heading in left:
        if time.monotonic() > rules.deadline:
            return
        rules.begin(heading)
        batch = heading["batch"]
        rows = {"hand_unet": 2 * hands * batch, "mask_head": hands * batch, "controlnet": 2 * batch}
        rows |= {"body_unet": 2 * batch, "text_encoder": 1}
        inputs = {
            role: on_device(
                example(part, rows.get(role, batch), cells=(body.height // factor, body.width // factor)),
                [tensor.name for tensor in part.spec.inputs],
                rules.device,
            )
            for role, part in parts.items()
        }
        run = TorchJob(calls, inputs, jobs.steps, hands).run
        yield heading | times(run, jobs, synchroniser(rules.device))
    torch.compiler.reset()


@dataclass
class TorchJob:
    """A two-stage job in torch: the same networks as often, guidance, DDIM and blending between them.

    The text encoder takes no part on either side: contexts of a prompt are kept, and the jobs have one prompt.

    Attributes:
        calls: modules by role.
        inputs: of each, in the order of its spec.
        steps: of each stage.
        hands: per picture.
    """

    calls: Mapping[str, Callable[..., Any]]
    inputs: Mapping[str, list[torch.Tensor]]
    steps: int
    hands: int

    @torch.no_grad()
    def run(self, many: int = 1) -> torch.Tensor:
        """The final latents, on the host."""
        calls, inputs, steps = self.calls, self.inputs, self.steps * many
        sample, *rest = inputs["hand_unet"]
        channels = inputs["vae_decoder"][0].shape[1]
        x, condition = sample[: len(sample) // 2, :channels], sample[:, channels:]
        for _ in range(steps):
            prediction, _feature = calls["hand_unet"](torch.cat([torch.cat([x, x]), condition], 1), *rest)
            x = self._stepped(x, prediction)
        calls["mask_head"](*inputs["mask_head"])
        for piece in x.split(len(inputs["vae_decoder"][0])):
            calls["vae_decoder"](piece)
        calls["vae_encoder"](*inputs["vae_encoder"])
        calls["hint_encoder"](*inputs["hint_encoder"])
        _, times, context, hint = inputs["controlnet"]
        x = canvas = inputs["vae_decoder"][0]
        keep = canvas > 0
        for _ in range(steps):
            both = torch.cat([x, x])
            residuals = calls["controlnet"](both, times, context, hint)
            prediction = calls["body_unet"](both, times, context, *residuals)
            x = torch.where(keep, 0.6 * canvas + 0.8 * canvas, self._stepped(x, prediction))
        calls["vae_decoder"](x)
        return x.cpu()

    def _stepped(self, x: torch.Tensor, prediction: torch.Tensor) -> torch.Tensor:
        """Guidance and one row of DDIM, with weights in the middle of a schedule."""
        without, conditional = prediction.chunk(2)
        eps = without + 7.5 * (conditional - without)
        x_0 = (x - 0.6 * eps) / 0.8
        return 0.85 * x_0 + 0.5 * eps
