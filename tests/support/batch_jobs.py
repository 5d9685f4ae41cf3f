"""Jobs for the arithmetic model, in memory and in files, and what a folder of results holds."""

import hashlib
import json
from pathlib import Path

import numpy as np
from support.arithmetic_model import person

from handfirst.runtime.batch.job import Done, Painted, content_key
from handfirst.runtime.batch.job import Job as _Job
from handfirst.runtime.systems.two_stage.job import JOBS, JobFields


def openpose(*people):
    """What a pose file of the arithmetic model's canvas holds."""
    order = [0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]

    def flat(points):
        return [v for p in points for v in ((0, 0, 0) if p is None or np.isnan(p[0]) else (*map(float, p), 1))]

    def entry(points):
        return {
            "pose_keypoints_2d": flat([None if i is None else points[i] for i in order]),
            "hand_left_keypoints_2d": flat(points[91:112]),
            "hand_right_keypoints_2d": flat(points[112:133]),
        }

    made = [entry(each.points) for each in (people or (person(),))]
    return {"people": made, "canvas_width": 64, "canvas_height": 64}


def job(name, people=(), **fields):
    """One that is well formed."""
    whole = JobFields(**{"prompt": "a red man", **fields})
    pose = openpose(*people)
    return _Job(name, content_key({"pose": str(pose)}, whole), 1, JOBS, {"pose": pose}, whole)


def done(name, data=None, **fields):
    """One that is over."""
    made = job(name, **fields)
    seconds = {"hands": 0.25, "total": 0.5}
    return Done(made, Painted(data or name.encode(), made.fields.seed, seconds, 1, ("small",)))


def lines(folder):
    """The ledger, read by hand."""
    return [json.loads(line) for line in (Path(folder) / "results.jsonl").read_text().splitlines()]


def assert_whole(folder, names, suffix="png"):
    """Every job has one line and one picture whose bytes are those of the line, and there is nothing else."""
    entries = lines(folder)
    assert sorted(entry["id"] for entry in entries) == sorted(names)
    for entry in entries:
        assert entry["status"] == "done"
        assert entry["files"] == [f"{entry['id']}.{suffix}"]
        data = (folder / entry["files"][0]).read_bytes()
        assert entry["sha256"] == [hashlib.sha256(data).hexdigest()]
    wanted = {f"{name}.{suffix}" for name in names} | {"batch.json", "results.jsonl"}
    assert {path.name for path in folder.iterdir()} - {".lock"} == wanted
