"""How many training samples a core makes in a second: reading, decoding, colours, conditions, at 512 x 512.

    python benchmarks/data_throughput.py        # -> benchmarks/results/data-throughput.json; two minutes on quiet cores

What `handfirst train` runs in its workers, without any network. A GPU that trains at RATE samples a second on CORES
cores is fed where one core makes RATE / CORES samples; the figures say by how much. Parts are timed alone as well, to
show where the time goes. Stage 2 is measured out of shards and out of kept latents (keep_latents), in turns: in one
process, and by the clock in a worker process on each core of this machine, with the memory that a worker comes to need.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from full_size import machine
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from handfirst.engines.files import atomic_write_bytes
from handfirst.engines.installed import usable_cores
from handfirst.runtime.pose.skeleton import draw_skeleton
from handfirst.runtime.systems.two_stage.settings import TwoStageSettings
from handfirst.training.data.augment import Colours, recolour
from handfirst.training.data.example import Example, encode, fit
from handfirst.training.data.procedural.sample import SAMPLERS
from handfirst.training.data.shards import Shards, open_shards
from handfirst.training.data.store import Store
from handfirst.training.loop.kept import KeptSamples, example_key
from handfirst.training.loop.samples import Mixture, Pick, Sample, TrainingSamples, alone
from handfirst.training.models.text_encoder import train_tokenizer
from handfirst.training.systems.two_stage.conditions import hand_condition, kept_cells, to_pose
from handfirst.training.systems.two_stage.kept import BodyKeeper
from handfirst.training.systems.two_stage.options import BodyOptions, HandOptions
from handfirst.training.systems.two_stage.samples import BodySamples, HandSamples, noise

RESULT = Path(__file__).parent / "results" / "data-throughput.json"
EVERYTHING = Colours(shift_probability=1, contrast_probability=1)


def main() -> None:
    """Renders a few pictures at a quarter of the size, enlarges them, measures, writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=16, help="different examples per stage")
    parser.add_argument("--seconds", type=float, default=8, help="time per figure")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rate", type=float, default=200, help="samples a second that the GPU trains on")
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    settings = TwoStageSettings()
    stages = {}
    with tempfile.TemporaryDirectory() as folder:
        for stage, kind in (("hand", "hand"), ("body", "person")):
            shards = write_shard(Path(folder) / stage, kind, arguments.count, arguments.size)
            stages[stage] = measure(stage, shards, settings, arguments)
    report = {
        "size": arguments.size,
        "stages": stages,
        "machine": machine(("handfirst", "numpy", "opencv-python-headless")),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(arguments.out, (json.dumps(report, indent=1) + "\n").encode())
    print(json.dumps(report, indent=1))


def write_shard(folder: Path, kind: str, count: int, size: int) -> Shards:
    """Rendered pictures, enlarged; film grain on top, so that a JPEG is as large as a photograph's."""
    import webdataset

    folder.mkdir()
    with webdataset.TarWriter(str(folder / "0.tar")) as tar:
        for seed in range(count):
            sample = SAMPLERS[kind](seed, 128)
            example = fit(Example(str(seed), sample.rgb, sample.hands, sample.keypoints, sample.caption), size)
            grain = np.random.default_rng(seed).normal(0, 4, example.rgb.shape)
            rgb = np.clip(example.rgb + grain, 0, 255).astype(np.uint8)
            members = encode(Example(example.key, rgb, example.hands, example.keypoints, example.caption))
            tar.write({"__key__": f"{seed:05d}", **members})
    return open_shards(folder, folder)


def measure(stage: str, shards: Shards, settings: TwoStageSettings, arguments: argparse.Namespace) -> dict[str, Any]:
    """Samples a second of one core, and milliseconds of each part."""
    tokenizer = train_tokenizer(["a hand", "a person"], 300)
    make: HandSamples | BodySamples
    if stage == "hand":
        make = HandSamples(settings, HandOptions(), tokenizer)
    else:
        make = BodySamples(settings, BodyOptions(kept_region="expanded"), tokenizer)
    samples = TrainingSamples([shards], Mixture([len(shards)], [1.0], 0), make, 0)
    example, rng = shards.read(0), np.random.default_rng(0)
    mask = example.hands > 0
    parts: dict[str, Callable[[int], Any]] = {
        "read and decode": lambda i: shards.read(i % len(shards)),
        "noise": lambda i: noise(rng, settings, arguments.size, arguments.size),
    }
    if stage == "hand":
        parts["colours"] = lambda i: recolour(example.rgb, EVERYTHING, rng)
        parts["heat maps"] = lambda i: hand_condition(example.keypoints, mask, settings)
    else:
        pose = to_pose(example.keypoints, arguments.size)
        parts["skeleton"] = lambda i: draw_skeleton(pose, arguments.size, arguments.size)
        parts["kept cells, widest"] = lambda i: kept_cells(mask, settings, settings.schedule.train_steps - 1)
    milliseconds = timed(samples.__getitem__, arguments.seconds)
    rate = 1000 / milliseconds
    kept = {} if isinstance(make, HandSamples) else {"kept": measure_kept(samples, make, arguments.seconds)}
    return {
        "jpeg_bytes": int(shards.span[:, 0, 1].mean()),
        "milliseconds_per_sample": round(milliseconds, 2),
        "samples_per_second_per_core": round(rate, 1),
        "parts_in_milliseconds": {name: round(timed(part, arguments.seconds / 8), 2) for name, part in parts.items()},
        "samples_per_second_on_cores": {str(arguments.cores): round(rate * arguments.cores)},
        "times_what_the_gpu_needs": round(rate * arguments.cores / arguments.rate, 1),
        "rate_of_the_gpu": arguments.rate,
        **kept,
    }


class NoNetwork:
    """In the autoencoder's place: bfloat16 latents of the right size, for what is timed is reading them."""

    autoencoder = nn.Identity()

    def raw(self, rgb: Tensor) -> Tensor:
        """uint8 [B, H, W, 3] -> [B, 4, H / 8, W / 8]."""
        return torch.randn(len(rgb), 4, rgb.shape[1] // 8, rgb.shape[2] // 8).bfloat16()


def measure_kept(samples: TrainingSamples, make: BodySamples, seconds: float) -> dict[str, Any]:
    """The same samples out of kept latents and skeletons, in turns with those out of the shards."""
    (shards,) = samples.sources
    keeper = BodyKeeper(make, NoNetwork())  # type: ignore[arg-type]
    store = Store(shards.files[0].with_name("latents.sqlite"))
    contents = keeper.finish([keeper.prepare(shards.read(i), i) for i in range(len(shards))], torch.device("cpu"))
    keys = [example_key(keeper.identity, samples.sources, Pick(0, i)) for i in range(len(shards))]
    store.put(dict(zip(keys, contents, strict=True)))
    kept = KeptSamples(samples.sources, samples.mixture, keeper.drawer(), 0, store, keeper.identity)
    ways: dict[str, Dataset[Sample]] = {"of_shards": samples, "of_kept": kept}
    spent: dict[str, list[float]] = {way: [] for way in ways}
    worked: dict[str, list[Worked]] = {way: [] for way in ways}
    for _ in range(3):
        for way, dataset in ways.items():
            spent[way].append(timed(dataset.__getitem__, seconds / 6))
            worked[way].append(worked_through(dataset, seconds))
    medians = {way: statistics.median(times) for way, times in spent.items()}
    rates = {way: statistics.median(each.rate for each in some) for way, some in worked.items()}
    grown = {way: statistics.median(each.grown_mb for each in some) for way, some in worked.items()}
    return {
        "bytes_per_example": round(statistics.mean(map(len, contents))),
        "milliseconds_per_sample": {way: round(value, 2) for way, value in medians.items()},
        "times_as_many_samples": round(medians["of_shards"] / medians["of_kept"], 2),
        "workers": {
            "number": usable_cores(),
            "samples_per_second": {way: round(rate, 1) for way, rate in rates.items()},
            "times_as_many_samples": round(rates["of_kept"] / rates["of_shards"], 2),
            "memory_grown_mb_of_each": {way: round(value, 1) for way, value in grown.items()},
        },
    }


@dataclass(frozen=True)
class Worked:
    """What worker processes did: samples a second by the clock, and the most that one's memory grew."""

    rate: float
    grown_mb: float


@dataclass
class Watched(Dataset[Sample]):
    """The same samples; each tells the most memory that its process has needed so far."""

    samples: Dataset[Sample]

    def __getitem__(self, place: int) -> Sample:
        sample = self.samples[place]
        return {**sample, "peak_mb": np.float64(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def worked_through(samples: Dataset[Sample], seconds: float) -> Worked:
    """A worker process on each core, as training has them; the clock runs from when all have given their first."""
    workers = usable_cores()
    loader = DataLoader(
        Watched(samples), sampler=islice(count(), 10**9), batch_size=8, num_workers=workers, worker_init_fn=alone
    )
    batches = iter(loader)
    first = [next(batches)["peak_mb"].min().item() for _ in range(workers)]
    started, made, peak = time.monotonic(), 0, 0.0
    while (spent := time.monotonic() - started) < seconds:
        batch = next(batches)
        made, peak = made + len(batch["peak_mb"]), max(peak, batch["peak_mb"].max().item())
    return Worked(made / spent, peak - min(first))


def timed(work: Callable[[int], Any], seconds: float) -> float:
    """Median milliseconds of a call in process time, so that other work on the machine does not count."""
    for i in range(3):
        work(i)
    spent, end, i = [], time.monotonic() + seconds, 0
    while time.monotonic() < end or len(spent) < 5:
        started = time.process_time()
        work(i)
        spent.append(1000 * (time.process_time() - started))
        i += 1
    return statistics.median(spent)


if __name__ == "__main__":
    main()
