"""What a request leaves to the model, filled in: which size, which eta, and the pose and mask on that canvas.

Knows nothing about prompts, hands or networks.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.diffusion.solvers import Solver
from handfirst.runtime.errors import RequestError
from handfirst.runtime.geometry import Similarity, warp
from handfirst.runtime.pose.arms import lacks_arm, with_arm
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.pose.topology import SIDES
from handfirst.runtime.systems.two_stage.settings import BodySettings

Armless = Literal["complete", "leave", "refuse"]
"""Hands that have no arm: wrist and elbow are made up (pose/arms.py), or stay missing, or the pose is refused."""
BLANK = 0.05
"""Share of the picture outside the pose's canvas from which on it is said."""
SIZE = "size of the picture"
"""What messages call it; on the command line and in jobs it is the canvas, and `size` that of the pose."""


def eta_of(asked: float | None, usual: float, *solvers: Solver) -> float:
    """0 where no stage takes steps of DDIM, the only one with an eta."""
    if any(solver in ("ddim", "ddim-trailing") for solver in solvers):
        return usual if asked is None else asked
    if asked:
        raise RequestError(f"eta: expected none with the solver {solvers[0]}, got {asked}; DDIM alone has one")
    return 0.0


def canvas_of(size: tuple[int, int] | None, body: BodySettings) -> tuple[int, int]:
    """Width and height of the picture."""
    if size is None or size == (body.width, body.height):
        return body.width, body.height
    if body.widths is None or body.heights is None:
        raise RequestError(
            f"{SIZE}: this model paints {body.width}x{body.height} alone, got {size[0]}x{size[1]}; leave it out, or "
            "export the model with --sizes"
        )
    if size[0] not in body.widths or size[1] not in body.heights:
        raise RequestError(
            f"{SIZE}: expected a width of {body.widths} and a height of {body.heights}, got {size[0]}x{size[1]}"
        )
    return size


def fit_pose(pose: Pose, width: int, height: int, free: bool) -> Pose:
    """The pose on the picture's canvas, with a line if a good part of the picture shows nothing of the pose's canvas.

    Args:
        free: whether another size of the picture could be asked for.
    """
    fitted = pose.fit(width, height)
    across, down = width / pose.width, height / pose.height
    blank = 1 - min(across, down) / max(across, down)
    if blank < BLANK:
        return fitted
    asked = f"ask for a picture of the pose's shape (--canvas, such as {pose.width}x{pose.height}), or " if free else ""
    line = (
        f"the pose's canvas is {pose.width}x{pose.height}, the picture {width}x{height}: the pose is made smaller, and "
        f"{blank:.0%} of the picture lie outside its canvas; {asked}crop the pose's canvas to the picture's shape"
    )
    return replace(fitted, warnings=(*fitted.warnings, line))


def join_hands(pose: Pose, how: Armless) -> Pose:
    """The pose with arms to hands that have none, if that is asked for, and a line in place of what was said of them.

    Raises:
        RequestError: there is one, and it is to be refused.
    """
    if how == "leave":
        return pose
    people, said = list(pose.people), list(pose.warnings)
    for i, person in enumerate(pose.people):
        who = "the person" if len(pose.people) == 1 else f"person {i + 1}"
        for side in filter(partial(lacks_arm, person), SIDES):
            if how == "refuse":
                raise RequestError(
                    f"pose: expected an elbow and a wrist to every hand, got none to {who}'s {side} hand; add them to "
                    "the pose, or ask for armless=complete, which makes them up"
                )
            odd, joined = f"{who}'s {side} hand has no arm", with_arm(people[i], side)
            people[i] = joined or people[i]
            told = "what is missing is made up" if joined else "nothing can be made up without its wrist and a knuckle"
            said = [*(line for line in said if not line.startswith(odd)), f"{odd} (elbow or wrist missing): {told}"]
    return replace(pose, people=tuple(people), warnings=tuple(said))


def fit_mask(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """The mask where `Pose.fit` puts the points: scaled evenly until it fits, then centred."""
    scale = min(width / mask.shape[1], height / mask.shape[0])
    fit = Similarity(scale, (width - scale * mask.shape[1]) / 2, (height - scale * mask.shape[0]) / 2)
    return warp(mask, fit.inverse(), height, width) >= 0.5
