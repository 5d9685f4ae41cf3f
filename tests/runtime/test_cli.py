"""`handfirst render` over a system that only pretends to paint: what is asked, what is written, how errors end."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import cv2
import pytest
from support.fake_system import HEIGHT, RENDER, WIDTH, files, refused

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import output, pipeline
from handfirst.runtime.cli.main import main


class TestRender:
    def test_writes_the_picture_and_says_where(self, system, here, capsys):
        assert main([*RENDER, "--seed", "7"]) == 0
        assert files(here) == ["out.png"]
        image = cv2.imread("out.png")[..., ::-1]
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert image[0, 0].tolist() == [7, 7, 7]
        said = capsys.readouterr()
        assert said.out.splitlines() == ["result  out.png  (64 x 96)", "0.8 s with pretend 0123456789ab on cpu"]
        assert said.err == "warning: a hand is small\n"

    def test_prints_one_json_object(self, system, here, capsys):
        assert main([*RENDER, "--seed", "7", "--json"]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert json.loads(said.out) == {
            "bundle": {"name": "pretend", "id": "0123456789ab"},
            "engine": {"name": "cpu", "reason": "the only one"},
            "seed": 7,
            "files": [{"path": "out.png", "kind": "result", "seed": 7, "width": WIDTH, "height": HEIGHT}],
            "seconds": {"hands": 0.25, "body": 0.5, "total": 0.8},
            "parts": [],
            "warnings": ["a hand is small"],
        }

    def test_asks_for_what_was_asked(self, system, here, capsys):
        said = (
            "--bundle model --negative-prompt blurry --hand-prompt hands --seed 3 --steps 9 --guidance 2.5 --eta 0.5"
            " --hand-guidance 1.5 --hand-steps 4 --solver unipc --hand-solver ddim --speed fast"
            " --blend bounding-box --feather 2 --close-up auto --armless refuse --engine cuda --threads 2 --low-memory"
        )
        assert main([*RENDER, *said.split()]) == 0
        assert system.opened == (Path("model"), "cuda", 2, "stage")
        (asked,) = system.asked
        assert (asked.prompt, asked.negative_prompt, asked.hand_prompt) == ("a person", "blurry", "hands")
        assert (asked.seed, asked.steps, asked.guidance, asked.hand_guidance) == (3, 9, 2.5, 1.5)
        assert (asked.hand_steps, asked.solver, asked.hand_solver, asked.speed) == (4, "unipc", "ddim", "fast")
        assert (asked.eta, asked.blend, asked.feather) == (0.5, "bounding-box", 2.0)
        assert (asked.close_up, asked.armless) == ("auto", "refuse")
        assert (asked.pose.width, asked.pose.height) == (512, 512)

    def test_asks_for_another_canvas(self, system, here, capsys):
        assert main([*RENDER, "--canvas", "512x512"]) == 0
        assert system.asked[0].size == (512, 512)

    def test_leaves_the_rest_to_the_model(self, system, here):
        assert main(RENDER) == 0
        (asked,) = system.asked
        assert system.opened == (None, "auto", None, "all")
        assert (asked.negative_prompt, asked.hand_prompt, asked.steps, asked.guidance) == ("", None, None, None)
        assert (asked.seed, asked.eta, asked.blend, asked.feather) == (0, None, None, None)
        assert (asked.close_up, asked.armless) == ("off", "leave")

    def test_a_count_numbers_files_and_seeds(self, system, here, capsys):
        assert main([*RENDER, "--seed", "5", "--count", "3", "--sheet", "--json"]) == 0
        results = [f"out-{i}.png" for i in (1, 2, 3)]
        sheets = [f"out-{i}-sheet.png" for i in (1, 2, 3)]
        assert files(here) == sorted(results + sheets)
        assert [asked.seed for asked in system.asked] == [5, 6, 7]
        answer = json.loads(capsys.readouterr().out)
        assert answer["warnings"] == [f"seed {seed}: a hand is small" for seed in (5, 6, 7)]
        told = answer["files"]
        assert [(e["path"], e["seed"]) for e in told if e["kind"] == "result"] == list(zip(results, (5, 6, 7)))  # noqa: B905
        assert cv2.imread("out-3.png")[0, 0].tolist() == [7, 7, 7]

    def test_numbers_sort_as_text(self):
        names = [output.numbered(Path("a.png"), i, 12).name for i in range(12)]
        assert names == sorted(names)
        assert names[0] == "a-01.png"

    def test_bars_are_drawn_only_on_request_here(self, system, here, capsys):
        assert main(RENDER) == 0
        assert "━" not in capsys.readouterr().err
        assert main([*RENDER, "--progress", "--json"]) == 0
        said = capsys.readouterr()
        assert "hands" in said.err
        assert "3/3" in said.err
        assert json.loads(said.out)["seed"] == 0

    def test_an_interruption_leaves_nothing(self, system, here, capsys):
        system.interrupt = True
        assert main(RENDER) == 130
        assert files(here) == []
        assert capsys.readouterr().err.count("\n") == 1


BAD = {
    "no such folder": (("--out", "missing/out.png"), "'missing' does not exist"),
    "a folder": (("--out", "folder.png"), "is a folder"),
    "a file as a folder": (("--out", "file/out.png"), "'file' is a file"),
    "another kind of file": (("--out", "out.jpg"), "ends in .png"),
    "no name": (("--out", "."), "ends in .png"),
    "missing pose": (("--pose", "nothing.json"), "nothing.json"),
    "broken pose": (("--pose", "file"), "file"),
    "a folder as a pose": (("--pose", "folder.png"), "folder.png"),
    "empty prompt": (("--prompt", "  "), "prompt"),
    "negative seed": (("--seed", "-1"), "seed"),
    "huge seed": (("--seed", str(2**63)), "seed"),
    "seed past the end": (("--seed", str(2**63 - 1), "--count", "2"), "seed"),
    "a word for a seed": (("--seed", "abc"), "--seed"),
    "no steps": (("--steps", "0"), "steps"),
    "guidance nan": (("--guidance", "nan"), "guidance"),
    "eta above one": (("--eta", "1.5"), "eta"),
    "unknown blend": (("--blend", "magic"), "--blend"),
    "feather": (("--feather", "-1"), "feather"),
    "count": (("--count", "0"), "--count"),
    "size": (("--size", "12"), "--size"),
    "no name to set": (("--set", "7"), "--set: expected NAME=VALUE, got '7'"),
    "unknown name to set": (("--set", "colour=red"), "--set colour=VALUE: this model knows no colour; it has pose, "),
    "set what has an option": (("--set", "hand_prompt=x"), "--set hand_prompt: expected it once, as --hand-prompt"),
    "unknown option": (("--sise", "12x12"), "--sise"),
    "extra word": (("more",), "more"),
}


class TestRefusals:
    def test_a_canvas_that_is_none(self, system, here, capsys):
        assert "--canvas: expected WIDTHxHEIGHT" in refused(capsys, *RENDER, "--canvas", "256")

    @pytest.mark.parametrize(("arguments", "word"), BAD.values(), ids=BAD.keys())
    def test_one_line_and_nothing_written(self, system, here, capsys, arguments, word):
        (here / "folder.png").mkdir()
        (here / "file").write_text("{", encoding="utf-8")
        before = files(here)
        assert word in refused(capsys, *RENDER, *arguments)
        assert files(here) == before
        assert system.asked == []

    def test_missing_options(self, capsys):
        assert "--out" in refused(capsys, "render")
        assert "expected --pose and --prompt" in refused(capsys, "render", "--out", "out.png")
        assert "expected --prompt;" in refused(capsys, *RENDER[:3], "--out", "out.png")
        assert "FILE" in refused(capsys, "pose")
        assert "nonsense" in refused(capsys, "nonsense")

    @pytest.mark.parametrize("verb", [RENDER, ("demo", "--out", "folder")])
    def test_a_read_only_folder(self, system, here, capsys, monkeypatch, verb):
        monkeypatch.setattr(output.os, "access", lambda _, mode, **__: not mode & os.W_OK)
        assert "not writable" in refused(capsys, *verb)
        assert files(here) == []

    @pytest.mark.parametrize("verb", [(*RENDER, "--sheet"), ("demo", "--out", "a/b")])
    def test_a_full_disk(self, system, here, capsys, monkeypatch, verb):
        write, written = Path.write_bytes, []

        def fills_up(path: Path, data: bytes) -> int:
            written.append(path)
            if len(written) > 1:
                write(path, data[:10])
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return write(path, data)

        monkeypatch.setattr(Path, "write_bytes", fills_up)
        assert "No space left on device" in refused(capsys, *verb)
        assert files(here) == []

    def test_an_old_picture_survives_a_full_disk(self, system, here, capsys, monkeypatch):
        (here / "out.png").write_bytes(b"old")

        def full(path: Path, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        monkeypatch.setattr(Path, "write_bytes", full)
        refused(capsys, *RENDER)
        assert (here / "out.png").read_bytes() == b"old"

    def test_too_little_memory(self, system, here, capsys, monkeypatch):
        monkeypatch.setattr(system, "render_batch", lambda _: (_ for _ in ()).throw(MemoryError))
        assert "memory" in refused(capsys, *RENDER, "--count", "4")

    def test_a_message_of_many_lines_becomes_one(self, here, capsys, monkeypatch):
        def opener(*_: Any) -> None:
            raise UserError("first\n  second")

        monkeypatch.setattr(pipeline, "open_pipeline", opener)
        assert refused(capsys, *RENDER) == "error: first second\n"

    def test_a_bug_keeps_its_traceback(self, system, here, monkeypatch):
        monkeypatch.setattr(system, "steps", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(RENDER)

    def test_a_missing_bundle(self, here, capsys):
        assert "nowhere" in refused(capsys, *RENDER, "--bundle", "nowhere")
        assert "nowhere" in refused(capsys, "verify", "nowhere")
