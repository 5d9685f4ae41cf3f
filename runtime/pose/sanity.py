"""What is odd about a pose, in words: a line each, so that nobody wonders later why a hand is missing."""

from __future__ import annotations

import numpy as np

from handfirst.runtime.pose.arms import lacks_arm
from handfirst.runtime.pose.person import MIN_HAND_POINTS, Person, Points, Pose
from handfirst.runtime.pose.topology import HIPS, NOSE, SHOULDERS, SIDES

TINY = 0.01
"""Of the canvas's shorter side, and at least TINY_PX: nobody draws that small, the units are others."""
TINY_PX = 4.0


def sanity_warnings(pose: Pose) -> tuple[str, ...]:
    """One line per oddity; an ordinary pose of one person with two hands has none."""
    if not pose.people:
        return ("no person in the pose: there is nothing to draw",)
    lines = []
    if len(pose.people) > 1:
        lines.append(
            f"{len(pose.people)} people: all are drawn, each with hands of their own; one text describes them all"
        )
    for i, person in enumerate(pose.people):
        who = "the person" if len(pose.people) == 1 else f"person {i + 1}"
        lines += [line.format(who=who) for line in _about(person, pose.width, pose.height)]
    return tuple(lines)


def _about(person: Person, width: int, height: int) -> list[str]:
    lines = []
    known = np.asarray(np.isfinite(person.points).all(1))
    points = person.points[known]
    outside = int(((points < 0) | (points >= (width, height))).any(1).sum())
    if not len(points):
        return ["{who} has no visible point and is left out"]
    if outside:
        lines.append(f"{{who}} has {outside} points outside the {width} x {height} canvas")
    lines += _tiny("{who}", person.points, width, height) or [
        line for side in SIDES for line in _tiny(f"{{who}}'s {side} hand", person.hand(side), width, height)
    ]
    if _upside_down(person.body):
        lines.append("{who} stands on the head: does y run upwards in the file? Here it runs down")
    if not any(person.has_hand(side) for side in SIDES):
        lines.append("{who} has no hand: painted by stage 2 alone")
    for side in SIDES:
        count = int(np.isfinite(person.hand(side)).all(1).sum())
        if 0 < count < MIN_HAND_POINTS:
            lines.append(f"{{who}}'s {side} hand has only {count} points, fewer than {MIN_HAND_POINTS}: left out")
        elif lacks_arm(person, side):
            lines.append(
                f"{{who}}'s {side} hand has no arm (elbow or wrist missing); it can be made up: armless=complete"
            )
    return lines


def _upside_down(body: Points) -> bool:
    """Whether hips, shoulders and nose follow each other downwards in this order."""
    parts = [body[list(part), 1] for part in (HIPS, SHOULDERS, (NOSE,))]
    heights = [float(part.mean()) for part in parts]
    return bool(np.isfinite(heights).all()) and heights == sorted(heights)


def _tiny(what: str, points: Points, width: int, height: int) -> list[str]:
    """A line if the bulk of the points (all but a tenth at either end) lie within a few pixels."""
    known = points[np.isfinite(points).all(1)]
    if len(known) < MIN_HAND_POINTS:
        return []
    across, down = (float(side) for side in np.ptp(np.quantile(known, (0.1, 0.9), axis=0), axis=0))
    if max(across, down) >= max(TINY_PX, TINY * min(width, height)):
        return []
    return [
        f"{what} is only {across:.1f} x {down:.1f} pixels large on a canvas of {width} x {height}: are its coordinates "
        "in other units, or does the canvas have another size (--size)?"
    ]
