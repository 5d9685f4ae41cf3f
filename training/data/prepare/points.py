"""Key points for the pictures that come without: MediaPipe Holistic, shard by shard, into OUT/points.

A step of its own, because MediaPipe needs an environment of its own (the `eval` extra, no torch): plan and pictures are
the same on both sides, and the shards are made from what was found wherever torch is.
"""

from __future__ import annotations

import numpy as np

from handfirst.engines.files import atomic_path
from handfirst.runtime.pose.topology import POINTS
from handfirst.training.data.labels.holistic import open_holistic
from handfirst.training.data.prepare.filters import needs_points
from handfirst.training.data.prepare.plan import Plan, Shard
from handfirst.training.data.record import UnreadableError


def points_done(plan: Plan, shard: Shard) -> bool:
    """Whether a shard's key points have been looked for."""
    return plan.points(shard).exists()


def make_points(plan: Plan, shard: Shard) -> None:
    """Looks for key points in all pictures of a shard that have no hand's.

    Writes places int64 [n] (in the shard), people float32 [n, 133, 3] and found bool [n]. A picture that cannot be read
    counts as one without key points; it is rejected for what it is when the shard is made.
    """
    places, people, found = [], [], []
    for place, record in enumerate(plan.records(shard)):
        if not needs_points(record):
            continue
        try:
            person = open_holistic()(record.image.read())
        except UnreadableError:
            person = None
        places.append(place)
        people.append(np.zeros((POINTS, 3), np.float32) if person is None else person)
        found.append(person is not None)
    plan.points(shard).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(plan.points(shard)) as temporary:
        np.savez_compressed(
            temporary,
            places=np.array(places, np.int64),
            people=np.array(people, np.float32).reshape(-1, POINTS, 3),
            found=np.array(found, np.bool_),
        )
