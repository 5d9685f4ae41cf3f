"""Spoilt and correct held-out hands, and what is made of each: the pictures that repair.py judges.

A folder a hand, each whole or not there: run again it goes on where it stopped.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

import handfirst
from handfirst.engines.files import atomic_write_bytes
from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pictures import encode
from handfirst.runtime.pose.person import Pose
from handfirst.runtime.systems.part_refiner.crops import Crop, paste
from handfirst.runtime.systems.part_refiner.request import RepairRequest
from handfirst.runtime.systems.two_stage.request import Request
from handfirst.training.data.example import Example
from handfirst.training.data.procedural.malformed import Faults, draw_faults
from handfirst.training.data.procedural.sample import Sample
from handfirst.training.data.procedural.twice import sample_pair
from handfirst.training.data.record import to_person

Rgb = NDArray[np.uint8]
Kind = Literal["spoilt", "correct"]
SIZE = 128
FIRST: dict[Kind, int] = {"spoilt": 85_000_000, "correct": 86_000_000}
"""First seeds: no training, and no look at one, draws them."""
ARMS = ("given", "repaired", "guarded", "two_stage", "render")
"""The photo; as the system repairs it; the same where a hand that scores lower stays as it was; a hand of the two-stage
model pasted at its place; the true render."""
STEPS = ("before", "ring", "after")
FACTS = "facts.json"
DIFFERENT, LEAST = 24, 250
"""A spoilt hand is one of which so many pixels differ by more levels than that: some faults lie behind the hand."""
DISC, BARE = 4.0, 15.0
"""Radius in pixels of what is looked at of the wrist, and most that a bare one's colour differs from its hand's."""


@dataclass(frozen=True)
class Hand:
    """One held-out hand; it is rendered when something of it is first asked for.

    A spoilt one differs from its true render in nothing but its faults. The number is its place among all seeds.
    """

    kind: Kind
    number: int

    @property
    def key(self) -> str:
        """The name of its folder."""
        return f"{self.kind}-{self.number:03d}"

    @property
    def faults(self) -> Faults:
        """What is wrong with it, or would be."""
        return draw_faults(np.random.default_rng(self._seed))

    @cached_property
    def true(self) -> Example:
        """The true render; its other one is the spoilt hand."""
        return sample_pair(self._seed, SIZE, same=True, faults=self.faults)

    @property
    def photo(self) -> Rgb:
        """What is to be repaired."""
        assert self.true.other is not None
        return self.true.other.rgb if self.kind == "spoilt" else self.true.rgb

    @property
    def shows(self) -> bool:
        """Whether its faults can be seen."""
        assert self.true.other is not None
        apart = np.abs(self.true.rgb.astype(np.int64) - self.true.other.rgb).max(-1)
        return bool((apart > DIFFERENT).sum() >= LEAST)

    @property
    def sample(self) -> Sample:
        """The truth as judges are given it."""
        true = self.true
        nothing = np.zeros(true.hands.shape, np.float32)
        return Sample(
            rgb=true.rgb, person_mask=true.hands > 0, hands=true.hands, depth=nothing, keypoints=true.keypoints,
            point_depths=np.zeros(len(true.keypoints), np.float32), caption=true.caption, attributes=true.attributes,
            seed=self._seed,
        )  # fmt: skip

    @property
    def pose(self) -> Pose:
        """True key points."""
        return Pose((to_person(self.true.keypoints),), SIZE, SIZE)

    @property
    def _seed(self) -> int:
        return FIRST[self.kind] + self.number


def make(hand: Hand, refiner: Any, two_stage: Any, work: Path) -> None:
    """All pictures of a hand and the facts about them, the facts last."""
    folder = work / hand.key
    if (folder / FACTS).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    request = RepairRequest(hand.photo, hand.pose, seed=hand.number, check=True)
    guarded = refiner.render(request)
    (part,) = guarded.parts
    repaired = refiner.render(replace(request, check=False)) if part.kept else guarded
    pasted = two_stage_hand(two_stage, hand)
    pictures = {
        "given": hand.photo,
        "repaired": repaired.image,
        "guarded": guarded.image,
        "render": hand.true.rgb,
        **({} if pasted is None else {"two_stage": pasted}),
        "before": part.before,
        "ring": np.repeat(part.mask[..., None].astype(np.uint8) * 255, 3, 2),
        "after": part.after,
    }
    for name, picture in pictures.items():
        atomic_write_bytes(folder / f"{name}.png", encode(picture))
    facts = {
        "faults": hand.faults.words if hand.kind == "spoilt" else "none",
        "kept": part.kept,
        "said": list(guarded.warnings),
        "seconds": guarded.seconds,
        "changed_outside": int((repaired.image != hand.photo)[~repaired.mask].sum()),
        "delta_e": {name: skin_distance(pictures[name], hand, repaired.mask) for name in ARMS if name in pictures},
    }
    atomic_write_bytes(folder / FACTS, json.dumps(facts, indent=1).encode())


def two_stage_hand(model: Any, hand: Hand) -> Rgb | None:
    """The photo with a hand of the two-stage model pasted at its place; None without such a model."""
    if model is None:
        return None
    request = Request(pose=hand.pose, prompt=hand.true.caption, seed=hand.number)
    (drawn,) = model.first_half([request]).hands[0]
    body = model.settings.body
    to_canvas = Similarity(body.width / SIZE, 0.0, 0.0)  # the canvas is a square, as the photo is
    back = to_canvas.then(drawn.crop.similarity).inverse()
    crop = Crop(back.dx, back.dy, back.scale * len(drawn.image), len(drawn.image))
    return paste(hand.photo, crop, drawn.image, drawn.mask, 1)[0]


def skin_distance(picture: Rgb, hand: Hand, changed: NDArray[np.bool_]) -> float | None:
    """CIE76 delta E between the mean colours of the hand and of its bare wrist, which no repair has touched.

    The wrist is a disc on the forearm's line, the first that lies in the photo and outside of what may change. None
    where a sleeve or the photo's edge is there: where the true render's own wrist differs from its hand by more than
    BARE.
    """
    disc = wrist(hand, changed)
    inside = (hand.true.hands > 0) & changed
    if disc is None or not inside.any() or _apart(hand.true.rgb, disc, inside) > BARE:
        return None
    return round(_apart(picture, disc, inside), 3)


def wrist(hand: Hand, changed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """bool [S, S], or None."""
    side: Literal["left", "right"] = "left" if hand.true.attributes["side"] == "left" else "right"
    points = to_person(hand.true.keypoints).hand(side)
    along = points[0] - points[9]
    along = along / max(float(np.linalg.norm(along)), 1e-9)
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    for distance in np.arange(0, SIZE, 1.0):
        cx, cy = points[0] + distance * along
        if not (DISC <= cx <= SIZE - DISC and DISC <= cy <= SIZE - DISC):
            return None
        disc = (x - cx) ** 2 + (y - cy) ** 2 < DISC**2
        if not changed[disc].any():
            return disc
    return None


def _apart(picture: Rgb, a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.linalg.norm(lab[a].mean(0) - lab[b].mean(0)))


def chosen(kind: Kind, count: int, work: Path) -> list[Hand]:
    """The first hands of a kind; of spoilt ones the first that show it, whose numbers are kept in a file."""
    if kind == "correct":
        return [Hand(kind, number) for number in range(count)]
    file = work / "spoilt.json"
    numbers: list[int] = json.loads(file.read_text()) if file.exists() else []
    while len(numbers) < count:
        following = itertools.count(numbers[-1] + 1 if numbers else 0)
        numbers.append(next(number for number in following if Hand(kind, number).shows))
        atomic_write_bytes(file, json.dumps(numbers).encode())
    return [Hand(kind, number) for number in numbers[:count]]


def make_all(
    kinds: dict[Kind, int], bundle: Path, two_stage: Path | None, work: Path, steps: dict[str, int],
    update: Callable[[str], None],
) -> list[Hand]:  # fmt: skip
    """Every hand, with its pictures in `work`; models are opened only where something is missing."""
    hands = [hand for kind, count in kinds.items() for hand in chosen(kind, count, work)]
    if all((work / hand.key / FACTS).exists() for hand in hands):
        return hands
    refiner = handfirst.open(bundle, engine="cpu", threads=1)
    drawer = None if two_stage is None else handfirst.open(two_stage, engine="cpu", threads=1)
    asked = _Asking(refiner, steps)
    for hand in hands:
        make(hand, asked, drawer, work)
        update(hand.key)
    return hands


@dataclass(frozen=True)
class _Asking:
    """A refiner whose requests say how many steps."""

    model: Any
    steps: dict[str, int]

    def render(self, request: RepairRequest) -> Any:
        return self.model.render(replace(request, **self.steps))
