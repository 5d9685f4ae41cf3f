"""The seam holds: a second system goes the whole way from training to pictures, and no shared file knows it.

support/mosaic has no pose, no words, no autoencoder and no second half; it has a named asset and latents that are no
autoencoder's. It is known by its three lines in the registries, and by nothing else.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.batch_jobs import lines
from support.finetuning import leave_no_process_state
from support.mosaic.export import reference
from support.mosaic.networks import PALETTE, load
from support.mosaic.registry import known
from support.mosaic.runtime import JOBS, Mosaic, Request, enlarged, read_palette, together
from support.mosaic.training import STAGES, Options
from typer.testing import CliRunner

import handfirst
from handfirst.engines.bundle import Bundle
from handfirst.engines.errors import BundleError, UserError
from handfirst.engines.files import sha256
from handfirst.engines.manifest import FileEntry, write_manifest
from handfirst.engines.verify import verify
from handfirst.export import bundle_writer
from handfirst.export.bundle_writer import export_bundle
from handfirst.export.options import ExportOptions
from handfirst.export.part import Part
from handfirst.runtime import isolated
from handfirst.runtime.batch.groups import GroupQueue, group_jobs
from handfirst.runtime.batch.read_jobs import read_jobs
from handfirst.runtime.batch.run import Here
from handfirst.runtime.cli.build import build_all
from handfirst.runtime.cli.main import main
from handfirst.runtime.errors import RequestError
from handfirst.runtime.profile.profile import Plan, measure
from handfirst.runtime.system import TwoHalves
from handfirst.training.cli import app
from handfirst.training.data.example import Example, encode
from handfirst.training.data.shards import new_shard
from handfirst.training.loop.checkpoints import Checkpoints
from handfirst.training.loop.journal import LOSSES, read_journal
from handfirst.training.loop.run import Data, train_stage

COLOURS = read_palette(PALETTE)
SHORT = {"steps": 12, "batch": 4, "lr": 0.02, "warmup": 0, "precision": "no", "workers": 0, "log_every": 1, "ema": 0}
SHORT |= {"validation_samples": 2, "validate_every": 100, "sheet_samples": 1, "save_every": 4, "held_out": 0.3}


@pytest.fixture(scope="module", autouse=True)
def registered():
    with known():
        yield


@pytest.fixture(scope="module")
def model(mosaic):
    return mosaic[0]


@pytest.fixture(scope="module")
def folder(mosaic):
    return mosaic[1]


@pytest.fixture(scope="module")
def system(folder):
    opened = handfirst.open(folder, engine="cpu", threads=1)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Ten plain pictures of 16 x 16 with a hand in one corner."""
    made, rng = tmp_path_factory.mktemp("shards"), np.random.default_rng(0)
    hands = np.zeros((16, 16), np.uint8)
    hands[:8, :8] = 1
    with new_shard(made / "shard-000000.tar") as writer:
        for i in range(10):
            rgb = np.full((16, 16, 3), rng.integers(0, 256, 3), np.uint8)
            writer.write(f"{i:03d}", encode(Example(f"{i:03d}", rgb, hands, np.zeros((133, 3), np.float32), "plain")))
    return made


def expected(model, request):
    networks, settings, _ = load(model)
    with torch.no_grad():
        return reference(networks, settings, COLOURS[request.colour], request.seed)


