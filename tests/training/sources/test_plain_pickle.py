"""Pickles of strangers: what NumPy wrote is read as NumPy reads it, and nothing is ever run."""

from __future__ import annotations

import io
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handfirst.training.data.sources.entry import UnusableError
from handfirst.training.data.sources.pickle_steps import Stand, run
from handfirst.training.data.sources.plain_pickle import read_objects


def people(dtype: type[np.generic] = np.float32) -> np.ndarray:
    rng = np.random.default_rng(1)
    found = np.empty(3, dtype=object)
    for i in range(3):
        found[i] = {"keypoints": rng.uniform(0, 500, (17, 3)).astype(dtype), "score": dtype(0.5), "tag": "a", "n": 7}
    return found


def write(path: Path, payload: bytes, shape: tuple[int, ...] = (1,)) -> Path:
    """A .npz whose arr_0 has the header of an object array and `payload` for a pickle."""
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "|O", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", data.getvalue() + payload)
    return path


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_numpys_own_arrays(protocol: int, dtype: type[np.generic], tmp_path: Path) -> None:
    truth = people(dtype)
    found = read_objects(write(tmp_path / "a.npz", pickle.dumps(truth, protocol), (3,)))
    for mine, theirs in zip(found, truth, strict=True):
        np.testing.assert_array_equal(mine["keypoints"], theirs["keypoints"])
        assert mine["score"] == theirs["score"] and mine["tag"] == "a" and mine["n"] == 7


def test_savez_and_orders_of_bytes_and_memory(tmp_path: Path) -> None:
    truth = people(np.float64)
    truth[0]["keypoints"] = np.asfortranarray(truth[0]["keypoints"])
    truth[1]["keypoints"] = truth[1]["keypoints"].astype(">f4")
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", truth)
        for mine, theirs in zip(read_objects(tmp_path / "a.npz"), truth, strict=True):
            np.testing.assert_array_equal(mine["keypoints"], theirs["keypoints"])


class Evil:
    """Would make a file if it were run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_run(protocol: int, tmp_path: Path) -> None:
    array = np.empty(1, dtype=object)
    array[0] = {"keypoints": Evil(tmp_path / "was-here")}
    path = write(tmp_path / "evil.npz", pickle.dumps(array, protocol))
    with pytest.raises(UnusableError, match="names other things than arrays"):
        read_objects(path)
    assert not (tmp_path / "was-here").exists()
    np.load(path, allow_pickle=True)["arr_0"]  # the trap is a real one
    assert (tmp_path / "was-here").exists()


@pytest.mark.parametrize(
    "name", [b"builtins\neval", b"numpy\nload", b"numpy\nndarray.tofile", b"os\nsystem", b"numpy.core.x\ndtype"]
)
def test_other_names_are_refused(name: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="names other things than arrays"):
        read_objects(write(tmp_path / "a.npz", b"c" + name + b"\n."))


def test_what_is_no_plain_number_is_refused(tmp_path: Path) -> None:
    array = np.empty(1, dtype=object)
    for value in (np.array([(1, 2.0)], dtype="i4,f4"), np.array(["text"]), np.array(["2020"], dtype="M8[Y]")):
        array[0] = {"keypoints": value}
        with pytest.raises(UnusableError, match=r"^pose file: "):
            read_objects(write(tmp_path / "a.npz", pickle.dumps(array, 3)))


def test_an_array_larger_than_its_bytes_is_refused(tmp_path: Path) -> None:
    payload = pickle.dumps(people(), 3).replace(b"K\x11K\x03\x86", b"K\xffK\xff\x86")
    assert payload != pickle.dumps(people(), 3)
    with pytest.raises(UnusableError, match="damaged"):
        read_objects(write(tmp_path / "a.npz", payload, (3,)))


def test_lists_without_end_are_dropped(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    bomb: list[Any] = ["x"]
    for _ in range(200):
        bomb = [bomb, bomb]
    array = np.empty(1, dtype=object)
    array[0] = {"keypoints": endless, "score": bomb, "area": (bomb,), "n": 1}
    (found,) = read_objects(write(tmp_path / "a.npz", pickle.dumps(array, 3)))
    assert found == {"keypoints": None, "score": None, "area": None, "n": 1}


def test_large_members_are_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("arr_0.npy", b"\0" * (5 << 20))
    with pytest.raises(UnusableError, match="too large"):
        read_objects(tmp_path / "a.npz")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_is_a_reason(data: st.DataObject, tmp_path: Path) -> None:
    payload = bytearray(pickle.dumps(people(), 3))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_objects(write(tmp_path / "a.npz", bytes(payload), (3,)))
    except UnusableError as error:
        assert str(error).startswith("pose file: ")


def tuples(depth: int) -> bytes:
    return b")" + b"\x85" * depth


BOMBS = {
    "a place in the memo of 32 GB": b"]r\xff\xff\xff\x7f.",
    "four gigabytes of a text encoded again and again": (
        b"c_codecs\nencode\nq\x00X\x00\x00\x08\x00" + b"a" * (1 << 19) + b"q\x01X\x06\x00\x00\x00latin1\x86q\x02"
        + b"h\x00h\x02R" * 60_000 + b"."
    ),
    "bytes without bytes": b"\x8e" + b"\xff" * 7 + b"\x7f.",
    "a bytearray": b"\x96" + b"\xff" * 7 + b"\x7f.",
    "a frame of a petabyte": b"\x80\x04\x95" + bytes(6) + b"\x10\x00.",
    "a number of half a million digits": b"L" + b"9" * 500_000 + b"L\n.",
    "a million sets": b"\x8f" * 1_000_000 + b".",
    "a million lists": b"]" * 1_000_000 + b".",
    "a key of tuples in tuples": b"}" + tuples(90_000) + b"Ns.",
    "a key of another key's kind": b"}}Ns.",
    "everything doubled": b"]" + b"2" * 100 + b"a" * 100 + b".",
    "an object": b"ccopyreg\n_reconstructor\n.",
    "persistent": b"Pfile\n.",
    "extension": b"\x82\x01.",
    "no end": b"]" * 10,
    "nothing": b"",
    "build of a list": b"](K\x01tb.",
    "call of a call": b"cnumpy\nndarray\n)R)R.",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_takes_neither_time_nor_memory(bomb: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", BOMBS[bomb])
    tracemalloc.start()
    try:
        with pytest.raises(UnusableError, match=r"^pose file: "):
            read_objects(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_one_person_many_times_is_too_many(tmp_path: Path) -> None:
    array = np.empty(2000, dtype=object)
    array[:] = [{"keypoints": np.zeros(9)}] * 2000
    with pytest.raises(UnusableError, match="too many people"):
        read_objects(write(tmp_path / "a.npz", pickle.dumps(array, 3), (2000,)))
    array = np.empty(1, dtype=object)
    array[0] = {str(i): 1 for i in range(200)}
    with pytest.raises(UnusableError, match="too many fields"):
        read_objects(write(tmp_path / "a.npz", pickle.dumps(array, 3)))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_or_plain(data: bytes) -> None:
    try:
        found = run(data, lambda module, name: f"{module}.{name}")
    except Exception as error:
        assert not isinstance(error, MemoryError | RecursionError)
    else:
        assert isinstance(found, list | dict | tuple | str | bytes | int | float | Stand | None)
