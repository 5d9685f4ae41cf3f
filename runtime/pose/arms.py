"""Hands without arms: a wrist and an elbow made up from the hand and from what is known of the body.

The paper's model breaks pictures apart where a hand has no arm to join (section V). The rule, all of it OURS:

- the wrist is the hand's own wrist point;
- the forearm goes on from the middle finger's knuckle through the wrist (or from the mean of the knuckles that are
  known), as long as the other forearm; or else as a share of the shoulders' width or of the hand's length;
- where the shoulder is known, the elbow stays in reach of the upper arm: the nearest place to the above that both
  bones reach, or, where they are too short together, the place between shoulder and wrist that divides them evenly.

Lengths are those on the picture: a forearm that points at the camera looks shorter than what is made up for it. Knows
nothing about files or models.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from handfirst.runtime.pose.person import Person, Points
from handfirst.runtime.pose.topology import ELBOW, HANDS, LEFT_SHOULDER, RIGHT_SHOULDER, SHOULDERS, WRIST, Side

SHOULDER: dict[Side, int] = {"left": LEFT_SHOULDER, "right": RIGHT_SHOULDER}
KNUCKLES = (9, 5, 13, 17)
"""Of a hand's 21 points: the middle finger's, then the others but the thumb's."""

# Shares of the body's height by Drillis and Contini (1966), as in Winter, Biomechanics and Motor Control, figure 4.1.
FOREARM, UPPER_ARM, HAND, SHOULDERS_WIDTH = 0.146, 0.186, 0.108, 0.259
PALM = 0.5
"""Wrist to the middle finger's knuckle, as a share of the hand's length."""

Point = NDArray[np.float64]


def lacks_arm(person: Person, side: Side) -> bool:
    """Whether there is a hand to draw, but no elbow or no wrist of the body to join it to."""
    joints = person.points[[ELBOW[side], WRIST[side]]]
    return person.has_hand(side) and not bool(np.isfinite(joints).all())


def with_arm(person: Person, side: Side) -> Person | None:
    """The person with wrist and elbow of one side, those made up that are missing, with the hand's mean score.

    None where the hand says no direction: without its wrist, or without any knuckle.
    """
    points, scores = person.points.copy(), person.scores.copy()
    hand, elbow, wrist = points[HANDS[side]], ELBOW[side], WRIST[side]
    missing = [joint for joint in (elbow, wrist) if not np.isfinite(points[joint]).all()]
    if wrist in missing:
        points[wrist] = hand[0]
    if elbow in missing:
        made = _elbow(person, side, points[wrist])
        if made is None:
            return None
        points[elbow] = made
    if not np.isfinite(points[wrist]).all():
        return None
    known = scores[HANDS[side]]
    scores[missing] = known[known > 0].mean()
    return Person(points, scores)


def _elbow(person: Person, side: Side, wrist: Point) -> Point | None:
    knuckle = _knuckle(person.hand(side))
    if knuckle is None or not np.isfinite(wrist).all():
        return None
    along = wrist - knuckle
    palm = float(np.hypot(*along))
    if palm == 0:
        return None
    forearm = forearm_length(person, side) or palm / PALM * FOREARM / HAND
    straight = wrist + along / palm * forearm
    shoulder = person.points[SHOULDER[side]]
    if not np.isfinite(shoulder).all():
        return straight
    return within_reach(straight, shoulder, wrist, forearm * UPPER_ARM / FOREARM, forearm)


def _knuckle(hand: Points) -> Point | None:
    """The middle finger's, or the mean of the others that are known."""
    known = [hand[i] for i in KNUCKLES if np.isfinite(hand[i]).all()]
    if not known or np.isfinite(hand[KNUCKLES[0]]).all():
        return known[0] if known else None
    mean: Point = np.mean(known, 0)
    return mean


def forearm_length(person: Person, side: Side) -> float | None:
    """In pixels: the other forearm's, or the shoulders' width's share; None where neither is known.

    The longer of the two, as both look shorter than they are where they are turned away from the picture.
    """
    other: Side = "right" if side == "left" else "left"
    lengths = []
    for pair, share in (((ELBOW[other], WRIST[other]), 1.0), (SHOULDERS, FOREARM / SHOULDERS_WIDTH)):
        a, b = person.points[list(pair)]
        if np.isfinite((a, b)).all():
            lengths.append(share * float(np.hypot(*(b - a))))
    return max(lengths, default=0.0) or None


def within_reach(wanted: Point, shoulder: Point, wrist: Point, upper_arm: float, forearm: float) -> Point:
    """The nearest point to `wanted` that is at most `upper_arm` from the shoulder and `forearm` from the wrist.

    Where there is no such point, the arm is stretched: the point between the two that divides them as the bones do.

    Args:
        wanted: [2] pixels, at most `forearm` from the wrist.
        shoulder, wrist: [2] pixels.
        upper_arm, forearm: longer than 0, in pixels.
    """
    apart = wrist - shoulder
    distance = float(np.hypot(*apart))
    if distance >= upper_arm + forearm:
        stretched: Point = shoulder + apart * (upper_arm / (upper_arm + forearm))
        return stretched
    out = wanted - shoulder
    length = float(np.hypot(*out))
    if length <= upper_arm:
        return wanted
    pulled: Point = shoulder + out * (upper_arm / length)
    if float(np.hypot(*(pulled - wrist))) <= forearm * (1 + 1e-9):
        return pulled
    # the nearest corner of the two discs' common part
    along = (distance**2 + upper_arm**2 - forearm**2) / (2 * distance)
    across = math.sqrt(max(upper_arm**2 - along**2, 0))
    unit = apart / distance
    normal = np.array([-unit[1], unit[0]])
    corners = [shoulder + along * unit + sign * across * normal for sign in (1, -1)]
    return min(corners, key=lambda corner: float(np.hypot(*(corner - wanted))))
