"""What lies in files: text in any encoding, plain files alone; hostile .npy and .npz files, one clear line each.

No memory is taken for what a header only promises.
"""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.named_person import BODY_18, CANVAS, TRUTH, openpose

from handfirst.runtime.errors import PoseError
from handfirst.runtime.pose.content import MOST_NUMBERS, is_array_file, read_arrays
from handfirst.runtime.pose.read import LARGEST_FILE, read_pose


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def header(shape: str, descr: str = "'<f8'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def bomb() -> bytes:
    """40 MB of zeros in 40 kB."""
    return npy(header("(2,)"), b"\0" * (40 << 20))


def lying(data: bytes, size: int) -> bytes:
    """A zip whose directory says that its member unpacks to `size` bytes."""
    place = data.rindex(b"PK\x01\x02") + 24
    return data[:place] + struct.pack("<I", size) + data[place + 4 :]


def twice() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
        for _ in range(2):
            archive.writestr("a.npy", npy(header("(2,)"), bytes(16)))
    return file.getvalue()


GOOD = npy(header("(2,)"), np.array([1.5, np.nan]).tobytes())
LARGE = npy(header(f"({MOST_NUMBERS // 2},)", "'|u1'"), bytes(MOST_NUMBERS // 2))
BAD = {
    "cut off": (GOOD[:-1], "damaged"),
    "no header": (b"\x93NUMPY\x01\x00", "damaged"),
    "a header of nonsense": (npy("hello"), "damaged"),
    "code for a header": (npy("__import__('os').abort()"), "damaged"),
    "half a header": (npy("{'descr': '<f8'}"), "damaged"),
    "a huge shape": (npy(header("(99999999, 99999999)")), f"at most {MOST_NUMBERS} numbers"),
    "a shape beyond integers": (npy(header(f"({10**400},)")), f"at most {MOST_NUMBERS} numbers"),
    "a negative shape": (npy(header("(-2, -3)")), f"at most {MOST_NUMBERS} numbers"),
    "objects": (npy(header("(1,)", "'|O'"), b"\x80\x04N."), "plain numbers"),
    "text": (npy(header("(1,)", "'<U9'"), b"\0" * 36), "plain numbers"),
    "records": (npy(header("(1,)", "[('x', '<f8')]"), b"\0" * 8), "plain numbers"),
    "subarrays": (npy(header("(1,)", "('<f8', (3,))"), b"\0" * 24), "plain numbers"),
    "a version of tomorrow": (npy(header("(1,)"), b"\0" * 8, b"\x09\x00"), "version 1 or 2|damaged"),
    "an empty zip": (zipped({}), "1 to 64 arrays, got a zip with 0"),
    "another zip": (zipped({"readme.txt": b"hello"}), "1 to 64 arrays, got a zip with 0"),
    "a name that stands twice": (twice(), "two arrays of the .npz file have the same name"),
    "a zip of many": (zipped({f"{i}.npy": GOOD for i in range(65)}), "got a zip with 65"),
    "a cut zip": (zipped({"a.npy": GOOD})[:-30], "damaged"),
    "a spoilt member": (zipped({"a.npy": GOOD}, zipfile.ZIP_STORED).replace(b"NUMPY", b"NUMPX"), "damaged"),
    "a bomb": (zipped({"a.npy": bomb()}), f"at most {MOST_NUMBERS} numbers"),
    "a bomb that lies": (lying(zipped({"a.npy": bomb()}), 100), "damaged|at most"),
    "many large members": (zipped({f"{name}.npy": LARGE for name in "abc"}), "numbers in all"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_one_clear_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "pose.npz").write_bytes(content)
    tracemalloc.start()
    with pytest.raises(PoseError, match=message) as caught:
        read_pose(tmp_path / "pose.npz", (9, 9))
    assert tracemalloc.get_traced_memory()[1] < 160 << 20
    tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_numpy_s_own_files() -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones((2, 2), np.bool_), "c": np.asfortranarray(np.eye(3))}
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, **arrays)
        assert is_array_file(file.getvalue())
        read = read_arrays(file.getvalue())
        assert read.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array)
    file = io.BytesIO()
    np.save(file, np.arange(4, dtype=">i2"))
    np.testing.assert_array_equal(read_arrays(file.getvalue())["arr_0"], np.arange(4))
    assert not is_array_file(b'{"people": []}')


TEXT = json.dumps(openpose(BODY_18, **CANVAS) | {"name": "Jörg 手"}, ensure_ascii=False)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "pose.json").write_bytes(TEXT.encode(encoding))
    np.testing.assert_allclose(read_pose(tmp_path / "pose.json").people[0].left_hand, TRUTH["left"])


def test_names_in_an_old_encoding(tmp_path: Path) -> None:
    (tmp_path / "pose.json").write_bytes(TEXT.replace("手", "").encode("cp1252"))
    np.testing.assert_allclose(read_pose(tmp_path / "pose.json").people[0].left_hand, TRUTH["left"])


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices as files")
def test_what_could_be_read_for_ever_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "pipe.json")
    for path in (tmp_path / "pipe.json", tmp_path / "link.json", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(PoseError, match="expected a plain file, got a pipe or a device"):
            read_pose(path)
    with pytest.raises(PoseError, match="expected a plain file, got a folder"):
        read_pose(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux")
def test_files_that_say_they_are_empty_are_not_read() -> None:
    """/proc/kmsg is such a file, and waits for the kernel to say something."""
    for path in ("/proc/self/status", "/proc/kmsg"):
        with pytest.raises(PoseError, match=r"the file is empty|Permission denied|not permitted|No such file"):
            read_pose(path)


def test_files_of_bounded_size(tmp_path: Path) -> None:
    (tmp_path / "pose.json").write_bytes(b"")
    with pytest.raises(PoseError, match="the file is empty"):
        read_pose(tmp_path / "pose.json")
    with (tmp_path / "pose.json").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(PoseError, match="expected at most 64 MB"):
        read_pose(tmp_path / "pose.json")


@pytest.mark.parametrize("where", ["at the top", "in a person", "in a frame that is text"])
def test_a_name_that_stands_twice_is_refused(where: str, tmp_path: Path) -> None:
    person = '{"hand_left_keypoints_2d": [], "hand_left_keypoints_2d": []}'
    text = {
        "at the top": TEXT[:-1] + ', "people": []}',
        "in a person": f'{{"people": [{person}], "canvas_width": 9, "canvas_height": 9}}',
        "in a frame that is text": json.dumps({"poses": [f'{{"people": [{person}]}}']}),
    }[where]
    (tmp_path / "pose.json").write_text(text, encoding="utf-8")
    name = "people" if where == "at the top" else "hand_left_keypoints_2d"
    with pytest.raises(PoseError, match=f"not valid JSON .'{name}' stands twice"):
        read_pose(tmp_path / "pose.json")
