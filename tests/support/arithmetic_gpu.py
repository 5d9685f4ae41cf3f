"""The arithmetic model on a stand-in for a GPU, and the same on the host."""

from __future__ import annotations

from typing import Any

from support.arithmetic_model import FUNCTIONS, SETTINGS, spec, tokenizer
from support.fake_cuda import FakeCuda
from support.fake_engine import FakeEngine
from support.fake_stream_engine import FakeStreamEngine

from handfirst.engines.cuda.lane import Lane
from handfirst.runtime.systems.two_stage.system import TwoStage

LOOPING = ("hand_unet", "controlnet", "body_unet")


class World:
    """The arithmetic model over a fake GPU, whose networks' parts lie on its stream."""

    def __init__(self, captured: bool, **functions: Any) -> None:
        self.cuda = FakeCuda()
        self.lane = Lane(self.cuda, self.cuda.stream())
        engines = {role: FakeEngine(spec(role), role, functions.get(role, FUNCTIONS[role])) for role in FUNCTIONS}
        self.on_stream = {role: FakeStreamEngine(engines[role], self.lane, captured) for role in LOOPING}
        self.model = TwoStage(SETTINGS, {**engines, **self.on_stream}, tokenizer())


def plain() -> TwoStage:
    engines = {role: FakeEngine(spec(role), role, function) for role, function in FUNCTIONS.items()}
    return TwoStage(SETTINGS, engines, tokenizer())
