"""Jobs awaited and iterated under asyncio, while workers' threads paint."""

import asyncio

import numpy as np
import pytest
from support.arithmetic_model import model, request
from support.gated_model import PATIENCE, GatedModel

from handfirst.runtime.errors import DeadlineError, JobCancelledError
from handfirst.runtime.serve.server import Server


def run(coroutine):
    async def limited():
        return await asyncio.wait_for(coroutine, PATIENCE)

    return asyncio.run(limited())


def test_many_are_awaited_together():
    alone = [model()[0].render(request(seed=seed)) for seed in range(6)]

    async def together():
        async with Server(model()[0], workers=2) as server:
            return await asyncio.gather(*(server.submit(request(seed=seed)) for seed in range(6)))

    for result, wanted in zip(run(together()), alone, strict=True):
        np.testing.assert_array_equal(result.latents, wanted.latents)


def test_steps_arrive_while_the_loop_runs():
    async def read():
        painter, seen, beats = GatedModel(), [], 0
        async with Server(painter) as server:
            job = server.submit(request(seed=3))
            while not painter.begun:
                beats += 1
                await asyncio.sleep(0.001)
            painter.free()
            async for progress in job:
                seen.append(progress.step)
                painter.free()
            return seen, beats, await job, progress

    seen, beats, result, last = run(read())
    assert seen == [1, 2, 3]
    assert beats > 0
    assert last.result is result


def test_a_cancelled_task_cancels_its_job():
    async def give_up():
        painter = GatedModel(total=50)
        with Server(painter) as server:
            for read in (waits, reads):
                job = server.submit(request())
                task = asyncio.create_task(read(job))
                while job.latest is None:
                    painter.free()
                    await asyncio.sleep(0.001)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert job.state == "cancelled"
                painter.free()

    async def waits(job):
        await job

    async def reads(job):
        async for _ in job:
            pass

    run(give_up())


def test_asyncios_own_timeout_cancels_the_job():
    async def hurry():
        painter = GatedModel()
        with Server(painter) as server:
            job = server.submit(request())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await job
            assert job.state == "cancelled"
            painter.free(3)

    run(hurry())


def test_errors_come_as_they_are():
    async def wait():
        painter = GatedModel(fails={1: ValueError("it broke")})
        async with Server(painter) as server:
            failing, late = server.submit(request(seed=1)), server.submit(request(seed=2), timeout=0.05)
            with pytest.raises(DeadlineError):
                await late
            painter.free(3)
            with pytest.raises(ValueError, match="it broke"):
                await failing
            cancelled = server.submit(request(seed=4))
            task = asyncio.create_task(collect(cancelled))
            await asyncio.sleep(0)
            cancelled.cancel()
            with pytest.raises(JobCancelledError):
                await task
            painter.free(3)

    async def collect(job):
        return [piece async for piece in job]

    run(wait())


def test_a_loop_that_is_gone_does_no_harm():
    painter = GatedModel()
    with Server(painter) as server:
        job = server.submit(request(seed=5))

        async def leave():
            pieces = aiter(job)
            painter.free()
            await anext(pieces)

        run(leave())
        painter.free(2)
        assert job.result(PATIENCE).seed == 5
