"""Files of jobs and the poses that they name."""

from __future__ import annotations

import json
from pathlib import Path

from handfirst.runtime.systems import two_stage

POSE = Path(two_stage.__file__).with_name("demo_pose.json")


def json_lines(path, values):
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path
