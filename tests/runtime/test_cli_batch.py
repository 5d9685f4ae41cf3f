"""`handfirst batch` over a system that only pretends to paint: what is written, what is said, how it ends."""

import errno
import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from handfirst.engines.bundle import Bundle, demo_bundle_path
from handfirst.engines.choice import Choice
from handfirst.engines.errors import UserError
from handfirst.runtime.batch import ledger, run
from handfirst.runtime.batch.on_ray import Painter
from handfirst.runtime.cli import pipeline
from handfirst.runtime.cli.main import main
from handfirst.runtime.metadata import read
from handfirst.runtime.systems import two_stage

POSE = Path(two_stage.__file__).with_name("demo_pose.json")


class Pretender:
    """Pictures whose colours tell their seeds; remembers the groups that it was asked for."""

    engine = Choice("cpu", "the only one")
    bundle = Bundle.open(demo_bundle_path())

    def __init__(self):
        self.groups = []

    def first_half(self, requests):
        self.groups.append(len(requests))
        return requests

    def second_half(self, drawn):
        def result(seed):
            image = np.full((8, 6, 3), seed, np.uint8)
            told = {"asked": {"seed": seed}, "seconds": {"total": 0.1}, "warnings": ("a hand is small",)}
            return SimpleNamespace(image=image, seed=seed, **told)

        return [result(request.seed) for request in drawn]

    def render_batch(self, requests):
        return self.second_half(self.first_half(requests))


