"""Held-out poses painted by the two-stage system, for the judges; see evaluate/judging/painting.py."""

from __future__ import annotations

from dataclasses import replace

from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import UserError
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.systems.two_stage.job import JOBS
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.evaluate.judging.held_out import HAND_SIZE, HeldOut, seen_through
from handfirst.training.evaluate.judging.painting import Changes, Painted, Painter
from handfirst.training.systems.two_stage.conditions import to_pose

OPEN = frozenset(JOBS.fields.model_fields) - {"prompt", "seed", "steps", "size", "frame", "image", "canvas"}
"""Fields of a request that may differ; the others are the pose's own, or have an option of their own."""


def open_painter(bundle: Bundle, changes: Changes, steps: int | None, engine: str, threads: int | None) -> Painter:
    """See PAINTERS in training/systems.

    Raises:
        UserError: a change that there is not, that makes no sense, or of what the networks were built for; or the
            canvas is no square.
    """
    return TwoStagePainter(bundle, changes, steps, engine, threads)


class TwoStagePainter:
    """Hands first, then the body: a hand's picture is what stage 1 draws, a person's is the finished one."""

    def __init__(self, bundle: Bundle, changes: Changes, steps: int | None, engine: str, threads: int | None) -> None:
        if unknown := sorted(changes.request.keys() - OPEN):
            raise UserError(f"--set: expected settings.* or one of {', '.join(sorted(OPEN))}, got {unknown[0]!a}")
        changed = replace(bundle, manifest=changes.of(bundle.manifest))
        self._model = TwoStage.of(changed, engine, threads, "all")
        body = self._model.settings.body
        if body.width != body.height:
            raise UserError(f"{bundle.path}: expected a square canvas, got {body.width} x {body.height} pixels")
        self.size = body.width
        self._steps, self._fields = steps, dict(changes.request)

    def paint(self, pose: HeldOut, sample: Sample) -> Painted:
        """The pose's own seed is that of the noise."""
        points = to_pose(sample.keypoints, len(sample.rgb))
        request = Request(pose=points, prompt=sample.caption, seed=pose.seed, steps=self._steps, **self._fields)
        if pose.kind == "people":
            result = self._model.render(request)
            return Painted(result.image, given=result.canvas, kept=result.mask)
        drawn = self._model.first_half([request])
        (hand,) = drawn.hands[0]
        # both are the crop of 1.5 times the points' box, as a rule: then this changes nothing but the size
        scale = self.size / HAND_SIZE
        to_crop = Similarity(scale, 0.0, 0.0).then(hand.crop.similarity)
        mask = warp(hand.mask, to_crop, HAND_SIZE, HAND_SIZE) >= 0.5
        return Painted(seen_through(hand.image, to_crop.inverse(), HAND_SIZE), mask=mask)
