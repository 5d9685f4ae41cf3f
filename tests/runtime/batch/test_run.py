"""A whole batch over arithmetic: what is painted, what fails and why, what memory and disks that run out lead to."""

import errno
import threading
from functools import partial

import cv2
import numpy as np
import pytest
from support.arithmetic_model import FUNCTIONS, SETTINGS, model, person
from support.batch_jobs import assert_whole, job, lines

from handfirst.engines.errors import EngineError
from handfirst.runtime.batch.groups import GroupQueue, group_jobs
from handfirst.runtime.batch.job import BadJob
from handfirst.runtime.batch.results import open_results
from handfirst.runtime.batch.run import Here, pending, run
from handfirst.runtime.errors import BatchError
from handfirst.runtime.systems.two_stage.seam import together

SHARED = {"model": "tiny 00", "format": "png"}

TOGETHER = partial(together, settings=SETTINGS)


def paint(folder, jobs, system=None, most=3, overlap=False, retry=False, image_format="png"):
    """Runs a batch; what was over, in its order."""
    over = []
    with open_results(folder, {**SHARED, "format": image_format}) as ledger:
        todo = pending(jobs, ledger, retry)
        renderer = Here(system or model()[0], image_format, overlap)
        for outcomes in run(todo, group_jobs(todo, TOGETHER, most), ledger, lambda: renderer, image_format):
            over += [outcome.job.id for outcome in outcomes]
    return over


def image_of(path):
    return cv2.imread(str(path))[..., ::-1]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_pictures_are_those_of_the_requests_alone(tmp_path, overlap, image_format):
    jobs = [job(f"j{i}", seed=i, steps=3 + i % 2) for i in range(7)]
    assert sorted(paint(tmp_path, jobs, overlap=overlap, image_format=image_format)) == [f"j{i}" for i in range(7)]
    assert_whole(tmp_path, [f"j{i}" for i in range(7)], image_format)
    for each in jobs:
        alone = model()[0].render(each.request())
        np.testing.assert_array_equal(image_of(tmp_path / f"{each.id}.{image_format}"), alone.image)


def test_what_is_done_is_not_done_again(tmp_path):
    jobs = [job(f"j{i}", seed=i) for i in range(5)]
    paint(tmp_path, jobs[:2])
    system, tapes = model()
    assert sorted(paint(tmp_path, jobs, system)) == ["j2", "j3", "j4"]
    assert sum(len(call["image"]) for call in tapes["vae_encoder"].inputs) == 3
    assert paint(tmp_path, jobs) == []
    assert_whole(tmp_path, [each.id for each in jobs])


@pytest.mark.parametrize("overlap", [False, True])
def test_a_job_that_fails_fails_alone(tmp_path, overlap):
    def broken(inputs):
        if (inputs["context"][:, 1, 0] == 13 / 20).any():  # "blue"
            raise EngineError("body_unet: no blue today")
        return FUNCTIONS["body_unet"](inputs)

    jobs = [job(f"j{i}", seed=i, prompt="blue man" if i == 2 else "red man") for i in range(6)]
    jobs[4] = job("j4", steps=200)
    jobs.append(BadJob("line 7", "k", 7, "not valid JSON"))
    system, _ = model(body_unet=broken)
    assert len(paint(tmp_path, jobs, system, most=8, overlap=overlap)) == 7
    found = {line["id"]: line for line in lines(tmp_path)}
    assert {name for name, line in found.items() if line["status"] == "done"} == {"j0", "j1", "j3", "j5"}
    assert found["j2"]["reason"] == "body_unet: no blue today"
    assert found["j4"]["reason"] == "steps: expected at most 100, the model's training steps, got 200"
    assert found["line 7"]["reason"] == "not valid JSON"
    assert paint(tmp_path, jobs, system) == []
    assert sorted(paint(tmp_path, jobs, retry=True)) == ["j2", "j4", "line 7"]
    assert image_of(tmp_path / "j2.png").shape == (64, 64, 3)


def test_without_a_job_to_paint_no_model_is_opened(tmp_path):
    with open_results(tmp_path, SHARED) as ledger:
        jobs = [BadJob("line 1", "k", 1, "bad"), job("j1", steps=1000)]
        over = list(run(jobs, group_jobs(jobs, TOGETHER, 4), ledger, lambda: pytest.fail("opened"), "png"))
    assert [len(outcomes) for outcomes in over] == [2]


