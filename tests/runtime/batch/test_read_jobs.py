"""The same jobs from every format, what makes jobs the same, and what becomes of lines that are none."""

import csv
import hashlib
import json
import os

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from support.jobs_in_files import POSE, json_lines

from handfirst.runtime.batch import records
from handfirst.runtime.batch.job import BadJob, Job
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.errors import BatchError, PoseError, RequestError
from handfirst.runtime.pose.formats import pose_files
from handfirst.runtime.pose.read import read_pose
from handfirst.runtime.pose.write import write_pose
from handfirst.runtime.systems.two_stage.job import JOBS

GOOD = {"pose": "a.json", "prompt": "x"}
TABLE = [
    {"id": "first", "pose": "a.json", "prompt": 'a "red", man', "seed": 7, "steps": 4, "guidance": 1.5},
    {"id": None, "pose": "a.json", "prompt": "a person\nwith two lines", "seed": None, "steps": None, "guidance": None},
    {"id": "17", "pose": "b.json", "prompt": "ein Mann mit Hüten 手", "seed": 2**62, "steps": 4, "guidance": 0.0},
]


def written(folder):
    """The table in every format."""
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, TABLE[0])
        writer.writeheader()
        writer.writerows(TABLE)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(TABLE), folder / "t.parquet")
    for name, value in (("list", TABLE), ("named", {"jobs": TABLE})):
        (folder / f"{name}.json").write_text("\ufeff" + json.dumps(value, indent=1), encoding="utf-8")
    json_lines(folder / "lines.json", TABLE)
    tables = [folder / "t.csv", folder / "t.parquet"]
    return [json_lines(folder / "t.jsonl", TABLE), *tables, *sorted(folder.glob("[ln]*.json"))]


def test_every_format_gives_the_same_jobs(folder):
    read = [read_jobs(JOBS, path) for path in written(folder)]
    for jobs in read:
        assert all(isinstance(job, Job) for job in jobs)
        assert [job.id for job in jobs][::2] == ["first", "17"]
        assert [job.key for job in jobs] == [job.key for job in read[0]]
        assert [job.fields for job in jobs] == [job.fields for job in read[0]]
        assert [job.files["pose"] for job in jobs] == [folder / "a.json", folder / "a.json", folder / "b.json"]
    first, second, third = (job.request() for job in read[0])
    assert (first.prompt, first.seed, first.steps, first.guidance) == ('a "red", man', 7, 4, 1.5)
    assert (second.seed, second.steps, second.guidance) == (0, None, None)
    assert first.size is second.size is None
    assert (third.prompt, third.seed, third.guidance) == ("ein Mann mit Hüten 手", 2**62, 0.0)


def test_parquet_as_pandas_leaves_it_whole_numbers_with_gaps_are_floats(folder):
    table = pyarrow.table({"pose": ["a.json", "a.json"], "prompt": ["x", "y"], "seed": [3.0, None]})
    pyarrow.parquet.write_table(table, folder / "t.parquet")
    assert [job.fields.seed for job in read_jobs(JOBS, folder / "t.parquet")] == [3, 0]


def test_a_pose_may_stand_in_the_line_itself(folder):
    pose = json.loads(POSE.read_text())
    path = json_lines(folder / "t.jsonl", [{"pose": pose, "prompt": "x"}, {"pose": "a.json", "prompt": "x"}])
    inline, named = read_jobs(JOBS, path)
    np.testing.assert_array_equal(inline.request().pose.people[0].points, named.request().pose.people[0].points)


def test_a_folder_of_poses_with_a_file_of_prompts(folder):
    (folder / "prompts.txt").write_text("\ufeffa man\n\n  a woman  \n", encoding="utf-8")
    (folder / "notes.txt").write_text("no pose")
    jobs = read_jobs(JOBS, folder, folder / "prompts.txt", {"seed": 9, "steps": 3})
    pairs = [("a", "a man"), ("a", "a woman"), ("b", "a man"), ("b", "a woman")]
    assert [(job.files["pose"].stem, job.fields.prompt) for job in jobs] == pairs
    assert {(job.fields.seed, job.fields.steps) for job in jobs} == {(9, 3)}
    assert len({job.id for job in jobs}) == 4


