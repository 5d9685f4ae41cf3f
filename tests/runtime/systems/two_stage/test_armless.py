"""What a request says of hands that have no arm: made up, left so, or refused."""

import numpy as np
import pytest
from support.arithmetic_model import SETTINGS, model, person, request

from handfirst.runtime.errors import RequestError
from handfirst.runtime.pose.arms import with_arm
from handfirst.runtime.pose.person import Person, Pose
from handfirst.runtime.pose.sanity import sanity_warnings
from handfirst.runtime.pose.skeleton import hint
from handfirst.runtime.pose.topology import ELBOW, HANDS, WRIST


def bare():
    """Both hands, no elbow and no wrist."""
    made = person()
    made.points[list(ELBOW.values())] = np.nan
    return made


def asked(*people, **fields):
    return request(pose=Pose(people, 64, 64, sanity_warnings(Pose(people, 64, 64))), **fields)


def about_arms(resolved):
    return [line for line in resolved.pose.warnings if "no arm" in line]


def test_elbows_are_made_up_where_that_is_asked_for():
    resolved = asked(bare(), armless="complete").resolve(SETTINGS)
    expected = with_arm(with_arm(bare(), "left"), "right")
    np.testing.assert_array_equal(resolved.pose.people[0].points, expected.points)
    assert np.isfinite(expected.points[list(ELBOW.values())]).all()
    assert about_arms(resolved) == [
        f"the person's {side} hand has no arm (elbow or wrist missing): what is missing is made up"
        for side in ("left", "right")
    ]
    assert about_arms(resolved.resolve(SETTINGS)) == about_arms(resolved)
    system, tapes = model()
    result = system.render(asked(bare(), armless="complete"))
    hinted = tapes["hint_encoder"].inputs[0]["hint"][0]
    np.testing.assert_array_equal(hinted, hint(resolved.pose, result.mask, 64, 64))


def test_a_wrist_alone_is_the_hands_own():
    one = person(right=None)  # its elbows are known, its wrists are not
    made = asked(one, armless="complete").resolve(SETTINGS).pose.people[0].points
    np.testing.assert_array_equal(made[WRIST["left"]], one.left_hand[0])
    np.testing.assert_array_equal(made[ELBOW["left"]], one.points[ELBOW["left"]])
    assert np.isnan(made[WRIST["right"]]).all()


def test_by_default_the_pose_stays_and_the_line_names_the_remedy():
    resolved = asked(bare(), bare()).resolve(SETTINGS)
    np.testing.assert_array_equal(resolved.pose.people[0].points, bare().points)
    assert resolved.armless == "leave" and len(about_arms(resolved)) == 4
    assert about_arms(resolved)[2].startswith("person 2's left hand has no arm (elbow or wrist missing)")
    assert "armless=complete" in about_arms(resolved)[2]


def test_what_cannot_be_made_up_is_said():
    lost = bare()
    points = lost.points.copy()
    points[HANDS["left"].start] = np.nan
    resolved = asked(Person(points, lost.scores), armless="complete").resolve(SETTINGS)
    assert [line for line in about_arms(resolved) if "left" in line] == [
        "the person's left hand has no arm (elbow or wrist missing): nothing can be made up without its wrist and a "
        "knuckle"
    ]


def test_a_pose_is_refused_before_any_work_where_that_is_asked_for():
    system, tapes = model()
    with pytest.raises(RequestError, match="got none to person 2's left hand; add them to the pose, or ask for") as why:
        system.render(asked(person(None, None), bare(), armless="refuse"))
    assert "\n" not in str(why.value) and not any(tape.inputs for tape in tapes.values())
    whole = with_arm(with_arm(bare(), "left"), "right")
    assert system.render(asked(whole, armless="refuse")).asked["armless"] == "refuse"
    with pytest.raises(RequestError, match="armless: expected one of complete, leave, refuse, got 'guess'"):
        asked(bare(), armless="guess")