class TestMemory:
    """An engine that has room for so many rows and no more."""

    @staticmethod
    def system(most_rows, error):
        seen = []

        def narrow(inputs):
            seen.append(len(inputs["sample"]))
            if seen[-1] > most_rows:
                raise error
            return FUNCTIONS["body_unet"](inputs)

        return model(body_unet=narrow)[0], seen

    @pytest.mark.parametrize("overlap", [False, True])
    @pytest.mark.parametrize(
        "error", [MemoryError(), EngineError("body_unet: onnxruntime failed: Failed to allocate memory for 3 GB")]
    )
    def test_smaller_groups_are_tried_and_kept(self, tmp_path, error, overlap):
        system, seen = self.system(4, error)  # two pictures, with and without the prompt
        jobs = [job(f"j{i:02d}", seed=i, steps=2) for i in range(16)]
        paint(tmp_path, jobs, system, most=8, overlap=overlap)
        assert_whole(tmp_path, [each.id for each in jobs])
        assert [rows for rows in seen if rows > 4] in ([16, 8], [16, 16, 8])  # overlapped, the next was under way

    def test_a_job_that_does_not_fit_alone_has_failed(self, tmp_path):
        system, _ = self.system(1, MemoryError("Unable to allocate 9 GiB"))
        paint(tmp_path, [job("a", seed=1), job("b", seed=2)], system)
        assert {line["status"] for line in lines(tmp_path)} == {"failed"}
        assert lines(tmp_path)[0]["reason"] == "out of memory: Unable to allocate 9 GiB; the job was rendered alone"
        paint(tmp_path, [job("a", seed=1), job("b", seed=2)])  # more memory, and no --retry-failed
        assert {line["id"]: line["status"] for line in lines(tmp_path)} == {"a": "done", "b": "done"}

    def test_a_job_beside_another_is_tried_once_more_alone(self, tmp_path):
        """Its memory was taken by the stage 1 that ran beside it."""
        asked = []

        def first_time(inputs):
            asked.append(1)
            if len(asked) == 1:
                raise MemoryError
            return FUNCTIONS["body_unet"](inputs)

        paint(tmp_path, [job("a", seed=1), job("b", seed=2)], model(body_unet=first_time)[0], most=1, overlap=True)
        assert_whole(tmp_path, ["a", "b"])


def test_the_next_hands_are_drawn_while_bodies_are_painted(tmp_path):
    drawn = threading.Event()
    calls = []

    def hands(inputs):
        calls.append(threading.current_thread().name)
        if len(calls) > 2:
            drawn.set()
        return FUNCTIONS["hand_unet"](inputs)

    def body(inputs):
        assert drawn.wait(10), "stage 1 of the second group waits for stage 2 of the first"
        return FUNCTIONS["body_unet"](inputs)

    system, _ = model(hand_unet=hands, body_unet=body)
    paint(tmp_path, [job("a", steps=2), job("b", seed=1, steps=2)], system, most=1, overlap=True)
    assert_whole(tmp_path, ["a", "b"])


def test_a_full_disk_stops_the_batch_and_the_next_run_goes_on(tmp_path, monkeypatch):
    from handfirst.runtime.batch import ledger

    real, room = ledger.durable_write_bytes, [4]

    def write(path, data):
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(ledger, "durable_write_bytes", write)
    jobs = [job(f"j{i}", seed=i) for i in range(6)]
    with pytest.raises(BatchError, match="is full; free some space, then run the same command again"):
        paint(tmp_path, jobs)
    assert len(lines(tmp_path)) == 3
    room[0] = 100
    assert len(paint(tmp_path, jobs)) == 3
    assert_whole(tmp_path, [each.id for each in jobs])


class TestPlan:
    def test_groups_share_loop_and_number_of_hands(self):
        one, none = person(right=None), person(None, None)
        jobs = [
            job("a"), job("b", steps=6), job("c", steps=7), job("d", [one]), job("e", guidance=2), job("f", [one]),
            job("g", [none]), job("h", eta=0.5), job("i", hand_guidance=9.0), job("j"),
        ]  # fmt: skip
        groups = [[task.job.id for task in group] for group in group_jobs(jobs, TOGETHER, 3)]
        assert groups == [["a", "b", "e"], ["j"], ["c"], ["d", "f"], ["g"], ["h"], ["i"]]

    def test_a_window_is_planned_before_the_next_is_looked_at(self):
        looked = []

        def jobs():
            for i in range(6):
                looked.append(i)
                yield job(f"j{i}", seed=i)

        groups = group_jobs(jobs(), TOGETHER, 2, window=3)
        assert [len(next(groups)), len(looked), len(next(groups)), len(next(groups)), len(looked)] == [2, 3, 1, 2, 6]


class TestLosses:
    """Groups whose worker died."""

    def test_again_whole_then_alone_then_failed(self):
        (group,) = group_jobs([job("a"), job("b", seed=1), job("c", seed=2)], TOGETHER, 3)
        backlog = GroupQueue(iter([group]))
        assert backlog.lost(backlog.take(), "node gone") == []
        again = backlog.take()
        assert [task.job.id for task in again] == ["a", "b", "c"]
        assert backlog.lost(again, "node gone") == []
        alone = [backlog.take() for _ in range(3)]
        assert [[task.job.id for task in each] for each in alone] == [["a"], ["b"], ["c"]]
        (failed,) = backlog.lost(alone[1], "node gone")
        assert failed.job.id == "b"
        assert failed.reason == "3 workers died over it; the last: node gone"
        assert backlog.take() is None
