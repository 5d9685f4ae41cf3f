"""Made-up wrists and elbows: where they go, beside formulas by hand and SciPy's constrained minimum."""

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from handfirst.runtime.pose.arms import lacks_arm, with_arm, within_reach
from handfirst.runtime.pose.person import Person
from handfirst.runtime.pose.topology import ELBOW, HANDS, SHOULDERS, SIDES, WRIST

PLACE = st.tuples(st.floats(-100, 100), st.floats(-100, 100)).map(np.array)


def pose(**known: tuple[float, float]) -> Person:
    """A person of the points named hand_3, elbow, wrist, shoulder (left), and r_elbow and so on (right); scores .5."""
    names = {"shoulder": 5, "elbow": 7, "wrist": 9, "r_shoulder": 6, "r_elbow": 8, "r_wrist": 10}
    points = np.full((133, 2), np.nan)
    for name, place in known.items():
        points[HANDS["left"].start + int(name[5:]) if name.startswith("hand_") else names[name]] = place
    return Person(points, np.where(np.isfinite(points[:, 0]), 0.5, 0.0))


def hand(wrist: tuple[float, float] = (100.0, 100.0), knuckle: tuple[float, float] = (100.0, 80.0)) -> dict:
    """A left hand that points from its wrist to its middle knuckle, with fingers somewhere."""
    rest = {f"hand_{i}": (90.0 + i, 70.0) for i in (1, 5, 13, 17, 12, 16)}
    return {"hand_0": wrist, "hand_9": knuckle, **rest}


def elbow_of(person: Person) -> np.ndarray:
    made = with_arm(person, "left")
    assert made is not None
    return made.points[ELBOW["left"]]


def test_a_forearm_goes_on_through_the_wrist_as_long_as_the_hand_says():
    made = with_arm(pose(**hand()), "left")
    # a palm of 20 pixels is half a hand, a hand .108 of the height and a forearm .146
    np.testing.assert_allclose(made.points[ELBOW["left"]], (100, 100 + 40 * 0.146 / 0.108))
    np.testing.assert_array_equal(made.points[WRIST["left"]], (100, 100))
    assert made.scores[ELBOW["left"]] == made.scores[WRIST["left"]] == 0.5
    np.testing.assert_array_equal(made.points[HANDS["left"]], pose(**hand()).points[HANDS["left"]])


def test_it_is_as_long_as_the_other_one_or_as_the_shoulders_say_whichever_is_longer():
    arm = {"r_elbow": (0.0, 0.0), "r_wrist": (30.0, 40.0)}
    np.testing.assert_allclose(elbow_of(pose(**hand(), **arm)), (100, 150))
    # .259 of the height between the shoulders; the left one is within reach
    wide = {"shoulder": (100.0, 95.0), "r_shoulder": (159.0, 95.0)}
    np.testing.assert_allclose(elbow_of(pose(**hand(), **wide)), (100, 100 + 59 * 0.146 / 0.259))
    np.testing.assert_allclose(elbow_of(pose(**hand(), **arm, **wide)), (100, 150))


def test_what_is_known_stays():
    both = pose(**hand(), elbow=(7.0, 8.0))
    made = with_arm(both, "left")
    np.testing.assert_array_equal(made.points[ELBOW["left"]], (7, 8))
    np.testing.assert_array_equal(made.points[WRIST["left"]], (100, 100))
    assert lacks_arm(both, "left") and not lacks_arm(made, "left")
    own = with_arm(pose(**hand(), wrist=(101.0, 100.0)), "left")
    np.testing.assert_array_equal(own.points[WRIST["left"]], (101, 100))


def test_other_knuckles_serve_where_the_middle_one_is_missing():
    points = hand()
    del points["hand_9"]
    elbow = elbow_of(pose(**points))
    along = np.array([100, 100]) - np.mean([(95, 70), (103, 70), (107, 70)], 0)
    np.testing.assert_allclose((elbow - (100, 100)) / np.hypot(*(elbow - (100, 100))), along / np.hypot(*along))


@pytest.mark.parametrize("gone", [["hand_0"], ["hand_9", "hand_5", "hand_13", "hand_17"]], ids=["wrist", "knuckles"])
def test_a_hand_without_a_direction_is_left_alone(gone):
    rest = {f"hand_{i}": (80.0, 60.0 + i) for i in (2, 3, 4, 6, 7, 8)}
    person = pose(**{name: place for name, place in (hand() | rest).items() if name not in gone})
    assert lacks_arm(person, "left") and with_arm(person, "left") is None
    flat = pose(**(hand(knuckle=(100.0, 100.0)) | rest))
    assert with_arm(flat, "left") is None


def test_few_points_are_no_hand():
    assert not lacks_arm(pose(hand_0=(1.0, 1.0), hand_9=(2.0, 2.0)), "left")


@settings(deadline=None)
@given(PLACE, PLACE, st.floats(-3.2, 3.2), st.floats(5, 80), st.floats(5, 80))
def test_within_reach_is_the_nearest_point_that_both_bones_reach(shoulder, wrist, angle, upper_arm, forearm):
    wanted = wrist + forearm * np.array([np.cos(angle), np.sin(angle)])
    found = within_reach(wanted, shoulder, wrist, upper_arm, forearm)
    apart = np.hypot(*(wrist - shoulder))
    if apart >= upper_arm + forearm:
        np.testing.assert_allclose(found, (shoulder * forearm + wrist * upper_arm) / (upper_arm + forearm), atol=1e-9)
        return
    assert np.hypot(*(found - shoulder)) <= upper_arm + 1e-6 and np.hypot(*(found - wrist)) <= forearm + 1e-6
    limits = [
        {"type": "ineq", "fun": lambda p, c=centre, r=radius: r**2 - ((p - c) ** 2).sum()}
        for centre, radius in ((shoulder, upper_arm), (wrist, forearm))
    ]
    best = scipy.optimize.minimize(
        lambda p: ((p - wanted) ** 2).sum(), (shoulder + wrist) / 2, constraints=limits, method="SLSQP"
    )
    if best.success and min(limit["fun"](best.x) for limit in limits) > -1e-6:
        assert np.hypot(*(found - wanted)) <= np.hypot(*(best.x - wanted)) + 1e-3


@settings(deadline=None)
@given(st.data())
def test_a_made_up_elbow_is_in_reach_of_a_known_shoulder(data):
    left, right, wrist, knuckle = (data.draw(PLACE) for _ in range(4))
    if np.hypot(*(wrist - knuckle)) < 0.1 or np.hypot(*(left - right)) < 0.1:
        return
    person = pose(**hand(tuple(wrist), tuple(knuckle)), shoulder=tuple(left), r_shoulder=tuple(right))
    elbow = elbow_of(person)
    forearm = np.hypot(*(left - right)) * 0.146 / 0.259
    upper_arm = forearm * 0.186 / 0.146
    apart = np.hypot(*(wrist - left))
    stretch = max(1.0, apart / (upper_arm + forearm))
    assert np.hypot(*(elbow - wrist)) <= stretch * forearm * (1 + 1e-9) + 1e-6
    assert np.hypot(*(elbow - left)) <= stretch * upper_arm * (1 + 1e-9) + 1e-6
    assert SHOULDERS == (5, 6) and SIDES == ("left", "right")