def test_a_folder_takes_every_kind_of_pose(folder):
    write_pose(read_pose(folder / "a.json"), folder / "c.NPZ", "handfirst")
    (folder / "c.npy").write_bytes(b"x")
    (folder / "a.png").write_bytes(b"a drawing of a")
    (folder / ".hidden.json").write_text("{}")
    (folder / "prompts.txt").write_text("a man")
    poses = [job.files["pose"].name for job in read_jobs(JOBS, folder, folder / "prompts.txt")]
    assert poses == ["a.json", "b.json", "c.NPZ", "c.npy"]
    assert [path.name for path in pose_files(folder)[1]] == ["a.png", "prompts.txt"]
    for path in (*folder.glob("*.json"), *folder.glob("c.*")):
        path.unlink()
    assert [path.name for path in pose_files(folder)[0]] == ["a.png"]  # now a photo


def test_defaults_give_way_to_what_a_job_says(folder):
    path = json_lines(
        folder / "t.jsonl", [{"pose": "a.json", "prompt": "x"}, {"pose": "a.json", "prompt": "x", "seed": 4}]
    )
    assert [job.fields.seed for job in read_jobs(JOBS, path, None, {"seed": 1})] == [1, 4]


class TestSame:
    """Two runs' jobs are the same if their keys are."""

    def key(self, folder, **fields):
        (job,) = read_jobs(JOBS, json_lines(folder / "t.jsonl", [{"pose": "a.json", "prompt": "x", **fields}]))
        return job.key

    def test_the_order_of_fields_and_written_defaults_do_not_matter(self, folder):
        assert self.key(folder) == self.key(folder, feather=None, blend=None, seed=0, negative_prompt="", steps=None)
        (other,) = read_jobs(JOBS, json_lines(folder / "t.jsonl", [{"prompt": "x", "pose": "a.json"}]))
        assert other.key == self.key(folder)

    @pytest.mark.parametrize(
        "change", [{"seed": 1}, {"prompt": "y"}, {"steps": 3}, {"eta": 0.5}, {"blend": "naive"}, {"pose": "b.json"},
                   {"feather": 1.0}, {"hand_prompt": "z"}, {"negative_prompt": "z"}, {"size": "9x9"}, {"guidance": 2},
                   {"canvas": "64x48"}, {"frame": 1}, {"image": "1"}]
    )  # fmt: skip
    def test_every_field_matters(self, folder, change):
        assert self.key(folder, **change) != self.key(folder)

    def test_a_canvas_is_the_same_however_it_is_written(self, folder):
        assert self.key(folder, canvas=[640, 512]) == self.key(folder, canvas="640X512 ")
        assert self.key(folder, canvas=[512, 640]) != self.key(folder, canvas="640x512")
        assert self.key(folder, canvas=None) == self.key(folder)

    def test_the_pose_counts_by_its_content_not_by_its_name(self, folder):
        before = self.key(folder)
        (folder / "c.json").write_bytes((folder / "a.json").read_bytes())
        assert self.key(folder, pose="c.json") == before
        (folder / "a.json").write_bytes(POSE.read_bytes() + b"\n")
        assert self.key(folder) != before

    def test_the_key_is_a_sha256_of_what_it_says(self, folder):
        content = {
            "version": 1, "pose": hashlib.sha256(POSE.read_bytes()).hexdigest(), "prompt": "x", "negative_prompt": "",
            "hand_prompt": None, "seed": 0, "steps": None, "guidance": None, "hand_guidance": None, "eta": None,
            "blend": None, "feather": None, "size": None,
        }  # fmt: skip
        assert self.key(folder) == hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


