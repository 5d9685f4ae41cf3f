"""Rendered data sets as WebDataset shards: written in parallel, resumable, the same bytes for any worker count.

A sample is four tar members: `KEY.rgb.jpg`, `KEY.mask.png` (bit 0 person, bit 1 left hand, bit 2 right hand),
`KEY.depth.png` (16 bit, 0 = background, scaled by `depth_scale` of the json) and `KEY.json`. Pairs are examples
(training/data/example.py).
"""

import json
import multiprocessing
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from handfirst.engines.installed import usable_cores
from handfirst.training.data import example
from handfirst.training.data.example import LEFT_BIT, RIGHT_BIT
from handfirst.training.data.images import decode_image, encode_jpeg, encode_png
from handfirst.training.data.procedural.gestures import GESTURES
from handfirst.training.data.procedural.sample import SAMPLERS, Sample, sample_hand, sample_person
from handfirst.training.data.procedural.twice import sample_pair
from handfirst.training.data.shards import new_shard
from handfirst.training.data.workers import one_thread, single_threaded

PERSON_BIT = 1
DEPTH_SCALE = 100.0  # stored depth = cm * scale, as 16 bits: up to 655 cm
MEMBERS = ("rgb.jpg", "mask.png", "depth.png", "json")
PAIR = "pair"
KINDS = (*SAMPLERS, PAIR)

Encoded = dict[str, bytes]  # member extension to contents, in the order of MEMBERS


