"""`build` runs every engine with the shapes that rendering has, no others; `cache` lists and prunes what it left."""

import json
import os
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.arithmetic_model import FUNCTIONS, SETTINGS, changed, person, request, spec, tokenizer
from support.fake_engine import FakeEngine

from handfirst.engines import bundle as bundles
from handfirst.engines.bundle import demo_bundle_path
from handfirst.engines.cache import EngineCache, Key
from handfirst.engines.errors import UserError
from handfirst.engines.spec import AxisLimits, EngineSpec, TensorSpec
from handfirst.runtime.cli.build import build_all
from handfirst.runtime.cli.cache import parse_bytes
from handfirst.runtime.cli.main import main
from handfirst.runtime.running import blank_inputs
from handfirst.runtime.systems.two_stage.roles import ROLES, runs
from handfirst.runtime.systems.two_stage.system import TwoStage


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("HANDFIRST_CACHE", str(tmp_path / "cache"))
    return EngineCache()


class Recorder:
    """The tiny model as a bundle, whose engines note the shapes of every run."""

    def __init__(self, settings=SETTINGS):
        self.seen = defaultdict(set)
        self.opened = []
        self.layers = None
        self.manifest = SimpleNamespace(
            name="tiny",
            system="two-stage",
            settings=settings.model_dump(),
            engines={role: SimpleNamespace(spec=spec(role)) for role in ROLES},
            files={},
        )
        self.digest = "0123456789ab" + 52 * "f"

    def engine(self, role, engine="cpu", threads=None):
        self.opened.append((role, engine, threads))

        def function(inputs):
            self.seen[role].add(tuple(sorted((name, value.shape) for name, value in inputs.items())))
            return FUNCTIONS[role](inputs)

        made = FakeEngine(spec(role), role, function)
        if self.layers is not None:
            made.layers = partial(self.layers, made)
        return made


def rendered(settings, people):
    """The shapes of every run of a render, one picture for each person."""
    record = Recorder(settings)
    system = TwoStage(settings, {role: record.engine(role) for role in ROLES}, tokenizer())
    system.render_batch([request(each, seed=seed) for seed, each in enumerate(people)])
    return record.seen


UNGUIDED = changed(defaults={"guidance": 1.0, "hand_guidance": 1.0})


@pytest.mark.parametrize("pictures", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("settings", [SETTINGS, UNGUIDED], ids=["guided", "unguided"])
def test_what_is_built_is_what_rendering_runs(pictures, settings):
    record = Recorder(settings)
    assert [built.role for built in build_all(record, "openvino", pictures, 3)] == list(ROLES)
    assert record.opened == [(role, "openvino", 3) for role in ROLES]
    two, one = (rendered(settings, [each] * pictures) for each in (person(), person(right=None)))
    assert set(two) == set(one) == set(ROLES)
    for role in ROLES:
        assert record.seen[role] == two[role] | one[role], role


def test_free_sizes_come_from_the_engine_before():
    def tensor(name, *shape):
        return TensorSpec(name=name, dtype="float32", shape=shape)

    free = EngineSpec(
        inputs=(tensor("sample", "b", 4, "h", "w"), tensor("residual_mid", "b", 8, "r", "c"), tensor("t", "b")),
        outputs=(tensor("y", "b"),),
    )
    made = blank_inputs(free, 2, (24, 16), {"residual_mid": (6, 8, 3, 2)})
    shapes = {name: value.shape for name, value in made.items()}
    assert shapes == {"sample": (2, 4, 24, 16), "residual_mid": (2, 8, 3, 2), "t": (2,)}
    assert all(value.dtype == np.float32 and not value.any() for value in made.values())


def test_the_demos_shapes_written_out():
    from handfirst.engines.bundle import Bundle
    from handfirst.runtime.systems.two_stage.settings import read_settings

    manifest = Bundle.open(demo_bundle_path()).manifest
    specs = {role: entry.spec for role, entry in manifest.engines.items()}
    plan = runs(read_settings(manifest), specs, 1)
    assert plan["hand_unet"].shapes == [(2, (16, 16)), (4, (16, 16))]
    assert plan["body_unet"].shapes == plan["controlnet"].shapes == [(2, (24, 24))]
    assert plan["vae_decoder"].shapes == [(1, (16, 16)), (2, (16, 16)), (1, (24, 24))]
    assert plan["hint_encoder"].shapes == plan["vae_encoder"].shapes == [(1, (192, 192))]
    three = AxisLimits(usual=2, most=3)
    for role, free in specs.items():
        specs[role] = free.model_copy(update={"limits": {str(free.inputs[0].shape[0]): three}})
    plan = runs(read_settings(manifest), specs, 2)
    assert plan["hand_unet"].shapes == [(1, (16, 16)), (2, (16, 16)), (3, (16, 16))]  # four rows, or eight
    assert plan["body_unet"].shapes == [(1, (24, 24)), (3, (24, 24))]
    assert plan["vae_encoder"].shapes == [(2, (192, 192))]


def refused(capsys, *arguments):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err


class TestBuild:
    @pytest.fixture
    def record(self, monkeypatch):
        record = Recorder()
        monkeypatch.setattr(bundles.Bundle, "open", lambda *_, **__: record)
        return record

    def test_one_json_object(self, record, cache, capsys):
        cache.store(Key("openvino", "a", "b", "c", "d"), b"blob")
        arguments = "build some --engine openvino --batch 2 --threads 2 --json"
        assert main(arguments.split()) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["bundle"] == {"name": "tiny", "id": "0123456789ab"}
        assert told["engine"] == {"name": "openvino", "reason": "asked for"}
        assert [each["role"] for each in told["built"]] == list(ROLES)
        runs = {each["role"]: each["runs"] for each in told["built"]}
        assert runs["body_unet"] == [{"batch": 4, "height": 8, "width": 8}]
        (entry,) = cache.entries()
        assert told["cache"] == {"path": str(cache.folder), "entries": 1, "bytes": entry.size}
        assert {(engine, threads) for _, engine, threads in record.opened} == {("openvino", 2)}

    def test_a_table_and_a_bar_for_people(self, record, cache, capsys):
        assert main(["build", "--engine", "tensorrt", "--progress"]) == 0
        said = capsys.readouterr()
        assert "tiny 0123456789ab on tensorrt" in said.out and "body_unet" in said.out and "2 x 8 x 8" in said.out
        assert "8/8" in said.err

    def test_the_layers_of_every_plan_go_into_a_file(self, record, cache, capsys, tmp_path):
        """Some engines keep fewer plans than they run shapes: each is asked while it is there."""

        def layers(self):
            shapes = record.seen[self.name]
            return {str(len(shapes)): {"Layers": [{"Name": self.name}]}}

        record.layers = layers
        out = tmp_path / "layers.json"
        assert main(["build", "--engine", "tensorrt:1", "--inspect", str(out)]) == 0
        told = json.loads(out.read_text())
        assert list(told) == list(ROLES) and list(told["hand_unet"]) == ["1", "2"]
        assert told["body_unet"] == {"1": {"Layers": [{"Name": "body_unet"}]}}
        assert f"layers  {out}" in capsys.readouterr().out

    def test_engines_that_tell_no_layers(self, record, cache, capsys, tmp_path):
        line = refused(capsys, "build", "--engine", "openvino", "--inspect", str(tmp_path / "layers.json"))
        assert "expected engine tensorrt" in line
        assert ".json" in refused(capsys, "build", "--engine", "tensorrt", "--inspect", str(tmp_path / "layers"))
        assert record.opened == [] and not (tmp_path / "layers.json").exists()

    def test_an_engine_that_compiles_nothing(self, record, cache, capsys):
        line = refused(capsys, "build", "--engine", "cpu")
        assert "engine cpu (asked for) compiles nothing ahead" in line and "openvino-bf16" in line
        assert record.opened == []

    def test_refusals(self, record, cache, capsys):
        assert "--batch" in refused(capsys, "build", "--engine", "openvino", "--batch", "0")
        assert "engine must be one of" in refused(capsys, "build", "--engine", "magic")

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="only POSIX says who may write")
    def test_a_cache_that_cannot_be_used(self, record, cache, capsys):
        cache.folder.mkdir()
        cache.folder.chmod(0o777)
        assert "the cache cannot be used: " in refused(capsys, "build", "--engine", "openvino")
        assert record.opened == []


