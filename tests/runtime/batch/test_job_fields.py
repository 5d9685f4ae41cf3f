"""Fields of a job that say which part of a pose file is meant, and how large the picture is; gaps in them."""

import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from support.jobs_in_files import json_lines

from handfirst.engines.errors import UserError
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.systems.two_stage.job import JOBS

GOOD = {"pose": "a.json", "prompt": "x"}


def test_a_frame_and_an_image_of_a_pose_file(folder):
    frames = [{"people": [], "canvas_width": 8, "canvas_height": 8}, json.loads((folder / "a.json").read_text())]
    (folder / "video.json").write_text(json.dumps(frames))
    video = {"pose": "video.json", "prompt": "x"}
    rows = [video, {**video, "frame": 1}, {**video, "frame": 3}]
    second, first, none = read_jobs(JOBS, json_lines(folder / "t.jsonl", rows))
    assert second.request().pose.people and "frame 2 is read" in second.request().pose.warnings[0]
    with pytest.raises(UserError, match="frame 1 of 2 has nobody"):
        first.request()
    with pytest.raises(UserError, match="no frame 3 in it"):
        none.request()
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 99, "height": 88 + i} for i in (1, 2)]
    person = {"keypoints": [10, 20, 2] * 17}
    data = {"images": images, "annotations": [{"image_id": i, **person} for i in (1, 2)]}
    rows = [{"pose": data, "prompt": "x", "image": name} for name in (2, "2.jpg", "1")]
    heights = [job.request().pose.height for job in read_jobs(JOBS, json_lines(folder / "t.jsonl", rows))]
    assert heights == [90, 90, 89]


def test_structs_of_parquet_hold_null_for_what_others_have(folder):
    """Poses of two formats in one column: every row has the names of both."""
    pose = json.loads((folder / "a.json").read_text())
    marks = {"right_hand_landmarks": [{"x": 0.3 + i / 100, "y": 0.5} for i in range(21)], "width": 640, "height": 480}
    rows = [{"pose": pose, "prompt": "x"}, {"pose": marks, "prompt": "x"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "t.parquet")
    first, second = (job.request().pose for job in read_jobs(JOBS, folder / "t.parquet"))
    np.testing.assert_array_equal(first.people[0].points, read_pose(folder / "a.json").people[0].points)
    np.testing.assert_allclose(second.people[0].right_hand[3], [0.33 * 640, 240])


def test_a_canvas_in_every_format(folder):
    rows = [{**GOOD, "canvas": "640x512"}, {**GOOD, "canvas": None}]
    (folder / "t.csv").write_text("pose,prompt,canvas\na.json,x,640x512\na.json,x,\n")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "t.parquet")
    listed = [{**row, "canvas": row["canvas"] and [640, 512]} for row in rows]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(listed), folder / "l.parquet")
    files = [json_lines(folder / "t.jsonl", rows), json_lines(folder / "l.jsonl", listed)]
    for path in (*files, folder / "t.csv", folder / "t.parquet", folder / "l.parquet"):
        first, second = read_jobs(JOBS, path)
        assert (first.request().size, second.request().size) == ((640, 512), None)
    assert read_jobs(JOBS, folder / "t.csv", None, {"canvas": "64x48"})[1].request().size == (64, 48)


def test_the_usual_size_of_a_batch_is_for_poses_that_do_not_say_theirs(folder):
    pose = json.loads((folder / "a.json").read_text())
    own = (pose["canvas_width"], pose["canvas_height"])
    bare = {"people": pose["people"]}
    rows = [
        GOOD,
        {"pose": bare, "prompt": "x"},
        {"pose": bare, "prompt": "x", "size": "70x60"},
        {**GOOD, "size": "70x60"},
    ]
    jobs = read_jobs(JOBS, json_lines(folder / "t.jsonl", rows), defaults={"default_size": "90x80"})
    poses = [job.request().pose for job in jobs]
    assert [(pose.width, pose.height) for pose in poses] == [own, (90, 80), (70, 60), (70, 60)]
    assert any("not the usual 90 x 80" in line for line in poses[0].warnings)
    assert any("as was asked for" in line for line in poses[3].warnings)
    (plain, *_) = read_jobs(JOBS, json_lines(folder / "t.jsonl", rows))
    assert plain.key != jobs[0].key
