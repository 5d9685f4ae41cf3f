"""Every system tells whoever serves it all that is asked (SystemModule): a type checker does not see the registry."""

from __future__ import annotations

import importlib

import pytest

from handfirst.runtime.system import SystemModule
from handfirst.runtime.systems import SYSTEMS

ASKED = sorted(name for name in {*vars(SystemModule), *SystemModule.__annotations__} if not name.startswith("_"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_tells_all_that_is_asked(name: str) -> None:
    module = importlib.import_module(SYSTEMS[name])
    assert {"JOBS", "LABELS", "runs", "hand_limits", "sheet"} <= set(ASKED)
    assert [asked for asked in ASKED if not hasattr(module, asked)] == []