CANVAS = "canvas: expected WIDTHxHEIGHT up to 16384, such as 640x512 or [640, 512], got "
BAD_LINES = [
    *(
        (f'{{"pose": "a.json", "prompt": "y", "canvas": {said}}}', "line 2", CANVAS + got)
        for said, got in (
            ('"big"', "'big'"), ("640", "640"), ("[640]", "[640]"), ("[640, 512, 3]", "[640, 512, 3]"),
            ("[640, true]", "[640, True]"), ("[640.5, 512]", "[640.5, 512]"), ("[0, 512]", "[0, 512]"), ("[]", "[]"),
            ('"640x20000"', "'640x20000'"), ("[-640, 512]", "[-640, 512]"), ('{"width": 640}', "{'width': 640}"),
        )
    ),
    ("{", "line 2", "not valid JSON"),
    ('{"pose": "a.json", "prompt": "x", "guidance": NaN}', "line 2", "NaN is no number of JSON"),
    ("[1, 2]", "line 2", "expected a JSON object, got list"),
    ("[" * 5000, "line 2", "nested too deeply"),
    ('{"prompt": "x"}', "line 2", "pose: expected the path"),
    ('{"pose": 3, "prompt": "x"}', "line 2", "got int"),
    ('{"pose": "a.json"}', "line 2", "prompt: expected one, got none"),
    ('{"pose": "nope.json", "prompt": "x", "id": "n"}', "n", "'nope.json' is no file"),
    ('{"pose": "/dev/zero", "prompt": "x"}', "line 2", "'/dev/zero' is no file"),
    ('{"pose": "a\\u0000.json", "prompt": "x"}', "line 2", "is no file"),
    ('{"pose": "' + 5000 * "n" + '", "prompt": "x"}', "line 2", "pose:"),
    ('{"pose": "a.json", "prompt": "y", "sede": 1}', "line 2", "unknown field 'sede'"),
    ('{"pose": "a.json", "prompt": "y", "seed": "soon", "id": "s"}', "s", "seed: input should be a valid integer"),
    ('{"pose": "a.json", "prompt": "y", "seed": true}', "line 2", "seed: expected a number, got True"),
    ('{"pose": "a.json", "prompt": "y", "blend": "none"}', "line 2", "blend: input should be 'expansion'"),
    ('{"pose": "a.json", "prompt": "y", "id": "../up"}', "line 2", "id: expected up to 100 letters"),
    ('{"pose": "a.json", "prompt": "y", "id": "FIRST"}', "line 2", "id: 'FIRST' is that of line 1"),
    ('{"pose": "a.json", "prompt": "y", "seed": ' + 5000 * "9" + "}", "line 2", "not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "reason"), BAD_LINES)
def test_a_bad_line_says_why_and_hurts_no_other(folder, line, name, reason):
    path = folder / "t.jsonl"
    path.write_text(f"{json.dumps({**GOOD, 'id': 'first'})}\n{line}\n\n{json.dumps(GOOD)}\n", encoding="utf-8")
    first, bad, last = read_jobs(JOBS, path)
    assert isinstance(first, Job)
    assert isinstance(last, Job)
    assert isinstance(bad, BadJob)
    assert (bad.id, bad.line, last.line) == (name, 2, 4)
    assert reason in bad.reason
    assert "\n" not in bad.reason
    assert len(bad.reason) < 500


def test_bytes_that_are_no_text_spoil_their_line_only(folder):
    (folder / "t.jsonl").write_bytes(b'{"pose": "a.json", "prompt": "\xff"}\n' + json.dumps(GOOD).encode())
    bad, good = read_jobs(JOBS, folder / "t.jsonl")
    assert bad.reason == "expected text in UTF-8, got other bytes"
    assert isinstance(good, Job)
    (folder / "t.csv").write_bytes(b"pose,prompt\na.json,\xff\na.json,x\na.json\n")
    bad, good, short = read_jobs(JOBS, folder / "t.csv")
    assert bad.reason == "expected text in UTF-8, got other bytes; save the table as CSV in UTF-8"
    assert isinstance(good, Job)
    assert (short.reason, short.line) == ("expected 2 cells, got 1; is one missing?", 4)


def test_an_endless_line_is_not_read_into_memory(folder, monkeypatch):
    monkeypatch.setattr(records, "LONGEST_LINE", 100)
    (folder / "t.jsonl").write_text(json.dumps(GOOD) + "\n" + "x" * 1000 + "\n" + json.dumps({**GOOD, "seed": 1}))
    first, bad, last = read_jobs(JOBS, folder / "t.jsonl")
    assert isinstance(first, Job)
    assert (bad.line, last.line) == (2, 3)
    assert "in a line" in bad.reason


def test_a_json_list_of_jobs(folder):
    entries = [3, None, [GOOD], {**GOOD, "guidance": float("nan")}, {"prompt": "x"}, {**GOOD, "id": "a", "seed": None}]
    (folder / "t.json").write_text(json.dumps(entries))
    *bad, good = read_jobs(JOBS, folder / "t.json")
    assert [job.reason.partition(";")[0] for job in bad] == [
        "expected a JSON object, got int",
        "expected a JSON object, got NoneType",
        "expected a JSON object, got list",
        "not valid JSON (NaN and Infinity are no numbers of JSON)",
        "pose: expected the path of a pose file, or what is in one, got none",
    ]
    assert (good.id, good.line, good.fields.seed) == ("a", 6, 0)
    (folder / "t.json").write_text(json.dumps(GOOD, indent=1))
    assert [job.fields.prompt for job in read_jobs(JOBS, folder / "t.json")] == ["x"]


def test_of_two_equal_jobs_the_second_has_failed(folder):
    first, second = read_jobs(JOBS, json_lines(folder / "t.jsonl", [GOOD, GOOD]))
    assert isinstance(first, Job)
    assert second.reason == "the same job as line 1; give it another seed"
    named = read_jobs(JOBS, json_lines(folder / "t.jsonl", [GOOD, {**GOOD, "id": "again"}]))
    assert all(isinstance(job, Job) for job in named)


def test_ranges_and_poses_show_when_the_request_is_made(folder):
    (folder / "c.json").write_text("{}")
    jobs = read_jobs(JOBS, json_lines(folder / "t.jsonl", [{**GOOD, "seed": -1}, {**GOOD, "pose": "c.json"}]))
    with pytest.raises(RequestError, match="seed: expected a whole number"):
        jobs[0].request()
    with pytest.raises(PoseError, match="not a pose"):
        jobs[1].request()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.txt", b"x", "ends in .jsonl, .ndjson, .json, .csv, .tsv, .parquet"),
        ("t.jsonl", b" \n\n", "expected jobs, found none"),
        ("t.jsonl", None, "cannot be read"),
        ("t.csv", b"pose|prompt\n", "unknown column 'pose|prompt'"),
        ("t.csv", b"pose;prompt\n", "expected jobs, found none"),
        ("t.csv", b"pose,prompt,pose\n", "every column once"),
        ("t.csv", b"pose,seed\n", "expected a column 'prompt'"),
        ("t.csv", b"", "expected a column 'pose', got none"),
        ("t.json", b"[]", "expected jobs, found none"),
        ("t.json", b" ", "expected jobs, found none"),
        ("t.json", b"3", "expected a list of jobs, got int"),
        ("t.json", b'[{"pose": "a.json",]', "is not valid JSON"),
        ("t.json", b"[" * 100_000, "is nested too deeply"),
        ("t.json", b'{"jobs": 3}', "expected a list of jobs, got int"),
        ("t.json", b"\xff\xfe", "expected text in UTF-8"),
        ("t.json", b'{"pose": {"0": "a.json"}, "prompt": {"0": "x"}}', "to_json(..., orient='records')"),
        ("t.parquet", b"PAR1 but not really PAR1", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_is_none_of_jobs_is_an_error(folder, name, content, message):
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(BatchError) as caught:
        read_jobs(JOBS, folder / name)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["t.jsonl", "t.json", "t.csv", "t.parquet"])
def test_pipes_are_not_waited_for(folder, name):
    os.mkfifo(folder / name)
    with pytest.raises(BatchError, match="no plain file"):
        read_jobs(JOBS, folder / name)
    with pytest.raises(BatchError, match="no plain file"):
        read_jobs(JOBS, folder, folder / name)


def test_folders_and_prompts_go_together(folder):
    with pytest.raises(BatchError, match="add --prompts"):
        read_jobs(JOBS, folder)
    with pytest.raises(BatchError, match="--prompts goes with a folder"):
        read_jobs(JOBS, folder / "a.json", folder / "prompts.txt")
    with pytest.raises(BatchError, match="cannot be read"):
        read_jobs(JOBS, folder, folder / "prompts.txt")
    (folder / "prompts.txt").write_text(" \n")
    with pytest.raises(BatchError, match="found none"):
        read_jobs(JOBS, folder, folder / "prompts.txt")


def test_a_name_that_stands_twice_is_a_failed_job(folder):
    lines = '{"pose": "a.json", "prompt": "x", "seed": 1, "seed": 2}\n{"pose": "a.json", "prompt": "x"}\n'
    (folder / "t.jsonl").write_text(lines)
    bad, good = read_jobs(JOBS, folder / "t.jsonl")
    assert isinstance(bad, BadJob) and "'seed' stands twice" in bad.reason and isinstance(good, Job)
    (folder / "t.json").write_text(f"[{lines.splitlines()[0]}]")
    with pytest.raises(BatchError, match="'seed' stands twice"):
        list(read_jobs(JOBS, folder / "t.json"))


def test_a_prompt_ends_at_a_line_end_and_nowhere_else(folder):
    (folder / "p.txt").write_bytes("a man\r\nb woman\u2028with hat\rc".encode())
    (folder / "b.json").unlink()
    prompts = [job.request().prompt for job in read_jobs(JOBS, folder, folder / "p.txt")]
    assert prompts == ["a man", "b woman\u2028with hat", "c"]
