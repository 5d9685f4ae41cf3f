"""Shards of examples or of rendered samples (`*.tar`) as a source. Pixels are read from the tars where they lie."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from handfirst.engines.errors import UserError
from handfirst.training.data.example import MEMBERS
from handfirst.training.data.record import Record, Skipped
from handfirst.training.data.sources.entry import UnusableError, key_of, numbers
from handfirst.training.data.sources.pictures import TarImage, TarMask

_RGB, _MASK, _JSON = MEMBERS


class Shards:
    """One shard, or all shards of a folder in the order of their names."""

    name = "shards"

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: no shards there.
        """
        self.shards = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        if not self.shards or not all(s.is_file() for s in self.shards):
            raise UserError(f"{path}: expected a .tar or a folder of them; write some with `handfirst data render`")

    def __iter__(self) -> Iterator[Record | Skipped]:
        """Reads the json of each sample; pictures stay where they are.

        Raises:
            UserError: a shard that is damaged.
        """
        for shard in self.shards:
            try:
                with tarfile.open(shard, "r:") as tar:
                    files = (m for m in tar if m.isfile())
                    for key, group in groupby(files, key=lambda m: m.name.partition(".")[0]):
                        members = {m.name.partition(".")[2]: m for m in group}
                        try:
                            yield _record(shard, tar, key, members)
                        except UnusableError as error:
                            yield Skipped(f"{shard.name}:{key}", str(error))
            except (tarfile.TarError, OSError) as error:
                raise UserError(f"{shard}: a damaged shard ({error}); render or download it again") from error


def _record(shard: Path, tar: tarfile.TarFile, key: str, members: dict[str, tarfile.TarInfo]) -> Record:
    if not all(name in members for name in MEMBERS):
        raise UnusableError("a sample without picture, mask or json")
    file = tar.extractfile(members[_JSON])
    try:
        truth = json.loads(file.read() if file else b"")
        person = numbers(truth["keypoints"], (133, 3), "key points")
        caption, attributes = truth["caption"], truth["attributes"]
        if not isinstance(caption, str) or not isinstance(attributes, dict):
            raise UnusableError("json without caption or attributes")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnusableError("json that cannot be read") from error
    person[:, 2] = person[:, 2] > 0
    rgb, mask = members[_RGB], members[_MASK]
    return Record(
        source=Shards.name,
        key=key_of(shard.stem, key),
        image=TarImage(shard, rgb.offset_data, rgb.size),
        people=person.astype("float32")[None],
        masks=TarMask(shard, mask.offset_data, mask.size),
        caption=caption,
        attributes={str(k): str(v) for k, v in attributes.items()},
    )
