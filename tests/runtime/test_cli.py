"""The command line over a system that only pretends to paint: what is asked of it, what is written, how errors end."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import typer

from handfirst.engines.choice import Choice
from handfirst.engines.errors import UserError
from handfirst.runtime.cli import demo, options, output, pipeline, rooms
from handfirst.runtime.cli.main import main
from handfirst.runtime.pose.crop import HandCrop, Similarity
from handfirst.runtime.request import HandResult, Request, Result
from handfirst.runtime.settings import TwoStageSettings

POSE = Path(demo.__file__).with_name("demo_pose.json")
HEIGHT, WIDTH, HAND = 96, 64, 32


def paint(request: Request) -> Result:
    """A picture whose colours tell its seed, with one square hand."""
    image = np.full((HEIGHT, WIDTH, 3), request.seed % 256, np.uint8)
    canvas = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[10:20, 30:40] = True
    image[mask] = canvas[mask]
    crop = HandCrop(("left",), Similarity(1.0, 0.0, 0.0), HAND, float(HAND))
    hand = HandResult(0, crop, np.full((HAND, HAND, 3), 200, np.uint8), np.ones((HAND, HAND), np.bool_))
    full = Request(**{**vars(request.resolve(TwoStageSettings())), "pose": request.pose.fit(WIDTH, HEIGHT)})
    seconds = {"hands": 0.25, "body": 0.5, "total": 0.8}
    return Result(image, (hand,), canvas, mask, np.zeros((4, 12, 8), np.float32), full, seconds, ("a hand is small",))


class FakeSystem:
    """Two steps of hands, three of the body; remembers what it was asked."""

    bundle = SimpleNamespace(manifest=SimpleNamespace(name="pretend"), digest="0123456789ab" + 52 * "f")
    engine = Choice("cpu", "the only one")

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.opened: tuple[Any, ...] = ()
        self.interrupt = False

    def steps(self, request: Request) -> Iterator[SimpleNamespace]:
        self.asked.append(request)
        stages = [("hands", step, 2) for step in (1, 2)] + [("body", step, 3) for step in (1, 2, 3)]
        for stage, step, total in stages:
            yield SimpleNamespace(stage=stage, step=step, total=total, result=None)
            if self.interrupt:
                raise KeyboardInterrupt
        yield SimpleNamespace(stage="body", step=3, total=3, result=paint(request))

    def render_batch(self, requests: Sequence[Request]) -> list[Result]:
        self.asked += requests
        return [paint(request) for request in requests]


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    fake = FakeSystem()

    def opener(*arguments: Any) -> FakeSystem:
        fake.opened = arguments
        return fake

    monkeypatch.setattr(pipeline, "open_pipeline", opener)
    return fake


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that is left of a command that must fail."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


RENDER = ("render", "--pose", str(POSE), "--prompt", "a person", "--out", "out.png")


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
            " --hand-guidance 1.5 --blend bounding-box --feather 2 --engine cuda --threads 2"
        )
        assert main([*RENDER, *said.split()]) == 0
        assert system.opened == (Path("model"), "cuda", 2)
        (asked,) = system.asked
        assert (asked.prompt, asked.negative_prompt, asked.hand_prompt) == ("a person", "blurry", "hands")
        assert (asked.seed, asked.steps, asked.guidance, asked.hand_guidance) == (3, 9, 2.5, 1.5)
        assert (asked.eta, asked.blend, asked.feather) == (0.5, "bounding-box", 2.0)
        assert (asked.pose.width, asked.pose.height) == (512, 512)

    def test_leaves_the_rest_to_the_model(self, system, here):
        assert main(RENDER) == 0
        (asked,) = system.asked
        assert system.opened == (None, "auto", None)
        assert (asked.negative_prompt, asked.hand_prompt, asked.steps, asked.guidance) == ("", None, None, None)
        assert (asked.seed, asked.eta, asked.blend, asked.feather) == (0, None, "expansion", 0.0)

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
    "unknown option": (("--sise", "12x12"), "--sise"),
    "extra word": (("more",), "more"),
}


class TestRefusals:
    @pytest.mark.parametrize(("arguments", "word"), BAD.values(), ids=BAD.keys())
    def test_one_line_and_nothing_written(self, system, here, capsys, arguments, word):
        (here / "folder.png").mkdir()
        (here / "file").write_text("{", encoding="utf-8")
        before = files(here)
        assert word in refused(capsys, *RENDER, *arguments)
        assert files(here) == before
        assert system.asked == []

    def test_missing_options(self, capsys):
        assert "--pose" in refused(capsys, "render")
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


class TestDemo:
    def test_writes_the_whole_story(self, system, here, capsys):
        assert main(["demo", "--out", "a/b", "--seed", "9", "--json"]) == 0
        names = ["canvas", "hand-0-left", "hand-0-left-mask", "mask", "pose", "result", "sheet"]
        written = sorted(f"a/b/{name}.png" for name in names)
        assert files(here) == ["a", "a/b", *written]
        told = json.loads(capsys.readouterr().out)
        assert sorted(e["path"] for e in told["files"]) == written
        for entry in told["files"]:
            image = cv2.imread(entry["path"], cv2.IMREAD_UNCHANGED)
            assert image.shape[:2] == (entry["height"], entry["width"])
        assert set(np.unique(cv2.imread("a/b/mask.png", cv2.IMREAD_UNCHANGED))) == {0, 255}
        assert told["seed"] == 9

    def test_has_a_default_folder(self, system, here):
        assert main(["demo"]) == 0
        assert (here / "handfirst-demo/result.png").is_file()

    def test_a_file_in_the_way(self, system, here, capsys):
        (here / "file").touch()
        assert "'file' is a file" in refused(capsys, "demo", "--out", "file")
        assert "is a file" in refused(capsys, "demo", "--out", "file/deeper/still")
        assert system.asked == []

    def test_the_embedded_pose_is_whole(self):
        pose = demo.demo_pose()
        (person,) = pose.people
        assert pose.warnings == ()
        assert person.has_hand("left")
        assert person.has_hand("right")
        assert np.isfinite(person.points[:13]).all()


class TestPose:
    def test_counts_what_was_read(self, here, capsys):
        assert main(["pose", str(POSE), "--out", "drawn.png", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["width"], told["height"], told["warnings"]) == (512, 512, [])
        (person,) = told["people"]
        assert person["left hand"] == person["right hand"] == {"found": 21, "of": 21}
        assert person["body"]["of"] == 17
        (entry,) = told["files"]
        assert cv2.imread("drawn.png").shape[:2] == (entry["height"], entry["width"])

    def test_is_a_table_for_people(self, here, capsys):
        assert main(["pose", str(POSE)]) == 0
        said = capsys.readouterr().out
        assert "512 x 512" in said
        assert said.count("21 of 21") == 2
        assert files(here) == []

    def test_a_size_for_a_file_that_has_none(self, here, capsys):
        data = json.loads(POSE.read_text(encoding="utf-8"))
        del data["canvas_width"], data["canvas_height"]
        (here / "openpose.json").write_text(json.dumps(data), encoding="utf-8")
        assert main(["pose", "openpose.json", "--size", "640x480", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["width"], told["height"]) == (640, 480)

    def test_refusals(self, here, capsys):
        assert ".png" in refused(capsys, "pose", str(POSE), "--out", "drawn.bmp")
        assert "nothing.json" in refused(capsys, "pose", "nothing.json")
        assert "--size" in refused(capsys, "pose", str(POSE), "--size", "0x5")


@pytest.mark.parametrize(("text", "size"), [("512x768", (512, 768)), (" 1X8192 ", (1, 8192)), (None, None)])
def test_sizes(text, size):
    assert options.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "12", "0x4", "8193x1", "-1x5", "1.5x2", "1x2x3", "९x९", "9" * 5000 + "x1"])
def test_sizes_that_are_none(text):
    with pytest.raises(UserError, match="--size: expected WIDTHxHEIGHT"):
        options.parse_size(text)


class TestVerify:
    @pytest.fixture
    def checks(self, monkeypatch) -> list[SimpleNamespace]:
        from handfirst.engines import bundle, verify

        found = [
            SimpleNamespace(name="files", ok=True, detail="9 files", psnr=None),
            SimpleNamespace(name="hand_unet", ok=True, detail="the same [bits]", psnr=float("inf")),
        ]
        monkeypatch.setattr(bundle.Bundle, "open", lambda *_, **__: FakeSystem.bundle)
        monkeypatch.setattr(verify, "verify", lambda *_: iter(found))
        return found

    def test_all_is_well(self, checks, capsys):
        assert main(["verify", "some"]) == 0
        said = capsys.readouterr()
        assert "pretend 0123456789ab" in said.out
        assert "the same [bits]" in said.out
        assert said.err == ""

    def test_a_failure_is_named(self, checks, capsys):
        checks[1].ok = False
        assert main(["verify", "some", "--json"]) == 2
        said = capsys.readouterr()
        told = json.loads(said.out)
        assert told["ok"] is False
        assert [check["ok"] for check in told["checks"]] == [True, False]
        assert told["checks"][1]["psnr"] is None
        assert said.err.count("\n") == 1
        assert "1 of 2 checks failed (hand_unet)" in said.err


class TestTop:
    def test_help_lists_every_verb_and_imports_no_room(self):
        code = (
            "import sys; from handfirst.runtime.cli.main import main; assert main(['--help']) == 0;"
            "assert not any(n.startswith(('handfirst.training', 'handfirst.export', 'numpy')) for n in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        listed = [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.strip()]
        assert listed == [
            "demo",
            "render",
            "verify",
            "pose",
            "build",
            "profile",
            "cache",
            "data",
            "export",
            "init",
            "train",
        ]

    def test_no_verb_shows_help(self, capsys):
        assert main([]) == 0
        assert "Commands:" in capsys.readouterr().out

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.startswith("handfirst 0.")


class TestRooms:
    """Verbs of other rooms and packages."""

    @pytest.fixture
    def other(self, monkeypatch) -> dict[str, EntryPoint]:
        registered: dict[str, EntryPoint] = {}
        monkeypatch.setattr(rooms, "rooms", lambda: registered)
        return registered

    def test_a_package_adds_a_verb(self, other, capsys, monkeypatch):
        app = typer.Typer()

        @app.callback()
        def group() -> None:
            """Greetings."""

        @app.command()
        def hello(name: str) -> None:
            print(f"hello {name}")

        monkeypatch.setitem(sys.modules, "greetings", SimpleNamespace(app=app))
        other["greet"] = EntryPoint("greet", "greetings:app", rooms.GROUP)
        assert main(["greet", "hello", "you"]) == 0
        assert capsys.readouterr().out == "hello you\n"

    def test_own_verbs_cannot_be_replaced(self, other, capsys):
        other["pose"] = EntryPoint("pose", "nowhere:app", rooms.GROUP)
        assert main(["pose", "--help"]) == 0
        assert "Read a pose" in capsys.readouterr().out

    def test_a_room_without_its_libraries_names_the_extra(self, other, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        other["export"] = EntryPoint("export", "torch:app", rooms.GROUP)
        line = refused(capsys, "export", "demo")
        assert "'handfirst export' needs the export extra" in line
        assert "pip install 'handfirst[export]'" in line

    def test_a_library_that_is_missed_later_names_the_extra_too(self, tmp_path):
        code = (
            "import sys; sys.modules['torch'] = None; from handfirst.runtime.cli.main import main;"
            "sys.exit(main(['train', 'demo', 'run']))"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr == (
            "error: 'handfirst train' needs the training extra ('torch' is missing); "
            "run: pip install 'handfirst[train]'\n"
        )

    def test_a_bug_in_a_room_keeps_its_traceback(self, other):
        other["train"] = EntryPoint("train", "handfirst.training.not_there:app", rooms.GROUP)
        with pytest.raises(ModuleNotFoundError, match="not_there"):
            main(["train"])
