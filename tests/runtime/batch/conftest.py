"""What the tests of jobs share."""

from __future__ import annotations

import pytest
from support.jobs_in_files import POSE


@pytest.fixture
def folder(tmp_path):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(POSE.read_bytes() + b" " * (name == "b.json"))
    return tmp_path
