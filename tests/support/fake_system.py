"""A system that only pretends to paint, and what tests of the command line ask of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from handfirst.engines.choice import Choice
from handfirst.runtime.cli.main import main
from handfirst.runtime.geometry import Similarity
from handfirst.runtime.pose.crop import HandCrop
from handfirst.runtime.systems import two_stage
from handfirst.runtime.systems.two_stage.request import HandResult, Request, Result
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings

POSE = Path(two_stage.__file__).with_name("demo_pose.json")
HEIGHT, WIDTH, HAND = 96, 64, 32


def paint(request: Request) -> Result:
    """A picture whose colours tell its seed, with one square hand."""
    image = np.full((HEIGHT, WIDTH, 3), request.seed % 256, np.uint8)
    canvas = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[10:20, 30:40] = True
    image[mask] = canvas[mask]
    crop = HandCrop(("left",), Similarity(1.0, 0.0, 0.0), HAND, float(HAND))
    hand = HandResult(0, crop, np.full((HAND, HAND, 3), 200, np.uint8), np.ones((HAND, HAND), np.bool_))
    full = Request(**{**vars(request.resolve(TwoStageSettings())), "pose": request.pose.fit(WIDTH, HEIGHT)})
    seconds = {"hands": 0.25, "body": 0.5, "total": 0.8}
    return Result(image, (hand,), canvas, mask, np.zeros((4, 12, 8), np.float32), full, seconds, ("a hand is small",))


class FakeSystem:
    """Two steps of hands, three of the body; remembers what it was asked."""

    bundle = SimpleNamespace(manifest=SimpleNamespace(name="pretend"), digest="0123456789ab" + 52 * "f")
    engine = Choice("cpu", "the only one")

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.opened: tuple[Any, ...] = ()
        self.interrupt = False

    def steps(self, request: Request) -> Iterator[SimpleNamespace]:
        self.asked.append(request)
        stages = [("hands", step, 2) for step in (1, 2)] + [("body", step, 3) for step in (1, 2, 3)]
        for stage, step, total in stages:
            yield SimpleNamespace(stage=stage, step=step, total=total, result=None)
            if self.interrupt:
                raise KeyboardInterrupt
        yield SimpleNamespace(stage="body", step=3, total=3, result=paint(request))

    def render_batch(self, requests: Sequence[Request]) -> list[Result]:
        self.asked += requests
        return [paint(request) for request in requests]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that is left of a command that must fail."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


RENDER = ("render", "--pose", str(POSE), "--prompt", "a person", "--out", "out.png")