def filled(cache: EngineCache) -> list[int]:
    """Entries "0", "1", "2" of 1, 2 and 3 kB, used today, yesterday and the day before; their sizes."""
    sizes = []
    for i in range(3):
        path = cache.store(Key("openvino", "ab" * 32, "openvino 1.0", "a CPU", f"x={i}"), bytes(1000 * (i + 1)))
        assert path is not None
        then = time.time() - i * 86400
        os.utime(path, (then, then))
        sizes.append(path.stat().st_size)
    return sizes


class TestCache:
    def test_list(self, cache, capsys):
        sizes = filled(cache)
        assert main(["cache", "list", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["path"], told["bytes"]) == (str(cache.folder), sum(sizes))
        assert [entry["key"]["options"] for entry in told["entries"]] == ["x=0", "x=1", "x=2"]
        assert [entry["bytes"] for entry in told["entries"]] == sizes
        assert main(["cache", "list"]) == 0
        said = capsys.readouterr().out
        assert "openvino" in said and "abababababab" in said and said.splitlines()[-1].startswith("3 graphs, 0 MB in ")

    def test_an_empty_cache(self, cache, capsys):
        assert main(["cache", "list"]) == 0
        assert capsys.readouterr().out == f"0 graphs, 0 MB in {cache.folder}\n"

    @pytest.mark.parametrize(
        ("arguments", "removed"),
        [("", "012"), ("--max-size 4kB", "2"), ("--older-than 0.5", "12"), ("--max-size 1GB", "")],
    )
    def test_prune(self, cache, capsys, arguments, removed):
        filled(cache)
        assert main(["cache", "prune", "--json", *arguments.split()]) == 0
        told = json.loads(capsys.readouterr().out)
        assert "".join(entry["key"]["options"][-1] for entry in told["entries"]) == removed
        assert len(cache.entries()) == 3 - len(removed)

    def test_prune_says_what_it_did(self, cache, capsys):
        filled(cache)
        assert main(["cache", "prune"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"3 graphs, 0 MB removed from {cache.folder}"

    def test_refusals(self, cache, capsys):
        assert "--max-size: expected a size such as" in refused(capsys, "cache", "prune", "--max-size", "much")
        assert "--older-than" in refused(capsys, "cache", "prune", "--older-than", "-1")
        assert main(["cache"]) == 2


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("800m", 8 * 10**8), ("123", 123), (" 4 kB ", 4000), (None, None)],
)  # fmt: skip
def test_sizes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1e9", "1,5GB", "2 PB", "nan", "९GB", "1" * 40])
def test_sizes_that_are_none(text):
    with pytest.raises(UserError, match="--max-size: expected a size"):
        parse_bytes(text)