@pytest.fixture
def system(monkeypatch):
    fake = Pretender()
    monkeypatch.setattr(pipeline, "open_pipeline", lambda *given: setattr(fake, "given", given) or fake)
    return fake


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Five jobs; the folder is where the test stands."""
    monkeypatch.chdir(tmp_path)
    Path("pose.json").write_bytes(POSE.read_bytes())
    lines = [json.dumps({"id": f"j{i}", "pose": "pose.json", "prompt": "a person", "seed": i}) for i in range(5)]
    Path("jobs.jsonl").write_text("\n".join(lines))
    return Path("jobs.jsonl")


def model():
    """The embedded one, as a picture names it."""
    return {"name": Pretender.bundle.manifest.name, "digest": Pretender.bundle.digest}


def spoil(jobs):
    jobs.write_text(jobs.read_text() + '\n{"pose": "nope.json", "prompt": "x"}\n{')


BATCH = ("batch", "jobs.jsonl", "-o", "out")


def test_paints_every_job_and_says_so(system, jobs, capsys):
    assert main([*BATCH, "--batch-size", "2", "--engine", "cpu", "--threads", "3"]) == 0
    assert system.groups == [2, 2, 1]
    assert system.given == (None, "cpu", 3, "all")
    for i in range(5):
        assert cv2.imread(f"out/j{i}.png")[0, 0].tolist() == [i, i, i]
    said = capsys.readouterr()
    assert said.err == ""
    first, second = said.out.splitlines()
    assert first == "5 of 5 jobs done, 0 failed, in out"
    assert second.startswith("5 painted now in ")
    line = json.loads(Path("out/results.jsonl").read_text().splitlines()[0])
    assert (line["id"], line["files"], line["seed"], line["batch"]) == ("j0", ["j0.png"], 0, 2)
    assert line["warnings"] == ["a hand is small"]


def test_the_size_of_a_batch_overrides_no_pose(system, jobs, capsys):
    seen = []
    system.first_half = lambda requests: seen.extend(requests) or requests
    pose = json.loads(POSE.read_text())
    bare = json.dumps({"pose": {"people": pose["people"]}, "prompt": "a person"})
    jobs.write_text(f"{jobs.read_text()}\n{bare}")
    assert main([*BATCH, "--size", "900x800", "--batch-size", "1"]) == 0
    own = (pose["canvas_width"], pose["canvas_height"])
    assert [(request.pose.width, request.pose.height) for request in seen] == [*(own,) * 5, (900, 800)]
    assert "not the usual 900 x 800" in seen[0].pose.warnings[0] and seen[5].pose.warnings == ()


def test_some_failed_is_an_exit_code_of_its_own(system, jobs, capsys):
    spoil(jobs)
    assert main(BATCH) == 3
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "5 of 7 jobs done, 2 failed, in out"
    assert said.err.splitlines()[0].startswith("failed: line 6: pose: 'nope.json' is no file")
    assert said.err.splitlines()[1].startswith("failed: line 7: not valid JSON")
    assert main([*BATCH, "--json"]) == 3
    said = capsys.readouterr()
    assert said.err == ""
    answer = json.loads(said.out)
    assert {name: answer[name] for name in ("jobs", "done", "failed", "painted", "failures", "out")} == {
        "jobs": 7, "done": 5, "failed": 2, "painted": 0, "failures": [], "out": "out",
    }  # fmt: skip


def test_a_second_run_opens_nothing_and_a_mended_job_is_painted(system, jobs, capsys):
    spoil(jobs)
    assert main(BATCH) == 3
    system.groups.clear()
    assert main(BATCH) == 3
    assert system.groups == []
    Path("nope.json").write_bytes(POSE.read_bytes())
    jobs.write_text(jobs.read_text().rstrip("{"))
    assert main(BATCH) == 0
    assert system.groups == [1]
    assert capsys.readouterr().out.splitlines()[-2] == "6 of 6 jobs done, 0 failed, in out"


def test_webp_loses_nothing(system, jobs):
    assert main([*BATCH, "--format", "webp"]) == 0
    assert cv2.imread("out/j3.webp").tolist() == np.full((8, 6, 3), 3).tolist()


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_pictures_say_how_they_were_made_unless_told_not_to(system, jobs, image_format):
    assert main([*BATCH, "--format", image_format]) == 0
    told = read(Path(f"out/j3.{image_format}"))
    assert (told["bundle"], told["request"]) == (model(), {"seed": 3})
    line = json.loads(Path("out/results.jsonl").read_text().splitlines()[3])
    assert line["sha256"] == [hashlib.sha256(Path(f"out/j3.{image_format}").read_bytes()).hexdigest()]
    assert main(["batch", "jobs.jsonl", "-o", "bare", "--format", image_format, "--no-metadata"]) == 0
    with pytest.raises(UserError, match="says nothing"):
        read(Path(f"bare/j3.{image_format}"))
    assert cv2.imread(f"bare/j3.{image_format}").tolist() == cv2.imread(f"out/j3.{image_format}").tolist()


@pytest.mark.parametrize("metadata", [True, False])
def test_workers_of_a_cluster_do_the_same(system, tmp_path, metadata):
    worker = Painter()
    worker._system = system
    (painted,) = worker.paint([SimpleNamespace(seed=3)], "png", metadata)
    (tmp_path / "a.png").write_bytes(painted.data)
    if metadata:
        assert read(tmp_path / "a.png")["request"] == {"seed": 3}
    else:
        with pytest.raises(UserError, match="says nothing"):
            read(tmp_path / "a.png")


def test_another_format_in_the_same_folder_is_refused(system, jobs, capsys):
    assert main(BATCH) == 0
    assert main([*BATCH, "--format", "webp"]) == 2
    assert "holds pictures with format png, and this run has webp" in capsys.readouterr().err


def test_poses_times_prompts(system, jobs):
    Path("poses").mkdir()
    for name in "ab":
        Path(f"poses/{name}.json").write_bytes(POSE.read_bytes() + b" " * (name == "b"))
    Path("prompts.txt").write_text("a man\na woman\n")
    assert main(["batch", "poses", "--prompts", "prompts.txt", "-o", "out", "--seed", "9"]) == 0
    names = sorted(path.stem.split("-")[0] for path in Path("out").glob("*.png"))
    assert names == ["a", "a", "b", "b"]
    assert cv2.imread(str(next(Path("out").glob("*.png"))))[0, 0].tolist() == [9, 9, 9]


def test_a_full_disk_ends_with_one_line(system, jobs, capsys, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ledger, "durable_write_bytes", full)
    assert main(BATCH) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "error: the disk of 'out' is full; free some space, then run the same command again: "
        "it goes on where it stopped\n"
    )


def test_an_interrupt_keeps_what_is_done(system, jobs):
    real = system.second_half

    def interrupted(drawn):
        if drawn[0].seed == 2:
            raise KeyboardInterrupt
        return real(drawn)

    system.second_half = interrupted
    assert main([*BATCH, "--batch-size", "2"]) == 130
    assert len(Path("out/results.jsonl").read_text().splitlines()) == 2
    system.second_half = real
    assert main([*BATCH, "--batch-size", "2"]) == 0


def test_low_memory_reaches_the_model_and_excludes_overlap(system, jobs, capsys):
    assert main([*BATCH, "--low-memory", "--overlap"]) == 2
    said = capsys.readouterr().err
    assert "leave out --overlap or --low-memory" in said and len(said.splitlines()) == 1
    assert not Path("out").exists()
    assert main([*BATCH, "--low-memory"]) == 0
    assert system.given == (None, "auto", None, "stage")


@pytest.mark.parametrize(
    ("engine", "options", "overlaps"),
    [("cpu", [], True), ("cuda", [], True), ("tensorrt", [], True), ("openvino", [], False),
     ("openvino", ["--overlap"], True), ("cuda", ["--no-overlap"], False), ("cuda", ["--low-memory"], False),
     ("cpu", ["--low-memory"], False)],
)  # fmt: skip
def test_stages_overlap_where_it_pays_unless_said_otherwise(system, jobs, monkeypatch, engine, options, overlaps):
    seen = []
    real = run.Here.__init__
    monkeypatch.setattr(run.Here, "__init__", lambda self, *given: seen.append(given[2]) or real(self, *given))
    system.engine = Choice(engine, "asked for")
    assert main([*BATCH, *options]) == 0
    assert seen == [overlaps]


def test_stages_of_a_large_model_take_turns_on_a_cpu(system, jobs, monkeypatch):
    seen = []
    real = run.Here.__init__
    monkeypatch.setattr(run.Here, "__init__", lambda self, *given: seen.append(given[2]) or real(self, *given))
    monkeypatch.setattr(Bundle, "size", lambda self, role: 1 << 27)
    for engine in ("cpu", "cuda"):
        system.engine = Choice(engine, "asked for")
        assert main([*BATCH[:-1], f"out-{engine}"]) == 0
    assert seen == [False, True]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["batch", "nothing.jsonl", "-o", "out"], "'nothing.jsonl' cannot be read"),
        (["batch", ".", "-o", "out"], "add --prompts"),
        ([*BATCH, "--size", "big"], "--size: expected WIDTHxHEIGHT"),
        ([*BATCH, "--canvas", "640"], "--canvas: expected WIDTHxHEIGHT up to 16384, such as 512x768; got '640'"),
        (["batch", "jobs.jsonl", "-o", "pose.json"], "is a file; choose another name"),
        (["batch", "jobs.jsonl", "-o", "."], "holds files that no batch has written"),
        ([*BATCH, "--batch-size", "0"], "--batch-size"),
        ([*BATCH, "--ray", "auto"], "pip install 'handfirst[ray]'"),
    ],
)
def test_what_cannot_be_done_is_one_line(system, jobs, capsys, monkeypatch, arguments, said):
    monkeypatch.setitem(sys.modules, "ray", None)
    before = sorted(Path().iterdir())
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert [path for path in sorted(Path().iterdir()) if path.name not in ("out", ".lock")] == before


def test_parquet_without_its_library_says_how_to_get_it(system, jobs, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    Path("t.parquet").write_bytes(b"PAR1")
    assert main(["batch", "t.parquet", "-o", "out"]) == 2
    assert "pip install 'handfirst[batch]'" in capsys.readouterr().err


def test_bars_tell_pace_and_time_left(system, jobs, capsys):
    assert main([*BATCH, "--progress"]) == 0
    assert "5/5" in (said := capsys.readouterr().err)
    assert "a minute" in said
    assert "left" in said


def test_a_folder_of_poses_says_what_it_skips(system, tmp_path, capsys):
    folder = tmp_path / "poses"
    folder.mkdir()
    (folder / "a.json").write_bytes(POSE.read_bytes())
    for name in ("notes.txt", "a.png", "prompts.txt"):
        (folder / name).write_text("a person")
    assert main(["batch", str(folder), "--prompts", str(folder / "prompts.txt"), "-o", str(tmp_path / "out")]) == 0
    assert "warning: skipped, as no pose: a.png, notes.txt\n" in capsys.readouterr().err
