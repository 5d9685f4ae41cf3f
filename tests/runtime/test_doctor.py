"""`handfirst doctor` on machines that have, lack or broke something."""

import json
from types import SimpleNamespace

import pytest
from support.cached import BLOB, KEY, OTHER, age, stored

from handfirst.engines.bundle import demo_bundle_path
from handfirst.engines.cache import EngineCache
from handfirst.engines.choice import Choice
from handfirst.engines.cuda.driver import Driver
from handfirst.engines.errors import EngineError
from handfirst.runtime import doctor
from handfirst.runtime.cli.main import main

BOTH = (
    "onnxruntime and onnxruntime-gpu are both installed and overwrite each other; run: pip uninstall -y onnxruntime "
    "onnxruntime-gpu, then pip install 'handfirst[cpu]' or 'handfirst[cuda]'"
)
GPU = Driver("NVIDIA X1", "13.0", (9, 0))


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A machine with onnxruntime, which works; tests change it."""
    machine = SimpleNamespace(has=["onnxruntime"], driver=None, wrong={}, bfloat16=True, choice=Choice("cpu", "best"))

    def choose(model_bytes):
        if machine.choice is None:
            raise EngineError("no engine is installed; run: pip install 'handfirst[cpu]'")
        return machine.choice

    real = doctor.metadata.version
    monkeypatch.setenv("HANDFIRST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "_KERNEL_DRIVER", tmp_path / "none")
    monkeypatch.setattr(doctor, "nvidia_driver", lambda: machine.driver)
    monkeypatch.setattr(doctor, "distributed", lambda name: name in machine.has)
    monkeypatch.setattr(doctor, "importable", lambda name: any(each.startswith(name) for each in machine.has))
    monkeypatch.setattr(doctor.metadata, "version", lambda name: real(name) if name == "handfirst" else "9.9")
    monkeypatch.setattr(doctor, "computes_bfloat16", lambda: machine.bfloat16)
    monkeypatch.setattr(doctor, "choose", choose)
    monkeypatch.setattr(doctor, "probe", lambda engine, bundle=None: machine.wrong.get((engine, bool(bundle))))
    return machine


def break_engine(machine, engine, why):
    machine.wrong |= {(engine, False): why, (engine, True): why}


def found():
    return {each.part: each for each in doctor.examine()}


def problems():
    return sorted(part for part, each in found().items() if each.state == "problem")


def test_all_is_well(here, capsys, tmp_path):
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    states = {each["part"]: each["state"] for each in told["findings"]}
    assert told["ok"] is True
    assert {part for part, state in states.items() if state == "problem"} == set()
    assert {part: states[part] for part in states if part.startswith("engine")} == {
        "engine cpu": "ok", "engine cuda": "absent", "engine openvino": "absent", "engine openvino-bf16": "absent",
        "engine tensorrt": "absent",
    }  # fmt: skip
    assert (states["default engine"], states["embedded model"], states["cache"]) == ("ok", "ok", "ok")
    assert told["machine"]["cores"] >= 1
    assert list(tmp_path.iterdir()) == []  # not even the cache's folder


def test_people_get_a_table_and_what_to_do(here, capsys):
    break_engine(here, "cpu", BOTH)
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.startswith("to do")]
    assert line.startswith("to do (engine cpu, default engine): pip uninstall -y onnxruntime onnxruntime-gpu, then pip")
    assert "`handfirst demo` does not work here" in said


def test_without_any_engine(here, capsys):
    here.has, here.choice = [], None
    assert problems() == ["default engine"]
    assert found()["default engine"].remedy == "pip install 'handfirst[cpu]'"
    assert main(["doctor"]) == 1


def test_an_engine_that_nobody_needs_by_default_may_be_broken(here, capsys):
    here.has += ["openvino"]
    break_engine(here, "openvino", "its library does not import: libz.so.1")
    assert problems() == ["engine openvino"]
    assert found()["engine openvino"].remedy == "pip install --force-reinstall 'handfirst[openvino]'"
    assert "libz.so.1" in found()["engine openvino"].detail
    assert main(["doctor"]) == 0


def test_what_the_hardware_does_not_have_is_no_problem(here):
    here.has, here.bfloat16 = ["onnxruntime-gpu", "openvino", "tensorrt"], False
    for engine in ("cuda", "tensorrt", "openvino-bf16"):
        break_engine(here, engine, "must not be asked")
    assert problems() == []
    assert "no driver answers" in found()["engine cuda"].detail
    assert "no driver answers" in found()["engine tensorrt"].detail
    assert "bfloat16" in found()["engine openvino-bf16"].detail
    assert found()["engine cpu"].detail == "onnxruntime-gpu 9.9; opened and computed"


def test_a_gpu_that_nothing_uses(here):
    here.driver = GPU
    assert problems() == ["gpu"]
    assert "handfirst[cuda]" in found()["gpu"].remedy
    here.has = ["onnxruntime-gpu"]
    assert problems() == []
    assert found()["engine cuda"].state == "ok"


def test_a_gpu_that_the_container_was_not_given(here, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "_KERNEL_DRIVER", tmp_path)
    assert problems() == ["gpu"]
    assert "--gpus all" in found()["gpu"].remedy


def test_the_model_is_to_blame_where_the_engine_works(here, capsys):
    here.wrong["cpu", True] = "mask_head: 3.0 dB against torch, at least 60 needed (cpu)"
    assert problems() == ["embedded model"]
    assert "3.0 dB" in found()["embedded model"].detail
    assert main(["doctor"]) == 1


def test_an_altered_file_of_the_model_is_found(here, monkeypatch, tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    for path in demo_bundle_path().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    name = min((p for p in folder.glob("*.onnx")), key=lambda p: p.stat().st_size)
    data = bytearray(name.read_bytes())
    data[-1] ^= 1
    name.write_bytes(data)
    monkeypatch.setattr(doctor, "demo_bundle_path", lambda: folder)
    assert problems() == ["embedded model"]
    assert name.name in found()["embedded model"].detail
    assert not doctor.default_works(doctor.examine())


def test_broken_entries_of_the_cache_are_counted(here):
    cache = EngineCache()
    path, other = stored(cache), stored(cache, OTHER)
    assert found()["cache"].state == "ok"
    assert "2 graphs" in found()["cache"].detail
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # as long as before
    path.write_bytes(data)
    assert cache.broken() == [path]
    assert cache.load(KEY) is None
    other.write_bytes(other.read_bytes()[:-1])
    assert set(cache.broken()) == {path, other}
    assert "2 broken" in found()["cache"].detail
    assert (found()["cache"].state, found()["cache"].remedy) == ("problem", "handfirst cache prune")
    assert main(["cache", "prune"]) == 0
    assert (cache.broken(), problems()) == ([], [])


def test_looking_at_the_cache_uses_nothing(here):
    cache = EngineCache()
    path = stored(cache)
    age(path, 3)
    before = path.stat().st_mtime_ns
    assert cache.broken() == []
    assert path.stat().st_mtime_ns == before
    assert cache.load(KEY) == BLOB


def test_a_cache_that_others_may_write_to(here):
    cache = EngineCache()
    stored(cache)
    cache.folder.chmod(0o777)
    assert problems() == ["cache"]
    assert "HANDFIRST_CACHE" in found()["cache"].remedy


def test_extras_are_those_of_which_everything_is_here(here, monkeypatch):
    lines = ["numpy>=1", 'onnxruntime>=1.20; extra == "cpu"', 'a[b]>=1; extra == "two"', "c; extra == 'two'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: lines)
    assert doctor.complete_extras() == ["cpu"]
    here.has += ["a", "c"]
    assert doctor.complete_extras() == ["cpu", "two"]
