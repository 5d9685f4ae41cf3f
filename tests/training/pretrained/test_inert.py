"""Pickles of torch.save as they lie on disks, and as an attacker writes them: weights come out, and nothing runs."""

from __future__ import annotations

import io
import sys
import types
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.weights import read_weights

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class ModelCheckpoint:
    """Stands for Lightning's callback: the file names a class that the reader's process does not have."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.best = folder, {"score": np.float64(0.5), "of": {1, 2}}


@pytest.fixture
def framework(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the module where the class lies while the file is written."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:count]), types.ModuleType(parts[count - 1]))
    sys.modules[name].ModelCheckpoint = ModelCheckpoint  # type: ignore[attr-defined]
    monkeypatch.setattr(ModelCheckpoint, "__module__", name)
    return name


@FORMATS
def test_a_lightning_checkpoint_opens_without_lightning(
    zipped: bool, framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = torch.nn.Parameter(torch.randn(3, 4))
    shared = torch.arange(10.0)
    state = OrderedDict(weight=weight, part=shared[2:6], column=torch.randn(4, 3).t(), scalar=torch.tensor(1.5))
    state._metadata = {"version": 1}  # type: ignore[attr-defined]
    content = {
        "epoch": 3,
        "callbacks": {ModelCheckpoint: ModelCheckpoint(tmp_path), "other": ModelCheckpoint(tmp_path)},
        "hyper_parameters": Namespace(lr=1e-4, path=tmp_path, sizes=np.arange(3), kinds={1, 2}, dtype=torch.float16),
        "optimizer_states": [{"state": {0: {"step": torch.tensor(7), "avg": torch.zeros(3)}}}],
        "state_dict": state,
    }
    torch.save(content, tmp_path / "last.ckpt", _use_new_zipfile_serialization=zipped)
    monkeypatch.delitem(sys.modules, framework)
    found = read_weights(tmp_path / "last.ckpt")
    assert list(found) == list(state)
    for name, value in state.items():
        assert torch.equal(found[name], value.detach()) and found[name].dtype == value.dtype


@FORMATS
def test_every_type_of_numbers(zipped: bool, tmp_path: Path) -> None:
    types = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    types += [torch.int8, torch.uint8, torch.bool]
    truth = {str(dtype): torch.arange(5).to(dtype) for dtype in types}
    if zipped:
        truth["float8"] = torch.arange(5).to(torch.float8_e4m3fn)
    truth["empty"] = torch.empty(0, 4)
    torch.save(truth, tmp_path / "x", _use_new_zipfile_serialization=zipped)
    found = read_weights(tmp_path / "x")
    assert found.keys() == truth.keys()
    for name, value in truth.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name].float(), value.float())


class Calls:
    """Unpickling it calls a function."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.answer = function, arguments

    def __reduce__(self) -> Any:
        return self.answer