class TestBundle:
    def test_it_holds_what_the_source_gave(self, folder):
        manifest = Bundle.open(folder).manifest
        assert (manifest.schema_version, manifest.system, manifest.tokenizer) == (2, "mosaic", None)
        assert manifest.assets == {"palette": "palette.json"}
        assert Bundle.open(folder).asset("palette") == PALETTE
        assert sorted(manifest.files) == ["denoiser.onnx", "golden.npz", "mixer.onnx", "palette.json"]

    def test_it_verifies(self, folder, capsys):
        checks = list(verify(Bundle.open(folder), "cpu", 1))
        assert all(check.ok for check in checks)
        assert [check.name for check in checks if check.psnr is not None] == ["mixer", "denoiser"]
        assert main(["verify", str(folder), "--engine", "cpu"]) == 0
        assert "palette.json" in capsys.readouterr().out

    def test_it_verifies_in_a_process_of_its_own(self, folder, monkeypatch):
        """Which knows the system by the same line, and without the line refuses it."""
        checks = {check.name: check for check in isolated.verify_isolated(folder, "cpu", 1)}
        assert not checks["system"].ok and "two-stage, got mosaic" in checks["system"].detail
        *run, code = isolated._COMMAND
        line = "import sys; sys.path.insert(0, 'tests'); from handfirst.runtime.systems import SYSTEMS; "
        line += "SYSTEMS['mosaic'] = 'support.mosaic.runtime'; "
        monkeypatch.setattr(isolated, "_COMMAND", (*run, line + code))
        assert all(check.ok for check in isolated.verify_isolated(folder, "cpu", 1))

    def test_a_palette_that_makes_no_sense_is_one_line(self, folder, tmp_path):
        broken = shutil.copytree(folder, tmp_path / "broken")
        (broken / "palette.json").write_text('{"red": "#f00"}')
        with pytest.raises(BundleError, match=r"palette\.json expected"):
            handfirst.open(broken, engine="cpu")
        manifest = Bundle.open(folder).manifest
        entry = FileEntry(sha256=sha256(b'{"red": "#f00"}'), size=15)
        write_manifest(broken, manifest.model_copy(update={"files": {**manifest.files, "palette.json": entry}}))
        with pytest.raises(BundleError, match="palette: expected names and three numbers each"):
            handfirst.open(broken, engine="cpu")

    def test_a_graph_that_is_not_torchs_is_not_written(self, model, tmp_path, monkeypatch):
        def wrong(part: Part, *options):
            part.module.bias.data += 0.1
            return to_onnx(part, *options)

        to_onnx = bundle_writer.to_onnx
        monkeypatch.setattr(bundle_writer, "to_onnx", wrong)
        with pytest.raises(UserError, match=r"mixer: the exported graph is [\d.]+ dB from torch"):
            export_bundle(model, tmp_path / "bundle", ExportOptions("mosaic", "float32"))
        assert list(tmp_path.iterdir()) == []


class TestPictures:
    def test_one_is_what_torch_and_diffusers_say(self, system, model):
        assert isinstance(system, Mosaic) and not isinstance(system, TwoHalves)
        request = Request("blue", seed=5)
        pieces = list(system.steps(request))
        assert [(p.stage, p.step, p.total) for p in pieces] == [
            ("mix", 1, 1), ("tiles", 1, 3), ("tiles", 2, 3), ("tiles", 3, 3), ("tiles", 1, 1),
        ]  # fmt: skip
        tiles = expected(model, request)
        np.testing.assert_allclose(pieces[-1].result.tiles, tiles, atol=1e-5)
        np.testing.assert_array_equal(pieces[-1].result.image, enlarged(tiles, 8)[0])
        assert pieces[2].preview().shape == (32, 32, 3)

    def test_some_together_are_each_as_alone(self, system, model):
        requests = [Request("blue", 1), Request("red", 2, steps=5), Request("grey", 3)]
        for request, found in zip(requests, system.render_batch(requests), strict=True):
            np.testing.assert_array_equal(found.image, system.render(request).image)
        np.testing.assert_allclose(system.render(requests[2]).tiles, expected(model, requests[2]), atol=1e-5)

    def test_one_stage_in_memory_paints_the_same(self, system, folder):
        low = handfirst.open(folder, engine="cpu", threads=1, resident="stage")
        np.testing.assert_array_equal(low.render(Request("red", 1)).image, system.render(Request("red", 1)).image)
        low.close()

    def test_a_server_serves_it(self, system):
        with handfirst.Server(system, workers=2) as server:
            jobs = [server.submit(Request("red", seed)) for seed in range(4)]
            for job in jobs:
                np.testing.assert_array_equal(job.result(60).image, system.render(job.request).image)
            with pytest.raises(RequestError, match="colour: expected red or blue or grey, got 'pink'"):
                server.submit(Request("pink"))

            async def awaited():
                return await server.submit(Request("blue", 9))

            assert asyncio.run(awaited()).seed == 9

    def test_every_engine_can_be_built_ahead(self, folder):
        built = list(build_all(Bundle.open(folder), "cpu", 3, 1))
        assert [(each.role, each.runs) for each in built] == [("mixer", [(3, (4, 4))]), ("denoiser", [(3, (4, 4))])]

    def test_its_profile_knows_its_parts(self, system):
        found = measure(system, Request("red"), Plan(1, 2, 2, 1), lambda *_: None)
        assert found.asked == {"steps": 3, "tiles": 16, "resident": "all"}
        parts = {(part.stage, part.part): part.label for part in found.parts}
        assert {("mix", "mixer"), ("tiles", "denoiser"), ("tiles", "step")} <= parts.keys()
        assert parts["tiles", "denoiser"] == "tile denoiser"
        assert found.describe()["jobs"] == 2


