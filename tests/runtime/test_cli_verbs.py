"""`handfirst demo`, `pose` and `verify` over a system that only pretends to paint."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from support.fake_system import POSE, FakeSystem, files, refused

from handfirst.engines.errors import UserError
from handfirst.runtime.cli import options
from handfirst.runtime.cli.main import main
from handfirst.runtime.systems.two_stage.job import demo_pose


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
        pose = demo_pose()
        (person,) = pose.people
        assert pose.warnings == ()
        assert person.has_hand("left")
        assert person.has_hand("right")
        assert np.isfinite(person.points[:11]).all()  # from the nose to the wrists


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


@pytest.mark.parametrize(("text", "size"), [("512x768", (512, 768)), (" 1X16384 ", (1, 16384)), (None, None)])
def test_sizes(text, size):
    assert options.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "12", "0x4", "16385x1", "-1x5", "1.5x2", "1x2x3", "९x९", "9" * 5000 + "x1"])
def test_sizes_that_are_none(text):
    with pytest.raises(UserError, match="--size: expected WIDTHxHEIGHT"):
        options.parse_size(text)


class TestVerify:
    @pytest.fixture
    def checks(self, monkeypatch) -> list[SimpleNamespace]:
        from handfirst.engines import bundle, verify

        found = [
            SimpleNamespace(name="files", ok=True, detail="9 files", psnr=None, of_engine=False),
            SimpleNamespace(name="hand_unet", ok=True, detail="the same [bits]", psnr=float("inf"), of_engine=False),
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
        assert "1 of 2 checks failed (hand_unet); fetch the bundle again" in said.err

    def test_an_engine_that_does_not_run_here_is_no_reason_to_fetch_the_bundle(self, checks, capsys):
        checks[1].ok, checks[1].of_engine = False, True
        assert main(["verify", "some"]) == 2
        assert "(hand_unet); the engine does not run them here" in capsys.readouterr().err
        checks[0].ok = False
        assert main(["verify", "some"]) == 2
        assert "(files, hand_unet); fetch the bundle again" in capsys.readouterr().err
