"""Two processes in the place of two GPUs: who labels what, and what a kill costs."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support.fake_gpus import DEVICES, PIECES, FakeGpus, gather, key, label

from handfirst.engines.errors import UserError
from handfirst.training.data.labels.labelling import AHEAD, Labelling
from handfirst.training.data.store import Store

PICTURES = PIECES[-1].stop
RUN = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from support.fake_gpus import label
if __name__ == "__main__":
    label(Path({out!r}), seconds=0.3)  # long enough that a busy machine still kills it midway
"""


def labelled(folder: Path) -> list[tuple[str, str]]:
    """(device, question) of every answer that was given."""
    lines = (folder / "log").read_text().splitlines()
    return [(device, question) for device, _, question in map(str.split, lines)]


def test_every_picture_is_labelled_once_after_three_kills(tmp_path: Path) -> None:
    """SIGKILL to the command alone, as for want of memory; only what lay on the GPUs is labelled a second time."""
    script, store = tmp_path / "run.py", Store(tmp_path / "labels.sqlite")
    script.write_text(RUN.format(path=sys.path, out=str(tmp_path)))
    for kill in range(1, 4):
        with subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL) as process:
            until = time.monotonic() + 300
            while len(store) < kill * PICTURES // 5:
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.005)
            os.kill(process.pid, signal.SIGKILL)
        assert len(store) < PICTURES
    assert label(tmp_path) == len(PIECES)
    answers = labelled(tmp_path)
    assert {question for _, question in answers} == {key(i).hex() for i in range(PICTURES)}
    assert all(store.get(key(i)) == b"a label of " + key(i) for i in range(PICTURES)) and len(store) == PICTURES
    assert len(answers) - PICTURES <= 3 * len(DEVICES) * AHEAD * FakeGpus(tmp_path).batch
    by_device = Counter(device for device, _ in answers)
    assert all(by_device[device] > PICTURES / 5 for device in DEVICES)
    assert label(tmp_path) == len(PIECES) and labelled(tmp_path) == answers


def test_equal_pictures_are_labelled_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "labels.sqlite")
    work = Labelling(gather, store, FakeGpus(tmp_path / "log", 0), store, ["cpu"], 1)
    twice = [range(3), range(1, 4), range(3)]
    assert sorted(work.run(twice), key=str) == sorted(twice, key=str)
    assert sorted(question for _, question in labelled(tmp_path)) == sorted(key(i).hex() for i in range(4))


class Tight:
    """Has memory for two pictures at once."""

    batch = 8

    def open(self, device: str):
        def answer(asked):
            if len(asked) > 2:
                raise OutOfMemoryError("tried to allocate too much")
            return [b"small" for _ in asked]

        return answer


class OutOfMemoryError(RuntimeError):
    """Called as torch's is."""


class Full(Tight):
    def open(self, device: str):
        def answer(asked):
            raise OutOfMemoryError("tried to allocate too much\nand so on")

        return answer


def test_a_batch_that_does_not_fit_is_halved(tmp_path: Path) -> None:
    store = Store(tmp_path / "labels.sqlite")
    assert len(list(Labelling(gather, store, Tight(), store, ["cpu"], 1).run([range(7)]))) == 1
    assert len(store) == 7
    with pytest.raises(UserError, match=r"^cpu has too little memory for this model: tried to allocate too much$"):
        list(Labelling(gather, store, Full(), store, ["cpu"], 1).run([range(9)]))


def test_a_damaged_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "labels.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match=r"labels\.sqlite: cannot be used .*; remove it"):
        Store(tmp_path / "labels.sqlite").get(b"key")