class TestBatch:
    def test_jobs_without_a_file(self, system, tmp_path):
        (tmp_path / "jobs.jsonl").write_text(
            '{"colour": "red", "id": "a"}\n{"colour": "blue", "steps": 5}\n{"pose": 1}'
        )
        jobs = read_jobs(JOBS, tmp_path / "jobs.jsonl")
        assert jobs[1].id.startswith("job-")
        assert jobs[2].reason == "unknown field 'pose'; a job has id, colour, seed, steps"
        groups = list(group_jobs(jobs, partial(together, settings=system.settings), 4))
        done = [outcome for each in Here(system, "png", True).render(GroupQueue(iter(groups[1:]))) for outcome in each]
        for outcome, request in zip(done, (Request("red"), Request("blue", steps=5)), strict=True):
            image = cv2.imdecode(np.frombuffer(outcome.painted.data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            np.testing.assert_array_equal(image, system.render(request).image)

    def test_the_command(self, folder, system, tmp_path, capsys):
        (tmp_path / "jobs.csv").write_text("id,colour,seed\nx,red,4\ny,pink,1\n")
        words = ["batch", str(tmp_path / "jobs.csv"), "-o", str(tmp_path / "out"), "--bundle", str(folder)]
        assert main([*words, "--engine", "cpu", "--json"]) == 3
        assert {line["id"]: line["status"] for line in lines(tmp_path / "out")} == {"x": "done", "y": "failed"}
        image = cv2.imread(str(tmp_path / "out" / "x.png"))[..., ::-1]
        np.testing.assert_array_equal(image, system.render(Request("red", 4)).image)
        capsys.readouterr()
        for more, line in (
            (["--canvas", "64x64"], "--canvas: this model knows no canvas; it has colour, seed, steps"),
            (["--overlap"], "--overlap needs a model whose work comes in two halves"),
        ):
            words[3] = str(tmp_path / "other")
            assert main([*words, *more]) == 2
            assert line in capsys.readouterr().err

    def test_a_folder_of_poses_is_no_list(self, folder, tmp_path, capsys):
        (tmp_path / "prompts.txt").write_text("a person\n")
        words = ["batch", str(tmp_path), "--prompts", str(tmp_path / "prompts.txt"), "-o", str(tmp_path / "out")]
        assert main([*words, "--bundle", str(folder)]) == 2
        assert "a job of this model is no pose and a prompt; give a list of jobs" in capsys.readouterr().err


class TestCommands:
    def test_render(self, folder, system, tmp_path, capsys):
        words = ["render", "--bundle", str(folder), "--out", str(tmp_path / "out.png"), "--engine", "cpu"]
        assert main([*words, "--set", "colour=blue", "--seed", "7", "--steps", "4"]) == 0
        image = cv2.imread(str(tmp_path / "out.png"))[..., ::-1]
        np.testing.assert_array_equal(image, system.render(Request("blue", 7, 4)).image)
        capsys.readouterr()
        for more, line in (
            ([], "expected --set colour=VALUE; this model needs it"),
            (["--set", "colour=blue", "--pose", "x.json"], "--pose: this model knows no pose; it has colour, seed"),
            (["--set", "colour=blue", "--guidance", "2"], "--guidance: this model knows no guidance"),
            (["--set", "colour=blue", "--set", "colour=red"], "--set colour: expected it once"),
            (["--set", "colour=pink"], "colour: expected red or blue or grey, got 'pink'"),
        ):
            assert main([*words[:3], "--out", str(tmp_path / "no.png"), *more]) == 2
            said = capsys.readouterr()
            assert line in said.err and said.err.count("\n") == 1
        assert not (tmp_path / "no.png").exists()

    def test_profile(self, folder, tmp_path, capsys):
        words = ["profile", str(folder), "--jobs", "1", "--warmup", "1", "--batch-limit", "0", "--engine", "cpu"]
        assert main([*words, "--steps", "2", "--out", str(tmp_path / "report.html"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["request"]["steps"] == 2
        assert "tile denoiser" in (tmp_path / "report.html").read_text()
        assert main([*words, "--pose", "x.json"]) == 2
        assert "--pose: this model knows no pose" in capsys.readouterr().err


class TestTraining:
    def train(self, model, shards, out, **changes):
        leave_no_process_state()
        options = Options(**{**SHORT, **changes})
        return train_stage("tiles", STAGES["tiles"], model, Data((shards,), (1.0,)), options, out, show=False)

    def test_it_learns_and_goes_on_where_it_was(self, model, shards, tmp_path):
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        with pytest.raises(UserError):
            self.train(model, shards.with_name("typo"), whole)
        made = self.train(model, shards, whole)  # the slip pinned nothing
        losses = [row["noise"] for row in read_journal(whole / LOSSES)]
        assert len(losses) == 12 and losses[-1] < losses[0]
        self.train(model, shards, parts, steps=5)
        assert Checkpoints(parts).steps() == [4, 5]
        self.train(model, shards, parts)
        assert (parts / LOSSES).read_bytes() == (whole / LOSSES).read_bytes()
        before, after, again = (load_file(path / "weights") for path in (model, made, parts / "model"))
        assert all(not torch.equal(before[name], after[name]) for name in before)
        assert all(torch.equal(after[name], again[name]) for name in after)
        note = load(made)[2]
        assert note["note"] == "by hand" and note["tiles"]["steps"] == 12
        sheet = cv2.imread(str(whole / "sheet-0000012.png"))
        assert sheet.shape == (32, 32, 3)

    def test_the_command_finds_it_in_the_registry(self, model, shards, tmp_path):
        leave_no_process_state()
        (tmp_path / "short.toml").write_text(
            "".join(f"{name} = {json.dumps(value)}\n" for name, value in SHORT.items())
        )
        words = ["mosaic", "tiles", str(model), "--data", str(shards), "--config", str(tmp_path / "short.toml")]
        words += ["--out", str(tmp_path / "run"), "--quiet"]
        run = CliRunner().invoke(app, [*words, "--steps", "2", "--set", "snr_cap=2.5"])
        assert run.exit_code == 0, run.output
        assert json.loads((tmp_path / "run" / "options.json").read_text())["snr_cap"] == 2.5
        assert "The only stage, on pictures." in CliRunner().invoke(app, ["mosaic", "--help"]).output

    def test_options_that_the_stage_has_not(self, model, shards, tmp_path):
        words = ["mosaic", "tiles", str(model), "--data", str(shards), "--out", str(tmp_path / "run")]
        for more, line in (
            (["--lora", "4"], "no such option here: adapter; expected one of accumulate, attention, batch,"),
            (["--set", "batch"], "--set: expected NAME=VALUE, such as batch=8, got 'batch'"),
            (["--set", "snr_cap=high"], "options: snr_cap: Input should be a valid number"),
        ):
            with pytest.raises(UserError, match=line):
                CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
        assert list(tmp_path.iterdir()) == []


def test_a_stage_in_the_place_of_its_system():
    for word, line in (("hand", "handfirst train two-stage hand"), ("tiles", "handfirst train mosaic tiles")):
        with pytest.raises(UserError, match=f"'{word}' is a stage; say its system first: {line}$"):
            CliRunner().invoke(app, [word], catch_exceptions=False)
