"""Variants of one model on a held-out pose: what is changed changes the picture, and nothing else can be."""

from __future__ import annotations

import numpy as np
import pytest

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.errors import UserError
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.runtime.systems.two_stage.system import TwoStage
from handfirst.training.data.record import to_person
from handfirst.training.evaluate.judging.held_out import held_out, render
from handfirst.training.evaluate.judging.painting import Changes, painter_of

BUNDLE = Bundle.open(demo_bundle_path())
POSE = held_out(1, 0)[0]
STEPS = 3


def test_changes_are_read_as_a_configuration_is() -> None:
    read = Changes.read(["blend=naive", "settings.body.unblended=0", "settings.body.mask_radius=0.2", "feather=2"])
    assert read == Changes({"body": {"unblended": 0, "mask_radius": 0.2}}, {"blend": "naive", "feather": 2})
    with pytest.raises(UserError, match="NAME=VALUE"):
        Changes.read(["blend"])


def test_a_variant_paints_what_the_model_paints_when_it_is_asked_so() -> None:
    size = 192
    sample = render(POSE, size)
    painted = {
        said: painter_of(BUNDLE, Changes.read(said), STEPS, "cpu", 1).paint(POSE, sample)
        for said in ((), ("blend=expansion",), ("settings.body.unblended=0",))
    }
    with_model = TwoStage.of(BUNDLE, "cpu", 1, "all")
    pose = Pose((to_person(sample.keypoints),), size, size)
    asked = Request(pose=pose, prompt=sample.caption, seed=POSE.seed, steps=STEPS, blend="expansion")
    assert np.array_equal(painted["blend=expansion",].image, with_model.render(asked).image)
    pictures = [found.image for found in painted.values()]
    for i, image in enumerate(pictures):
        assert all(not np.array_equal(image, other) for other in pictures[:i])
        assert np.array_equal(painted[()].kept, list(painted.values())[i].kept)  # the hands are the same


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("prompt=a dog", "expected settings.* or one of"),
        ("blnd=naive", "expected settings.* or one of"),
        ("settings.body.unblendd=0", "unblendd"),
        ("settings.body.unblended=-1", "unblended"),
    ],
)
def test_a_change_that_there_is_not_is_named(said: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        painter_of(BUNDLE, Changes.read([said]), STEPS, "cpu", 1)
