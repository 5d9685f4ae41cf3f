"""What a file is, is told by its content; whatever else it is, is named in one line."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from handfirst.engines.errors import UserError
from handfirst.training.pretrained.weights import read_metadata, read_weights

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.arange(4).half()}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4265146304\n"


def same(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert found[name].dtype == value.dtype and torch.equal(found[name], value)


@pytest.mark.parametrize("name", ["x.safetensors", "x.ckpt", "X.SAFETENSORS", "x.pt.part", "x", "x.onnx"])
def test_suffixes_say_nothing(name: str, tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / name)
    same(read_weights(tmp_path / name))
    torch.save({"state_dict": TENSORS}, tmp_path / name)
    same(read_weights(tmp_path / name))
    torch.save(TENSORS, tmp_path / name, _use_new_zipfile_serialization=False)
    same(read_weights(tmp_path / name))


def archive(name: str, content: bytes = b"x") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr(name, content)
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as file:
        file.addfile(tarfile.TarInfo("pickle"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (POINTER, "a git-lfs pointer; run `git lfs pull`"),
        (b"<!DOCTYPE html>\n<html><body>Log in</body></html>", "a web page; download the file itself"),
        (b"\xef\xbb\xbf\n  <html>", "a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
        (b'{"error": "Invalid username or password."}', "a JSON file"),
        (b"Entry not found", "a text file"),
        (b"", "an empty file; copy it again"),
        (b"\0" * 4096, "zeros"),
        (b"\x1f\x8b\x08" + bytes(range(100)), "a gzip archive; unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a rar archive"),
        (b"\x89PNG\r\n\x1a\n", "a picture"),
        (b"\xff\xd8\xff\xe0", "a picture"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"\x89HDF\r\n\x1a\n", "Keras"),
        (tar(), "a tar archive; unpack it first"),
        (archive("model.safetensors"), "a zip archive with model.safetensors in it, unpack it first"),
        (archive("readme.txt"), "a zip archive"),
        (archive("readme.txt")[-22:], "damaged or not a checkpoint"),
        (archive("a/data.pkl"), "damaged or not a checkpoint"),
        (archive("a/data.pkl", b"\x80\x02}.") + b"", None),
        (bytes(range(128, 256)) * 4, "damaged or not a checkpoint: expected .safetensors or .ckpt"),
        (b"\x80\x02]q\x00.", "a pickle that torch.save did not write; convert it to .safetensors"),
        (b"\x80\x04\x95", "damaged or not a checkpoint"),
        ((10**6).to_bytes(8, "little") + b'{"a"', "a .safetensors file that is cut off after 12 bytes"),
    ],
)
@pytest.mark.parametrize("suffix", ["safetensors", "CKPT"])
def test_other_things_are_named(content: bytes, said: str | None, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"model.{suffix}"
    file.write_bytes(content)
    if said is None:
        assert read_weights(file) == {}
        return
    with pytest.raises(UserError) as caught:
        read_weights(file)
    message = str(caught.value)
    assert said in message and "\n" not in message and message.startswith(f"{file}: ")


def test_every_cut_is_one_line(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "whole.safetensors")
    torch.save(TENSORS, tmp_path / "whole.ckpt")
    torch.save(TENSORS, tmp_path / "whole.pt", _use_new_zipfile_serialization=False)
    for whole in sorted(tmp_path.glob("whole.*")):
        content = whole.read_bytes()
        for length in range(0, len(content) - 1, max(1, len(content) // 60)):
            torn = tmp_path / "torn"
            torn.write_bytes(content[:length])
            with pytest.raises(UserError) as caught:
                read_weights(torn)
            assert "\n" not in str(caught.value)


def test_words_of_the_header(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a", {"modelspec.prediction_type": "v"})
    save_file(TENSORS, tmp_path / "b")
    torch.save(TENSORS, tmp_path / "c")
    assert read_metadata(tmp_path / "a") == {"modelspec.prediction_type": "v"}
    assert read_metadata(tmp_path / "b") == read_metadata(tmp_path / "c") == {}


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 1 << 60]},
        {"dtype": "F32", "shape": "many", "data_offsets": [0, 4]},
        [],
        7,
    ],
)
def test_absurd_headers(entry: object, tmp_path: Path) -> None:
    header = json.dumps({"weight": entry}).encode()
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(UserError, match="damaged or not a checkpoint"):
        read_weights(tmp_path / "x")