def torch_file(content: bytes, **members: bytes) -> bytes:
    """An archive of torch.save whose pickle is `content`, with one storage of 4 float32 under the key 0."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, value in {"data.pkl": content, "data/0": bytes(16), **members}.items():
            file.writestr(f"archive/{name}", value)
    return stream.getvalue()


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def tensor(offset: bytes, shape: bytes, stride: bytes) -> bytes:
    """A pickle of {"w": tensor} with the opcodes of the three."""
    inner = REBUILD + b"(" + STORAGE + offset + shape + stride + b"\x89NtR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + inner + b"s."


def test_the_bare_pickle_of_these_tests_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(torch_file(tensor(b"K\x00", b"K\x02K\x02\x86", b"K\x02K\x01\x86")))
    assert torch.equal(read_weights(tmp_path / "x")["w"], torch.zeros(2, 2))


HUGE = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
PICKLES = {
    "shape beyond its numbers": tensor(b"K\x00", HUGE + b"\x85", b"K\x01\x85"),
    "stride of zero": tensor(b"K\x00", HUGE + b"\x85", b"K\x00\x85"),
    "offset beyond": tensor(b"K\x04", b"K\x01\x85", b"K\x01\x85"),
    "negative offset": tensor(b"J\xff\xff\xff\xff", b"K\x01\x85", b"K\x01\x85"),
    "negative shape": tensor(b"K\x00", b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),
    "shape and stride differ": tensor(b"K\x00", b"K\x01\x85", b")"),
    "shape of words": tensor(b"K\x00", b"X\x01\x00\x00\x00a\x85", b"K\x01\x85"),
    "shape is a number": tensor(b"K\x00", b"K\x01", b"K\x01\x85"),
    "another storage": tensor(b"K\x00", b"K\x01\x85", b"K\x01\x85").replace(b"\x00\x00\x000X", b"\x00\x00\x009X"),
    "a count that lies": tensor(b"K\x00", b"K\x05\x85", b"K\x01\x85").replace(b"K\x04tQ", b"K\x7ftQ"),
    "a memo of gigabytes": b"\x80\x02}r\xff\xff\xff\x7fX\x01\x00\x00\x00aK",
    "a string of gigabytes": b"\x80\x04B\xff\xff\xff\x7fabc",
    "a frame of exabytes": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x0f}",
    "an empty stack": b"\x80\x020000.",
    "no end": b"\x80\x02}",
    "an unknown opcode": b"\x80\x02\xff.",
    "a list": b"\x80\x02].",
    "a number": b"\x80\x02K\x01.",
    "attributes of a dict": b"\x80\x02}}X\x01\x00\x00\x00aK\x01sb.",
    "items of a class": b"\x80\x02cfoo\nBar\nX\x01\x00\x00\x00aK\x01s.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id of nothing": b"\x80\x02NQ.",
    "attributes of the rebuilding function": b"\x80\x02" + REBUILD + b"N}X\x08\x00\x00\x00__code__Ns\x86b.",
    "attributes of OrderedDict": b"\x80\x02ccollections\nOrderedDict\n}X\x08\x00\x00\x00__init__Nsb.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_hostile_pickles_are_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(torch_file(PICKLES[name]))
    with pytest.raises(UserError) as caught:
        read_weights(tmp_path / "x.ckpt")
    assert "\n" not in str(caught.value) and "damaged or not a checkpoint" in str(caught.value)


@pytest.mark.parametrize(
    "function", ["os system", "posix system", "subprocess Popen", "builtins eval", "builtins exec"]
)
def test_what_would_call_a_command_is_named_and_not_opened(function: str, tmp_path: Path) -> None:
    module, name = function.split()
    content = f"c{module}\n{name}\n".encode() + b"(X\x04\x00\x00\x00truetR."
    (tmp_path / "x.ckpt").write_bytes(torch_file(b"\x80\x02" + content))
    with pytest.raises(UserError, match=f"it would call {module}.{name}"):
        read_weights(tmp_path / "x.ckpt")


@FORMATS
def test_nothing_runs(zipped: bool, tmp_path: Path) -> None:
    ran: list[int] = []
    trap = tmp_path / "trapped"
    weight = torch.ones(2)
    for call in (
        Calls(Path.touch, trap),
        Calls(np.savetxt, str(trap), [1]),
        Calls(torch.save, {}, str(trap)),
        Calls(torch.load, "nowhere"),
        Calls(getattr, Path(trap), "touch"),
    ):
        torch.save({"w": weight, "trap": call}, tmp_path / "x", _use_new_zipfile_serialization=zipped)
        assert torch.equal(read_weights(tmp_path / "x")["w"], weight)
    assert not trap.exists() and not ran


def test_a_tuple_as_deep_as_the_file_is_long(tmp_path: Path) -> None:
    content = b"\x80\x02}N" + b"\x85" * 2_000_000 + b"K\x01s."  # as a key: its hash would overflow the stack
    (tmp_path / "x").write_bytes(torch_file(content))
    assert read_weights(tmp_path / "x") == {}


def test_state_dicts_without_end(tmp_path: Path) -> None:
    content = b"\x80\x02}q\x00X\x0a\x00\x00\x00state_dicth\x00s."
    (tmp_path / "x").write_bytes(torch_file(content))
    assert read_weights(tmp_path / "x") == {}


def test_programs_and_packed_numbers_are_refused(tmp_path: Path) -> None:
    whole = tensor(b"K\x00", b"K\x04\x85", b"K\x01\x85")
    for content, said in (
        (torch_file(whole, **{"constants.pkl": b""}), "TorchScript"),
        (torch_file(whole, byteorder=b"big"), "most significant byte first"),
    ):
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(UserError, match=said):
            read_weights(tmp_path / "x")
    with zipfile.ZipFile(tmp_path / "x", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", whole)
        file.writestr("archive/data/0", bytes(16))
    with pytest.raises(UserError, match=r"packed; save it with torch\.save again"):
        read_weights(tmp_path / "x")
