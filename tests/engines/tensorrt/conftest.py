"""A machine with TensorRT, once for each API."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.trt_world import World


@pytest.fixture(params=[10, 11], ids=["TensorRT 10", "TensorRT 11"])
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(request.param, tmp_path / "cache", monkeypatch)