def render_dataset(
    kind: str,
    out: Path,
    count: int,
    size: int,
    first_seed: int = 0,
    workers: int | None = None,
    shard_size: int = 1000,
    progress: bool = True,
    gesture: str | None = None,
) -> list[Path]:
    """Render samples first_seed .. first_seed + count - 1 into shards under `out`; skips the shards already there.

    Args:
        gesture: one of GESTURES, which every hand, or one hand of every person, makes; None: any.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    if gesture is not None and (gesture not in GESTURES or kind not in SAMPLERS):
        raise ValueError(f"a gesture goes with {' or '.join(SAMPLERS)}, one of {', '.join(GESTURES)}; got {gesture!r}")
    if count < 1 or size < 16 or shard_size < 1 or first_seed < 0 or (workers is not None and workers < 1):
        raise ValueError("count, shard size and workers must be at least 1, size at least 16, the seed not negative")
    out.mkdir(parents=True, exist_ok=True)
    what = _What(kind, size, gesture)
    shards = _plan(what, out, count, first_seed, shard_size)
    missing = {path: seeds for path, seeds in shards.items() if not _complete(path, what, seeds)}
    seeds = [seed for wanted in missing.values() for seed in wanted]
    with _bar(progress) as bar:
        task = bar.add_task(f"{what.name} {size} px", total=count, completed=count - len(seeds))
        stream = _encode_all(what, seeds, workers or usable_cores())
        for path, wanted in missing.items():
            with new_shard(path) as shard:
                for seed, encoded in zip(wanted, islice(stream, len(wanted)), strict=True):
                    shard.write(what.key(seed), encoded)
                    bar.advance(task)
    return list(shards)


def read_dataset(path: Path) -> Iterator[Sample]:
    """Stream the samples of one shard, or of all shards in a folder, in order."""
    import webdataset  # brings torch along, which the rendering workers do without

    shards = sorted(path.glob("*.tar")) if path.is_dir() else [path]
    if not shards:
        raise FileNotFoundError(f"no shards in {path}")
    for record in webdataset.WebDataset([str(s) for s in shards], shardshuffle=False, empty_check=False):
        yield decode({name: record[name] for name in MEMBERS})


def encode(sample: Sample) -> Encoded:
    """A sample as the contents of its tar members."""
    mask = sample.person_mask.astype(np.uint8) * PERSON_BIT
    mask[sample.hands == 1] |= LEFT_BIT
    mask[sample.hands == 2] |= RIGHT_BIT
    depth = np.clip(np.rint(sample.depth * DEPTH_SCALE), 0, 65535).astype(np.uint16)
    truth = {
        "keypoints": [[round(float(v), 2) for v in row] for row in sample.keypoints],
        "point_depths": [round(float(v), 2) for v in sample.point_depths],
        "caption": sample.caption,
        "attributes": sample.attributes,
        "seed": sample.seed,
        "size": len(sample.rgb),
        "depth_scale": DEPTH_SCALE,
    }
    return {
        "rgb.jpg": encode_jpeg(sample.rgb),
        "mask.png": encode_png(mask),
        "depth.png": encode_png(depth),
        "json": json.dumps(truth, separators=(",", ":")).encode(),
    }


def decode(encoded: Encoded) -> Sample:
    """The inverse of `encode`, up to JPEG and rounding."""
    truth = json.loads(encoded["json"])
    mask = decode_image(encoded["mask.png"], colour=False)
    hands = np.where(mask & RIGHT_BIT, 2, np.where(mask & LEFT_BIT, 1, 0)).astype(np.uint8)
    depth = decode_image(encoded["depth.png"], colour=False).astype(np.float32) / truth["depth_scale"]
    return Sample(
        rgb=decode_image(encoded["rgb.jpg"]),
        person_mask=(mask & PERSON_BIT) > 0,
        hands=hands,
        depth=depth.astype(np.float32),
        keypoints=np.array(truth["keypoints"], dtype=np.float32),
        point_depths=np.array(truth.get("point_depths", [0.0] * 133), dtype=np.float32),
        caption=truth["caption"],
        attributes=truth["attributes"],
        seed=truth["seed"],
    )


@dataclass(frozen=True)
class _What:
    """What every sample of a data set is."""

    kind: str
    size: int
    gesture: str | None

    @property
    def name(self) -> str:
        return self.kind if self.gesture is None else f"{self.kind}-{self.gesture}"

    def key(self, seed: int) -> str:
        return f"{self.name}-{seed:09d}"

    @property
    def members(self) -> tuple[str, ...]:
        """Of one sample, in their order."""
        pair = (*example.MEMBERS, *(f"{example.OTHER}{name}" for name in example.MEMBERS))
        return pair if self.kind == PAIR else MEMBERS

    def render(self, seed: int) -> Encoded:
        if self.kind == PAIR:
            return example.encode(sample_pair(seed, self.size))
        if self.gesture is None:
            return encode(SAMPLERS[self.kind](seed, self.size))
        if self.kind == "hand":
            return encode(sample_hand(seed, self.size, gesture=self.gesture))
        hands = (self.gesture, None) if seed % 2 else (None, self.gesture)
        return encode(sample_person(seed, self.size, gestures=hands))


def _plan(what: _What, out: Path, count: int, first_seed: int, shard_size: int) -> dict[Path, list[int]]:
    """Shard paths and the seeds that each one holds."""
    seeds = list(range(first_seed, first_seed + count))
    parts = [seeds[i : i + shard_size] for i in range(0, count, shard_size)]
    return {out / f"{what.name}-{i:06d}.tar": part for i, part in enumerate(parts)}


def _complete(path: Path, what: _What, seeds: list[int]) -> bool:
    """Whether a shard holds exactly these samples at this size."""
    if not path.exists():
        return False
    try:
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            names = [f"{what.key(seed)}.{member}" for seed in seeds for member in what.members]
            if [m.name for m in members] != names:
                return False
            truth = tar.extractfile(members[what.members.index("json")])
            return truth is not None and int(json.load(truth)["size"]) == what.size
    except (tarfile.TarError, ValueError, KeyError):
        return False


def _encode_all(what: _What, seeds: list[int], workers: int) -> Iterator[Encoded]:
    """Encoded samples in the order of `seeds`, from a pool where it pays."""
    if workers == 1 or len(seeds) < 2:
        yield from map(what.render, seeds)
        return
    what.render(0)  # compiles the tracer into the cache once, rather than in every worker
    with single_threaded(), multiprocessing.get_context("spawn").Pool(min(workers, len(seeds)), one_thread) as pool:
        yield from pool.imap(what.render, seeds, chunksize=4)


def _bar(show: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, disable=not show)
